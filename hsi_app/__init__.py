"""Hyperspectral restoration that shows what it removed: the engine behind the viewer and the command line.

>>> import hsi_app
>>> sorted(hsi_app.__all__)[:3]
['BandAxis', 'Cube', 'GeoRef']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hsi_app.bands import BandAxis
    from hsi_app.cube import Cube
    from hsi_app.fusion.result import Fusion
    from hsi_app.fusion.runner import FusionSettings, fuse
    from hsi_app.georef import GeoRef
    from hsi_app.io import open_cube, save_cube
    from hsi_app.io.spectral_library import read_library, write_library
    from hsi_app.jobs import Job
    from hsi_app.library import SpectralLibrary
    from hsi_app.metrics import score
    from hsi_app.physics.degrade import degrade
    from hsi_app.report import write_report
    from hsi_app.runner import Result, Settings, restore
    from hsi_app.unmixing.result import Unmixing, write_unmixing
    from hsi_app.unmixing.runner import unmix

# Where each public name lives; imported when first used, so that `import hsi_app` stays instant.
_HOME = {
    "BandAxis": "hsi_app.bands",
    "Cube": "hsi_app.cube",
    "Fusion": "hsi_app.fusion.result",
    "FusionSettings": "hsi_app.fusion.runner",
    "GeoRef": "hsi_app.georef",
    "Job": "hsi_app.jobs",
    "Result": "hsi_app.runner",
    "Settings": "hsi_app.runner",
    "SpectralLibrary": "hsi_app.library",
    "Unmixing": "hsi_app.unmixing.result",
    "degrade": "hsi_app.physics.degrade",
    "fuse": "hsi_app.fusion.runner",
    "open_cube": "hsi_app.io",
    "read_library": "hsi_app.io.spectral_library",
    "restore": "hsi_app.runner",
    "save_cube": "hsi_app.io",
    "score": "hsi_app.metrics",
    "unmix": "hsi_app.unmixing.runner",
    "write_library": "hsi_app.io.spectral_library",
    "write_report": "hsi_app.report",
    "write_unmixing": "hsi_app.unmixing.result",
}

__all__ = [
    "BandAxis",
    "Cube",
    "Fusion",
    "FusionSettings",
    "GeoRef",
    "Job",
    "Result",
    "Settings",
    "SpectralLibrary",
    "Unmixing",
    "degrade",
    "fuse",
    "open_cube",
    "read_library",
    "restore",
    "save_cube",
    "score",
    "unmix",
    "write_library",
    "write_report",
    "write_unmixing",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hsi_app' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)
