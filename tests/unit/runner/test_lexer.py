"""Statements end where psql ends them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locktender.runner.sql.lexer import LexError, split


def texts(source):
    return [statement.text for statement in split(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", []),
        (" ;; -- nothing\n", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';' ; SELECT 'it''s;'", ["SELECT ';'", "SELECT 'it''s;'"]),
        (r"SELECT E'a\';b'; SELECT e'\\'", [r"SELECT E'a\';b'", r"SELECT e'\\'"]),
        (r"SELECT 'a\'; SELECT 2", [r"SELECT 'a\'", "SELECT 2"]),
        ('SELECT ";" FROM "a"";"', ['SELECT ";" FROM "a"";"']),
        ("SELECT U&'d;'; SELECT U&\";\"", ["SELECT U&'d;'", 'SELECT U&";"']),
        ("SELECT $$;$$; SELECT $a$ $$;$b$ $a$", ["SELECT $$;$$", "SELECT $a$ $$;$b$ $a$"]),
        ("SELECT a$b$;c$b$", ["SELECT a$b$", "c$b$"]),
        ("SELECT $1; SELECT 2", ["SELECT $1", "SELECT 2"]),
        ("SELECT 1 -- ; not\n; SELECT 2", ["SELECT 1 -- ; not", "SELECT 2"]),
        ("SELECT /* ; /* ; */ ; */ 1; SELECT 2", ["SELECT /* ; /* ; */ ; */ 1", "SELECT 2"]),
        (
            "CREATE RULE r AS ON INSERT TO a DO (SELECT 1; SELECT 2); SELECT 3",
            ["CREATE RULE r AS ON INSERT TO a DO (SELECT 1; SELECT 2)", "SELECT 3"],
        ),
        (
            "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3",
            [
                "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
                "SELECT 3",
            ],
        ),
        ("BEGIN; SELECT 1; END; SELECT 2", ["BEGIN", "SELECT 1", "END", "SELECT 2"]),
    ],
)
def test_a_semicolon_ends_a_statement_only_outside_of_quotes_comments_and_bodies(source, expected):
    assert texts(source) == expected


@pytest.mark.parametrize(
    ("source", "line"),
    [("SELECT 1;\nSELECT 'x", 2), ('\n\nSELECT "x', 3), ("SELECT\n$a$ x $$", 2), ("/* /* */", 1), ("SELECT 1;\n\\d", 2), (r"SELECT E'x\'", 1), ("SELECT '''", 1)],
)  # fmt: skip
def test_what_cannot_be_split_is_named_by_its_line(source, line):
    with pytest.raises(LexError) as caught:
        split(source)
    assert caught.value.line == line


def test_a_statement_knows_its_line_and_its_words():
    (first, second) = split('-- head\nSELECT 1;\n\n  create index Concurrently "My I" on s.t (a)')
    assert (first.line, second.line) == (2, 4)
    assert second.words == ("CREATE", "INDEX", "CONCURRENTLY", '"My I"', "ON", "S", ".", "T", "(", "A")


inside = st.text(alphabet=";'\"$\\ab \n-/*", max_size=12)
fragments = st.one_of(
    st.sampled_from(["SELECT", "x", "1", "=", "( ; )", "/* ; /* */ */", "-- ;\n", "$1"]),
    inside.map(lambda body: "'" + body.replace("'", "''") + "'"),
    inside.map(lambda body: "E'" + body.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    inside.map(lambda body: '"' + body.replace('"', '""') + '"'),
    inside.map(lambda body: "$q$" + body.replace("$", "") + "$q$"),
)
statements = st.lists(fragments, min_size=1, max_size=6).map(lambda parts: "SELECT " + " ".join(parts) + " z")


@given(st.lists(statements, max_size=6), st.sampled_from([";", " ;\n", ";\n-- between ;\n", ";;"]))
def test_whatever_is_joined_is_split_into_the_same_statements(parts, separator):
    assert texts(separator.join(parts)) == parts


@given(st.text(alphabet="aE'\"$\\;-/*()\n BEGIN", max_size=60))
def test_any_text_is_split_or_refused_and_nothing_but_semicolons_and_comments_is_lost(source):
    try:
        found = split(source)
    except LexError:
        return
    for statement in found:
        assert source[statement.offset :].startswith(statement.text)
        assert statement.line == source.count("\n", 0, statement.offset) + 1
