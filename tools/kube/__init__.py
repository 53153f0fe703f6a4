"""A small Kubernetes client for the demo and the cluster tests: requests, watches, and a recorder of everything seen."""
