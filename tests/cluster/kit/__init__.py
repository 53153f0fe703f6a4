"""What the cluster tests share: manifests, databases, a namespace with a record of all that happens in it."""
