"""Small scenes for DDS2M, and short ways to run it or its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_app.methods.dds2m.fit import Fitted
from hsi_app.methods.dds2m.prepare import prepare
from hsi_app.methods.dds2m.run import _Setting
from hsi_app.methods.dds2m.spec import Dds2mParameters
from hsi_app.methods.lowrank.observation import whiten
from hsi_app.optics import optics_of
from hsi_app.problem import Problem
from hsi_app.runner import Result, Settings, restore
from hsi_app.scene import Scene
from hsi_app.tiling import Window
from tests.conftest import mixed_scene

Watch = Callable[[int, torch.Tensor, str], None]


def run(values: np.ndarray, task: str = "denoise", /, *, seed: int = 0, job: Job | None = None, **given: Any) -> Result:
    """Restored on one thread; the settings ``scale``, ``tile`` and ``keep_observed`` aside, ``given`` are options."""
    centres = given.pop("centres_nm", None)
    folder = given.pop("checkpoint", None)
    chosen = {name: given.pop(name) for name in ("scale", "tile", "keep_observed") if name in given}
    settings = Settings(task=task, device="cpu", seed=seed, **chosen)
    method = given.pop("method", "dds2m")
    return restore(Cube(values, BandAxis(len(values), centres)), method, given, settings, job=job, checkpoint=folder)


def problem_of(values: np.ndarray, task: str = "denoise", *, scale: int | None = None, **given: Any) -> Problem:
    """The whole scene as one tile, prepared."""
    scene = Scene(Cube(values, BandAxis(len(values))), np.arange(len(values)), torch.device("cpu"))
    observed, valid = scene.tensors()
    shape = (observed.shape[0], observed.shape[1], observed.shape[2])
    operator = optics_of(task, scale, None).operator(shape)
    shared = prepare(scene, Dds2mParameters.parse(given), task, Job())
    return Problem(observed, valid, task, None, Window(0, 0, *shape[1:]), operator, shared)


def setting_of(problem: Problem, seed: int = 0, **given: Any) -> _Setting:
    with torch.no_grad():
        return _Setting(problem, Dds2mParameters.parse(given), whiten(problem), Job(seed=seed))


def fitted(setting: _Setting, watch: Watch = lambda update, guess, text: None) -> Fitted:
    with torch.no_grad():
        return setting.run(0, Job(), watch)[0]


def noisy_of(clean: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    return (clean + np.random.default_rng(seed).normal(0, sigma, clean.shape)).astype(np.float32)


def smooth(bands: int = 12, height: int = 24, width: int = 32) -> np.ndarray:
    return mixed_scene(bands, height, width)[0]


def small(sigma: float = 0.03) -> np.ndarray:
    """A cube on which an update takes milliseconds."""
    return noisy_of(smooth(), sigma)


def with_dead_columns(values: np.ndarray, columns: tuple[int, ...]) -> np.ndarray:
    gappy = values.copy()
    gappy[:, :, list(columns)] = np.nan
    return gappy


def gappy_small() -> np.ndarray:
    return with_dead_columns(small(), (5, 6, 20))
