"""How every method must behave while it runs: watched, stopped, and leaving no trace elsewhere."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from hsi_app.cube import Cube
from hsi_app.jobs import Job, Progress
from hsi_app.methods.registry import MethodSpec
from hsi_app.optics import Optics
from hsi_app.problem import Problem
from hsi_app.runner import Result
from hsi_app.scene import Scene
from hsi_app.tiling import Window

Run = Callable[..., Result]
CheckStops = Callable[[Callable[[Job], object], float], None]


def watched(run: Run, cube: Cube, spec: MethodSpec, task: str) -> list[Progress]:
    seen: list[Progress] = []
    run(cube, spec, task=task, job=Job(on_progress=seen.append))
    return seen


def test_progress_rises_to_one(spec: MethodSpec, task: str, run: Run, scene: Cube) -> None:
    fractions = [progress.fraction for progress in watched(run, scene, spec, task)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_every_step_says_what_is_done(spec: MethodSpec, task: str, run: Run, scene: Cube) -> None:
    assert all(progress.message for progress in watched(run, scene, spec, task))


def test_the_method_itself_reports_so_that_it_can_be_stopped(
    spec: MethodSpec, task: str, run: Run, scene: Cube
) -> None:
    # The runner alone makes three reports: reading, tile done, done.
    assert len(watched(run, scene, spec, task)) >= 5


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_a_cancelled_run_takes_no_further_step(
    spec: MethodSpec, task: str, run: Run, scene: Cube, check_stops: CheckStops, share: float
) -> None:
    check_stops(lambda job: run(scene, spec, task=task, job=job), share)


def test_nobody_draws_from_the_global_generators(spec: MethodSpec, task: str, run: Run, scene: Cube) -> None:
    def states() -> tuple:
        return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002

    before = states()
    run(scene, spec, task=task)
    assert states() == before


def test_global_settings_of_torch_and_numpy_are_left_alone(spec: MethodSpec, task: str, run: Run, scene: Cube) -> None:
    def settings() -> tuple:
        return torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads(), np.geterr()

    before = settings()
    run(scene, spec, task=task)
    assert settings() == before


def test_the_tensors_a_method_is_given_are_not_changed(
    spec: MethodSpec, task: str, scene: Cube, optics: Callable[[str], Optics]
) -> None:
    # They belong to the scene, which hands the same memory to the next tile.
    whole = Scene(scene, scene.axis.good, torch.device("cpu"))
    params, job = spec.parameters.parse({}), Job()
    prepare = spec.load_prepare()
    shared = {} if prepare is None else prepare(whole, params, task, job)
    observed, valid = (tensor.clone() for tensor in whole.tensors())
    kept = {key: np.array(value, copy=True) for key, value in shared.items()}
    window = Window(0, 0, *whole.shape[1:])
    problem = Problem(
        *whole.tensors(), task, whole.wavelengths_nm, window, optics(task).operator(whole.shape), shared=shared
    )
    spec.load_run()(problem, params, job)
    assert torch.equal(whole.tensors()[0], observed)
    assert torch.equal(whole.tensors()[1], valid)
    for key, value in shared.items():
        np.testing.assert_array_equal(value, kept[key])


def test_the_record_of_a_run_can_be_stored(spec: MethodSpec, task: str, run: Run, scene: Cube) -> None:
    record = run(scene, spec, task=task).record
    assert json.loads(json.dumps(dict(record), allow_nan=False))["method"] == spec.id
