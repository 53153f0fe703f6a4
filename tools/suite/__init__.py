"""`make test`: every check and every test, one part after the other, with a summary."""
