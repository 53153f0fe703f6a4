"""`python3 -m tools.cluster VERB`: see README.md for the verbs."""

from tools.cluster.commands import main

if __name__ == "__main__":
    raise SystemExit(main())
