def leave(*a): pass
