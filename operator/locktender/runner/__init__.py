"""The Job side: programs that run in pods, or on your own machine, next to a database. They know nothing of Kubernetes' API."""
