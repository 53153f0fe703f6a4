-- Fine on every laptop, where no customer signed up twice.
ALTER TABLE customers ADD CONSTRAINT customers_email_unique UNIQUE (email);
