"""Random settings for training: names from the stated ranges, the same for the same seed."""

import collections

import numpy as np
import pytest
import torch

from hsi_app.errors import ParameterError
from hsi_app.physics.degrade import parse_degradation
from hsi_app.physics.degrade_batch import TASKS, degrade_batch, draw_setting
from tests.engine.test_degrade_batch import rng, textured


@pytest.mark.parametrize("task", TASKS)
def test_settings_repeat_vary_and_keep_the_size(task):
    drawn = [draw_setting(task, rng(seed), side_px=48) for seed in range(24)]
    assert drawn == [draw_setting(task, rng(seed), side_px=48) for seed in range(24)]
    assert len(set(drawn)) > 3
    cubes = textured(24, 10, 48, 48)
    found = degrade_batch(cubes, drawn, rng())
    assert found.observed.shape == cubes.shape
    assert torch.isfinite(found.observed).all()
    changed = (found.observed != cubes).flatten(1).any(dim=1)
    assert changed.all()


RANGES = {
    "gauss": {"gauss-": [(5, 75)]},
    "complex": {"mixed-": [(1, 5), (1, 3)]},
    "blur": {"blur-": [(7, 21), (0.3, 1), (0, 180)]},
    "inpaint": {"inpaint-": [(0.5, 0.95)], "pixels-": [(0.5, 0.95)], "lines-": [(0.05, 0.3)],
                "blocks-": [(0.1, 0.4), (4, 16)]},
    "haze": {"haze-": [(0.3, 1), (0.5, 2)]},
    "bandloss": {"bandloss-": [(0.1, 0.3)], "bandrun-": [(0.1, 0.3)]},
    "motion": {"motion-": [(7, 21), (0, 180)]},
    "poisson": {"poisson-": [(5, 60)]},
    "sr": {"sr-x": [(2, 8)], "thin-x": [(2, 8)]},
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_settings_fill_their_ranges(task):
    generator, seen = rng(), collections.defaultdict(list)
    for _ in range(400):
        step = parse_degradation(draw_setting(task, generator)).steps[0]
        seen[step.kind.stem].append(step.numbers)
    assert set(seen) == set(RANGES[task])
    for stem, limits in RANGES[task].items():
        drawn = np.array(seen[stem])
        for values, (low, high) in zip(drawn.T, limits, strict=True):
            inside = values[(values != 0) & (values != 1)] if stem == "blur-" else values
            assert low <= inside.min() < low + 0.2 * (high - low)
            assert high - 0.2 * (high - low) < inside.max() <= high


def test_scales_divide_the_patch():
    drawn = {draw_setting("sr", rng(seed), side_px=64) for seed in range(200)}
    assert {name[-1] for name in drawn} == {"2", "4", "8"}
    assert {name[-1] for name in (draw_setting("sr", rng(seed)) for seed in range(200))} == {"2", "3", "4", "8"}
    with pytest.raises(ParameterError, match="61 px"):
        draw_setting("sr", rng(), side_px=61)


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(ParameterError, match="gauss, complex"):
        draw_setting("denoise", rng())
