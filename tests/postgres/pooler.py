"""The one thing about a pooler that matters here: the process id that it tells its client is not the server's."""

import socket
import struct
import threading
from contextlib import contextmanager, suppress


@contextmanager
def pooling(server_port):
    """The port of a proxy that passes everything on, but invents the id in BackendKeyData."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, server_port), daemon=True).start()
        yield listener.getsockname()[1]


def _accept(listener, server_port):
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, server_port), daemon=True).start()


def _serve(client, server_port):
    with client, socket.create_connection(("127.0.0.1", server_port)) as server, suppress(OSError):
        threading.Thread(target=_pass_on, args=(client, server), daemon=True).start()
        while header := _exactly(server, 5):
            if header[:1] in (b"N", b"S") and header[1:] == b"":
                client.sendall(header)
                continue
            kind, length = struct.unpack("!cI", header)
            body = _exactly(server, length - 4)
            if kind == b"K":
                body = struct.pack("!I", 4_000_001) + body[4:]
            client.sendall(header + body)


def _pass_on(source, target):
    """From the client; its SSL request is answered here with a no."""
    with suppress(OSError):
        first = source.recv(8)
        if len(first) == 8 and first[4:] in (struct.pack("!I", 80877103), struct.pack("!I", 80877104)):
            source.sendall(b"N")
        else:
            target.sendall(first)
        while data := source.recv(65536):
            if len(data) == 8 and data[4:] in (struct.pack("!I", 80877103), struct.pack("!I", 80877104)):
                source.sendall(b"N")
            else:
                target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def _exactly(source, count):
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data
