"""The database of the application: the tables that migrations change, and one that none of them touches."""

import psycopg

ORDERS_PER_CUSTOMER = 10
_TABLES = """
    CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, balance bigint NOT NULL DEFAULT 0);
    CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint NOT NULL, payer bigint NOT NULL, recipient bigint NOT NULL,
        amount integer NOT NULL, status text NOT NULL, placed timestamptz NOT NULL, note text NOT NULL);
    CREATE TABLE untouched (id bigint PRIMARY KEY, visits bigint NOT NULL DEFAULT 0);
"""
_CUSTOMERS = "INSERT INTO customers SELECT i, 'customer ' || i FROM generate_series(1, %s) i"
_ORDERS = """
    INSERT INTO orders SELECT i, 1 + i %% %s, 1 + (i + 1) %% %s, 1 + (i + 2) %% %s, i %% 1000, 'paid', now(), repeat(md5(i::text), 2)
    FROM generate_series(1, %s) i
"""
_UNTOUCHED = "INSERT INTO untouched SELECT i FROM generate_series(1, 10000) i"


def build(url: str, orders: int) -> int:
    """Make and fill the tables in the database of `url`; their size in bytes."""
    customers = orders // ORDERS_PER_CUSTOMER
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLES)
        connection.execute(_CUSTOMERS, (customers,))
        connection.execute(_ORDERS, (customers, customers, customers, orders))
        connection.execute(_UNTOUCHED)
        connection.execute("CREATE INDEX orders_customer ON orders (customer)")
        connection.execute("VACUUM ANALYZE")
        found = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert found is not None  # noqa: S101  # an aggregate has a row
    return int(found[0])
