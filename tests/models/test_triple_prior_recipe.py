"""The recipe of the triple prior: stops and goes on to the same weights, and exports what diffusers reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hsi_models.store import load_card, verify

RECIPE = Path(__file__).parents[2] / "models" / "recipes" / "triple_prior"
DATA = Path(os.environ.get("HSI_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The recipe's script as a module; it seeds torch for every step, so the state is put back."""
    monkeypatch.syspath_prepend(str(RECIPE))
    kept = torch.get_rng_state()
    import train as module

    # A network of the same kind that a test can train.
    monkeypatch.setitem(module.NETWORK, "block_out_channels", (8, 8, 16, 16))
    monkeypatch.setitem(module.NETWORK, "norm_num_groups", 4)
    yield module
    torch.set_rng_state(kept)
    for name in ("train", "crops"):
        sys.modules.pop(name, None)


def steps(module: ModuleType, run: object, count: int) -> None:
    for _ in range(count):
        rng = np.random.default_rng([20, run.step])
        torch.manual_seed(run.step)
        level = module.draw_levels(2, rng)
        clean = torch.from_numpy(rng.uniform(-1, 1, (2, 3, 16, 16))).float()
        run.update(clean, level, module.Levels().places(level), module.RATE)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(train: ModuleType, tmp_path: Path) -> None:
    whole = train.Run(tmp_path / "whole", torch.device("cpu"), seed=0)
    steps(train, whole, 4)
    first = train.Run(tmp_path / "cut", torch.device("cpu"), seed=0)
    steps(train, first, 2)
    first.save()
    second = train.Run(tmp_path / "cut", torch.device("cpu"), seed=99)
    assert second.step == 2
    steps(train, second, 2)
    for ours, theirs in zip(whole.mean.parameters(), second.mean.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=0, rtol=0)


def test_levels_are_told_as_places_on_the_training_schedule(train: ModuleType) -> None:
    shares = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    places = np.array([3, 400, 998])
    level = torch.from_numpy(np.sqrt((1 - shares[places]) / shares[places]))
    np.testing.assert_allclose(train.Levels().places(level), places, atol=1e-2)


def test_mixing_keeps_the_variance(train: ModuleType) -> None:
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(4, 3, 64, 64, generator=generator) for _ in range(2))
    mixed = train.noisy(clean, noise, torch.tensor([0.01, 0.5, 2.0, 50.0], dtype=torch.float64))
    np.testing.assert_allclose(mixed.var((1, 2, 3)), 1, atol=0.05)


def test_the_export_is_a_folder_that_diffusers_reads(train: ModuleType, tmp_path: Path) -> None:
    from diffusers import DDIMScheduler, UNet2DModel

    run = train.Run(tmp_path / "work", torch.device("cpu"), seed=0)
    steps(train, run, 1)
    train.export(run, tmp_path / "triple-prior")
    verify(load_card(tmp_path / "triple-prior"))
    loaded = UNet2DModel.from_pretrained(tmp_path / "triple-prior")
    state = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs, ours = loaded(state, 10).sample, run.mean(state, 10).sample
    # Stored in half precision: 11 bits.
    torch.testing.assert_close(theirs, ours, atol=5e-3, rtol=5e-3)
    scheduler = DDIMScheduler.from_pretrained(tmp_path / "triple-prior")
    assert scheduler.config.beta_schedule == "linear"
    assert scheduler.config.prediction_type == "epsilon"


@pytest.mark.skipif(not DATA.is_dir(), reason="no real data: set HSI_TEST_DATA")
def test_crops_are_the_same_for_the_same_draw_and_hold_no_test_scene(train: ModuleType) -> None:
    from crops import Crops

    crops = Crops(DATA)
    first, second = (crops.draw(24, np.random.default_rng(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (24, 3, 64, 64)
    assert float(first.abs().max()) <= 1.2 + 1e-6
    # 15 cubes are for training; one of them is watched only.
    assert len(crops.cubes) == 14
    assert crops.watched().shape[1:] == (3, 64, 64)
