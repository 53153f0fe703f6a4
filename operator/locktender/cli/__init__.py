"""Commands for people, run with their own rights: nothing here is needed by the operator or by a Job."""
