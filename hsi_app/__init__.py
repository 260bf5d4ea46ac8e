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
    from hsi_app.georef import GeoRef
    from hsi_app.io import open_cube, save_cube
    from hsi_app.jobs import Job
    from hsi_app.metrics import score
    from hsi_app.physics.degrade import degrade
    from hsi_app.report import write_report
    from hsi_app.runner import Result, Settings, restore

# Where each public name lives; imported when first used, so that `import hsi_app` stays instant.
_HOME = {
    "BandAxis": "hsi_app.bands",
    "Cube": "hsi_app.cube",
    "GeoRef": "hsi_app.georef",
    "Job": "hsi_app.jobs",
    "Result": "hsi_app.runner",
    "Settings": "hsi_app.runner",
    "degrade": "hsi_app.physics.degrade",
    "open_cube": "hsi_app.io",
    "restore": "hsi_app.runner",
    "save_cube": "hsi_app.io",
    "score": "hsi_app.metrics",
    "write_report": "hsi_app.report",
}

__all__ = [
    "BandAxis",
    "Cube",
    "GeoRef",
    "Job",
    "Result",
    "Settings",
    "degrade",
    "open_cube",
    "restore",
    "save_cube",
    "score",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hsi_app' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)
