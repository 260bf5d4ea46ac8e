"""Fusion of a hyperspectral with a sharper multispectral image."""
