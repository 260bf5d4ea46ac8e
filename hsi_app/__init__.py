"""Hyperspectral restoration that shows what it removed: the engine behind the viewer and the command line."""

__version__ = "0.1.0"
