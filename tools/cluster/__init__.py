"""A Kubernetes cluster for demos and tests: an existing one, kind, or a node built from Go modules."""
