"""`make bench`: numbers that can be compared. Each bench prints a table and writes build/bench/NAME.json."""
