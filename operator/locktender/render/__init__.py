"""Turns decisions into Kubernetes manifests: names, Jobs, DatabaseBackups."""
