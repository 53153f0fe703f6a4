"""Vocabularies people watch: metrics and Events."""
