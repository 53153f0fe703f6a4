"""What a statement may show: never a literal, however the server has cut it off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locktender.runner.agent.fingerprint import concurrently, fingerprint, statements

CANARY = "canary"


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT * FROM t WHERE a = 'canary' AND b = 42", "SELECT * FROM t WHERE a = ? AND b = ?"),
        ("SELECT 'it''s canary', E'a\\'canary', U&'canary', b'1'", "SELECT ?, U&?, b?"),
        ("INSERT INTO t VALUES (1, 2, 'canary'), (3, 4, 'x')", "INSERT INTO t VALUES (?), (?)"),
        ("SELECT a FROM t WHERE a IN (1, 2, 3)", "SELECT a FROM t WHERE a IN (?)"),
        ("DO $f$ BEGIN PERFORM 'canary'; END $f$", "DO ?"),
        ("DO $$ canary, cut off", "DO ?"),
        ("SELECT 1 /* canary /* nested */ canary */ + 2 -- canary", "SELECT ? + ?"),
        ("SELECT 1 /* canary, cut off", "SELECT ?"),
        ("SELECT 'canary, cut off", "SELECT ?"),
        ("SELECT E'canary \\", "SELECT ?"),
        ('SELECT "Canary, cut off', "SELECT"),
        ('ALTER TABLE "My Table" ADD COLUMN t1 int', 'ALTER TABLE "My Table" ADD COLUMN t1 int'),
        ("SELECT $1, $2::text", "SELECT $1, $2::text"),
        ("SELECT 'a\\' || canary || '", "SELECT ?"),
        ("SET my.key = canary", "SET my.key = ?"),
        ("set my.key to canary, canary; SELECT 1", "set my.key to ?; SELECT ?"),
        ("UPDATE t SET a = b", "UPDATE t SET a = b"),
        ("ALTER ROLE app PASSWORD 'canary'", "ALTER ROLE app PASSWORD ?"),
        ("SELECT 0xca + 1e5 + .5 + 10_000", "SELECT ? + ? + .? + ?"),
        ("<insufficient privilege>", ""),
        (None, ""),
    ],
)
def test_a_statement_without_its_literals(query: str | None, shown: str) -> None:
    assert fingerprint(query) == shown


@given(
    st.integers(0, 120),
    st.sampled_from(("'canary''canary'", "E'\\'canary'", "$x$canary$x$", "/*canary*/1", "--canary\n1")),
)
def test_no_literal_shows_wherever_the_server_cuts(cut: int, literal: str) -> None:
    query = f"SELECT {literal} FROM t WHERE a = {literal} AND b = {literal}"
    assert CANARY not in fingerprint(query[:cut])


@given(st.text(max_size=300))
def test_any_text_is_taken_and_the_result_is_short(query: str) -> None:
    assert len(fingerprint(query, 50)) <= 50
    assert statements(query) >= 1


def test_the_statements_of_a_text_are_counted() -> None:
    assert statements("SELECT 1") == 1
    assert statements("SET lock_timeout = '2s'; ALTER TABLE a ADD b text DEFAULT ';'; ANALYZE;") == 3


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("CREATE INDEX CONCURRENTLY i ON t (a)", True),
        ("create /* why */ unique index concurrently if not exists i ON t (a)", True),
        ("DROP INDEX CONCURRENTLY i", True),
        ("REINDEX (VERBOSE) INDEX CONCURRENTLY i", True),
        ("CREATE INDEX i ON t (a)", False),
        ("ALTER TABLE t DETACH PARTITION p CONCURRENTLY", False),
        ("SELECT 'CREATE INDEX CONCURRENTLY'", False),
        ("", False),
    ],
)
def test_what_builds_an_index_without_blocking(query: str, expected: bool) -> None:
    assert concurrently(query) is expected
