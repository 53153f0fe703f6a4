"""The fence of a migration: held by a sidecar for as long as the migration's container may run."""
