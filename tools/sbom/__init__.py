"""Lists of what the images are made of."""
