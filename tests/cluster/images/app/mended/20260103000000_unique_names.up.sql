DELETE FROM items AS later USING items AS earlier WHERE later.name = earlier.name AND later.id > earlier.id;
ALTER TABLE items ADD CONSTRAINT items_name UNIQUE (name);
