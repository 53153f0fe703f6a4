"""The only code that speaks to the API server: client.py, observe.py reads, act.py writes."""
