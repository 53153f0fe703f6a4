"""A verified backup of one database into a mounted directory."""
