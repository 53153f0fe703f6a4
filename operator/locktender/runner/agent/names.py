"""From the numbers of pg_locks to names: relations and prepared transactions. What the server has told once is not asked again."""

from collections.abc import Iterable

from locktender.runner.connect import Connection

_RELATIONS = """
    SELECT c.oid::bigint, n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY (%s::oid[])
"""
_PREPARED = """
    SELECT transaction::text, gid, owner::text, extract(epoch FROM clock_timestamp() - prepared)::float8
    FROM pg_prepared_xacts WHERE database = current_database()
"""


class Names:
    """`schema.table` by number."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def learn(self, connection: Connection, relations: Iterable[int | None]) -> None:
        """Ask for those not known yet. Raises psycopg.Error."""
        new = {each for each in relations if each is not None} - self._known.keys()
        if new:
            given = "{" + ",".join(str(each) for each in sorted(new)) + "}"
            self._known |= dict.fromkeys(new, "a new relation")
            self._known |= dict(connection.execute(_RELATIONS.encode(), (given,)).fetchall())

    def of(self, relation: int | None, locktype: str) -> str:
        """The name, or what kind of thing it is."""
        if relation is not None:
            return self._known.get(relation, "a relation")
        return {"advisory": "advisory lock"}.get(locktype, "transaction")


def prepared(connection: Connection, transactions: Iterable[str]) -> list[dict[str, object]]:
    """The prepared transactions with these numbers, as blockers. Raises psycopg.Error."""
    wanted = set(transactions)
    rows = connection.execute(_PREPARED.encode()).fetchall()
    return [
        {
            "transaction": transaction,
            "pid": 0,
            "user": owner,
            "application": gid,
            "state": "prepared",
            "age": round(age, 1),
            "query": "",
            "kind": "prepared",
        }
        for transaction, gid, owner, age in rows
        if transaction in wanted
    ]
