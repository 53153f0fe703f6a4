"""Pods without Kubernetes: network namespaces with an address of their own, whose cable can be pulled. Needs root, as the node does."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

HBA = "local all all trust\nhost replication all 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 trust\nhost all all 10.213.0.0/16 trust\n"
_numbers = count(os.getpid() * 4)


@dataclass(frozen=True)
class Network:
    """One pod's network. `host` is this machine's address on the other end of the cable."""

    name: str
    address: str
    host: str

    @property
    def prefix(self):
        """What stands before a command that shall run inside; the process id stays that of the command."""
        return ("ip", "netns", "exec", self.name)

    def cut(self):
        """Nothing gets through any more, and nobody is told."""
        _ip("link", "set", f"{self.name}h", "down")

    def mend(self):
        _ip("link", "set", f"{self.name}h", "up")


@contextmanager
def network():
    """A pod's network for the time of the block."""
    number = next(_numbers) % 2**14
    name, base = f"lt{number}", 4 * number
    pod = Network(name, f"10.213.{base >> 8}.{(base & 255) + 2}", f"10.213.{base >> 8}.{(base & 255) + 1}")
    _ip("netns", "add", name)
    try:
        _ip("link", "add", f"{name}h", "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("address", "add", f"{pod.host}/30", "dev", f"{name}h")
        _ip("link", "set", f"{name}h", "up")
        _ip("-n", name, "address", "add", f"{pod.address}/30", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "route", "add", "default", "via", pod.host)
        yield pod
    finally:
        _ip("netns", "delete", name)


def _ip(*arguments):
    assert shutil.which("ip"), "the program ip is missing: apt-get install iproute2"
    done = subprocess.run(("ip", *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr} (these tests run as root)"
