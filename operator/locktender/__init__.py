"""Locktender: database changes as a safe, automatic part of every Kubernetes release."""

__version__ = "0.1.0"
