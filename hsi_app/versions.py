"""Versions of what a result depends on, read without importing anything."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = ("hsi-app", "torch", "diffusers", "numpy", "scipy", "spectral", "rasterio", "napari")


def versions() -> dict[str, str]:
    """Package name to installed version; packages that are absent are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
