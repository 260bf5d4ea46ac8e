"""Fusion: where two images lie on each other, what their bands see, and the run of a method on both."""
