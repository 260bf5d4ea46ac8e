"""Every registered method, and the scenes it must do well on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, WeightsError
from hsi_app.jobs import Job, Progress
from hsi_app.methods.registry import MethodSpec, methods
from hsi_app.optics import Optics, optics_of
from hsi_app.runner import Result, Settings, restore


@cache
def all_methods() -> dict[str, MethodSpec]:
    """The registry, and the example package whether it is installed or not."""
    from hsi_savgol.spec import SPEC

    return {**methods(), SPEC.id: SPEC}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``spec`` runs for every method; one that takes ``task`` too, for each of its tasks."""
    known = list(all_methods().values())
    if "run" in metafunc.fixturenames:
        # These restore; methods that unmix are held to theirs in test_contract_unmixing.py.
        known = [spec for spec in known if spec.kind == "restore"]
    if {"spec", "task"} <= set(metafunc.fixturenames):
        pairs = [(spec, task) for spec in known if spec.kind == "restore" for task in spec.tasks]
        metafunc.parametrize(("spec", "task"), pairs, ids=[f"{spec.id}-{task}" for spec, task in pairs])
    elif "spec" in metafunc.fixturenames:
        metafunc.parametrize("spec", known, ids=[spec.id for spec in known])


Run = Callable[..., Result]
# What the tasks that undo an optic are told of it.
OPTICS: dict[str, dict[str, Any]] = {"sr": {"scale": 2}, "deblur": {"psf_fwhm": 2.0}}


# Options of methods whose full length no test needs: what is promised holds for short runs too.
SHORT: dict[str, dict[str, Any]] = {"dds2m": {"updates": 12}}


@pytest.fixture(scope="session")
def run() -> Run:
    """``run(cube, spec, task=..., job=..., mask=..., tile=...)``; skips where a method's weights are not here."""

    def restored(
        cube: Cube, spec: MethodSpec, *, job: Job | None = None, mask: np.ndarray | None = None, **settings: Any
    ) -> Result:
        optics = OPTICS.get(settings.get("task") or spec.tasks[0], {})
        chosen = Settings(device="cpu", memory=2**33, **{**optics, **settings})
        try:
            return restore(cube, spec, SHORT.get(spec.id), settings=chosen, mask=mask, job=job)
        except WeightsError as error:
            pytest.skip(f"{spec.id}: {error}")

    return restored


@pytest.fixture(scope="session")
def optics() -> Callable[[str], Optics]:
    """``optics(task)``: those that ``run`` uses for a task."""
    return lambda task: optics_of(task, **OPTICS.get(task, {}))


@pytest.fixture(scope="session")
def check_stops() -> Callable[[Callable[[Job], object], float], None]:
    """``check_stops(start, share)``: a run that is asked to stop after that share of its steps takes no further one."""

    def check(start: Callable[[Job], object], share: float) -> None:
        steps: list[Progress] = []
        start(Job(on_progress=steps.append))
        stop_at, seen = 1 + int(share * (len(steps) - 2)), 0

        def listen(_progress: Progress) -> None:
            nonlocal seen
            seen += 1
            if seen == stop_at:
                job.cancel()

        job = Job(on_progress=listen)
        with pytest.raises(Cancelled):
            start(job)
        assert seen == stop_at

    return check


@pytest.fixture(scope="session")
def scene(make_cube: Callable[..., Cube]) -> Cube:
    """(18, 40, 52) float32 reflectance, sigma 0.04, one bad band, a missing corner, gain and map frame."""
    cube = make_cube(18, 40, 52, sigma=0.04, seed=3, nodata=-1.0, gain=np.linspace(1, 2, 18), offset=0.01)
    values = np.asarray(cube.values).copy()
    values[:, :3, :4] = -1.0
    bad = np.arange(18) == 11
    return replace(cube, values=values, bands=replace(cube.axis, bad=bad))


def without_wavelengths(cube: Cube) -> Cube:
    """The same cube, its wavelengths unknown."""
    return replace(cube, bands=BandAxis(cube.shape[0], bad=cube.axis.is_bad))


def on_grid_of(result: Result, samples: np.ndarray) -> np.ndarray:
    """Samples (B, h, w) of the input where they lie in the result: as blocks, where its grid is finer."""
    return samples.repeat(result.scale, axis=1).repeat(result.scale, axis=2)
