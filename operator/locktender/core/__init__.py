"""The decisions: an Observation goes in, a Decision comes out. Pure; start reading at decide.py."""
