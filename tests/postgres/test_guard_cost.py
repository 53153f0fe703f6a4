"""What the guard costs the server: CPU seconds of its own server process, as the kernel counts them, over some seconds."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.postgres.guarded import RUN, Client, guard, guarding
from tests.postgres.programs import until
from tests.postgres.servers import serving

SECONDS = 4.0
LIMIT = 0.01  # of one core
CLIENTS = 50


@pytest.fixture(params=(14, 18), ids=lambda major: f"pg{major}")
def server(request):
    """A server of its own: it needs room for many clients."""
    with serving(request.param) as alone:
        alone.run("ALTER SYSTEM SET max_connections = 100")
        alone.restart()
        yield alone


@pytest.fixture
def database(server):
    name = server.database()
    server.run("CREATE TABLE orders AS SELECT g AS id, 'x'::text AS note FROM generate_series(1, 1000) g", name)
    server.run("CREATE UNIQUE INDEX ON orders (id)", name)
    return name


def cpu_seconds(pid):
    """Time on a CPU; the kernel's count in nanoseconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def share(pid):
    """The part of one core that process `pid` uses over SECONDS."""
    used, begun = cpu_seconds(pid), time.monotonic()
    time.sleep(SECONDS)  # no waiting for something: the measured time itself
    return (cpu_seconds(pid) - used) / (time.monotonic() - begun)


def test_it_costs_less_than_one_percent_of_a_core_idle_busy_and_with_thousands_of_locks(server, database, tmp_path):
    guarded = guard(server, database, tmp_path)
    migration = None
    script = tmp_path / "readers.sql"
    script.write_text(
        "\\set n random(1, 1000)\nSELECT note FROM orders WHERE id = :n;\nUPDATE orders SET note = 'y' WHERE id = :n;\n"
    )
    script.chmod(0o644)
    with guarding(guarded):
        pid = server.run("SELECT backend_pid FROM locktender.runs", database)[0][0]
        idle = share(pid)

        migration = Client(server, database, f"locktender/{RUN}").run("BEGIN", "SELECT 1")
        clients = subprocess.Popen(
            [server.binaries / "bin" / "pgbench", "-n", "-c", str(CLIENTS), "-j", "2", "-T", "60", "-f", script,
             "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", database],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            query = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'pgbench' HAVING count(*) >= 50"
            until(lambda: server.run(query), "the clients")
            busy = share(pid)
        finally:
            clients.terminate()
            clients.wait(30)
        migration.run("SELECT pg_advisory_lock(g) FROM generate_series(1, 3000) g")
        many = share(pid)
        migration.close()

    assert (idle < LIMIT, busy < LIMIT, many < LIMIT) == (True, True, True), f"{idle:.3%} {busy:.3%} {many:.3%}"
    print(f"server CPU: idle {idle:.2%}, {CLIENTS} clients {busy:.2%}, 3000 locks {many:.2%}")
