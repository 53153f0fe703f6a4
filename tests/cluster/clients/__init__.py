"""Helm 3 and 4, Flux and Argo CD as the tests use them."""
