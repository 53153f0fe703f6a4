"""pg_cancel_backend and pg_terminate_backend, for exactly the session that was meant: a process id may have a new owner by now."""

from locktender.runner.agent.rules import Verb
from locktender.runner.agent.sessions import Session
from locktender.runner.connect import Connection

_SEND = {
    Verb.CANCEL: "SELECT pg_cancel_backend(pid)",
    Verb.TERMINATE: "SELECT pg_terminate_backend(pid)",
}
_EXACTLY = " FROM pg_stat_get_activity(%s) WHERE extract(epoch FROM backend_start)::float8 = %s"


def send(connection: Connection, verb: Verb, session: Session) -> bool:
    """Stop it; false if it has gone. Raises psycopg.errors.InsufficientPrivilege for a role that the agent's may not stop."""
    row = connection.execute((_SEND[verb] + _EXACTLY).encode(), (session.pid, session.begun)).fetchone()
    return row is not None and bool(row[0])
