"""The record of a run: plain values that say what was done, to what, how, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app import device as devices
from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_app.methods.registry import MethodSpec
from hsi_app.params import Parameters
from hsi_app.problem import Shared
from hsi_app.scene import Scene
from hsi_app.tiling import Tile
from hsi_app.versions import versions


def run_record(
    spec: MethodSpec,
    params: Parameters,
    settings: Mapping[str, Any],
    *,
    cube: Cube,
    scene: Scene,
    shared: Shared,
    trace: Mapping[str, Any],
    tiles: list[Tile],
    job: Job,
    started: datetime,
    out: str | Path | None,
) -> dict[str, Any]:
    """Method, parameters, seed, versions, trace, notes, time and memory of a finished run, fit for JSON."""
    return {
        "method": spec.id,
        "title": spec.title,
        "task": settings["task"],
        "options": params.plain(),
        "settings": dict(settings),
        "seed": job.seed,
        "input": describe_cube(cube),
        "output": None if out is None else str(out),
        "scaling": {"offset": scene.scaling.offset, "span": scene.scaling.span},
        "shared": {key: np.asarray(value).tolist() for key, value in shared.items() if np.size(value) <= 1024},
        "trace": dict(trace),
        "notes": list(job.notes),
        "device": str(scene.device),
        "tiles": len(tiles),
        "tile_px": [max(t.keep.height for t in tiles), max(t.keep.width for t in tiles)],
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(job.elapsed_s, 3),
        "peak_memory_bytes": devices.peak_memory(),
        "memory_budget_bytes": settings["memory"],
        "versions": versions(),
        "weights": list(spec.weights),
        "references": [asdict(reference) for reference in spec.references],
        "limits": list(spec.limits),
    }


def steps_of(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Records of the steps of a recipe; of a plain run, its own."""
    return list(record.get("steps", [record]))


def what_was_done(record: Mapping[str, Any]) -> list[str]:
    """'denoise with lowrank', for each step."""
    return [f"{step['task']} with {step['method']}" for step in steps_of(record)]


def history_line(spec: MethodSpec, params: Parameters, task: str) -> str:
    """The line a run adds to the history of what it makes."""
    given = ", ".join(f"{key}={value}" for key, value in params.plain().items())
    return f"{task} with {spec.id} ({given})"


def describe_cube(cube: Cube) -> dict[str, Any]:
    """Name, path, shape, type, bad bands and map frame."""
    bands, height, width = cube.shape
    return {
        "name": cube.name,
        "path": cube.source,
        "shape": {"bands": bands, "rows": height, "cols": width},
        "dtype": str(cube.dtype),
        "bad_bands": int(cube.axis.is_bad.sum()),
        "map_frame": None if cube.georef is None else cube.georef.describe(),
    }
