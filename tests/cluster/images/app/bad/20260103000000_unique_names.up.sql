ALTER TABLE items ADD CONSTRAINT items_name UNIQUE (name);
