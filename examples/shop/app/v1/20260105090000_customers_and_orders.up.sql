CREATE TABLE customers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL
);

CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers (id),
    total_cents integer NOT NULL,
    placed_at timestamptz NOT NULL
);

INSERT INTO customers (name, email)
SELECT 'Customer ' || n, 'customer' || n || '@shop.example'
FROM generate_series(1, 5000) AS n;

-- Two people signed up twice, long before anybody asked for unique addresses.
INSERT INTO customers (name, email)
VALUES ('Customer 7 again', 'customer7@shop.example'), ('Customer 42 again', 'customer42@shop.example');

INSERT INTO orders (customer_id, total_cents, placed_at)
SELECT 1 + n % 5000, 500 + (n * 37) % 9500, timestamptz '2026-01-01 00:00:00+00' + n * interval '5 minutes'
FROM generate_series(1, 40000) AS n;
