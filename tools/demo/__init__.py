"""`make demo`: a release held until its database is migrated, on a real node, told while it happens."""
