"""Checks whose tools are built here."""
