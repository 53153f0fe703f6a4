"""`make bench-locks`: how long a migration makes the application wait, with the agent beside it and without, on a real server."""
