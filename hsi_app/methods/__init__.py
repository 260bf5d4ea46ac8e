"""Restoration methods: a registry and one folder a method."""
