"""Unmixing methods: exact least squares, non-negative factorisations, sparse unmixing with a library."""
