"""The recipe of the prompted network: records of every kind, training that gains, stopping, and export; no data."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hsi_models.store import load_card, sha256_of, verify

from hsi_app.methods.mphsir.names import DEGRADATIONS
from hsi_app.weights import load_network

RECIPE = Path(__file__).parents[2] / "models" / "recipes" / "prompted"
KINDS = ("gauss", "complex", "blur", "sr", "inpaint", "haze", "bandloss", "motion", "poisson")
CPU = torch.device("cpu")
# Of a run of 200 steps.
RATE_SHORT, EMA_SHORT = 4e-3, 0.97
TINY: dict[str, Any] = {
    "width": 8, "blocks": (1, 1, 1, 1), "prompt": 16, "tokens": 4, "spectral_prompts": 8, "spectral_rank": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def recipe() -> Iterator[ModuleType]:
    """The recipe's script as a module; its runs seed torch, so the state is put back."""
    kept = torch.get_rng_state()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(RECIPE))
        import train as module

        yield module
    torch.set_rng_state(kept)
    for name in ("train", "samples", "pool", "clean_scenes"):
        sys.modules.pop(name, None)


@pytest.fixture
def train(recipe: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """With a network of the same kind that a test can train."""
    for name, value in TINY.items():
        monkeypatch.setitem(recipe.NETWORK, name, value)
    return recipe


def fill(folder: Path, kinds: tuple[str, ...], seeds: range) -> Path:
    """A pool of records of made scenes, the same for the same seeds."""
    from clean_scenes import made_scene
    from pool import make_record

    folder.mkdir()
    for kind in kinds:
        for seed in seeds:
            rng = np.random.default_rng(seed)
            torch.save(make_record(made_scene(rng), kind, rng, seed=seed), folder / f"{kind}-{seed}.pt")
    return folder


@pytest.fixture(scope="module")
def folder(recipe: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two records of every kind."""
    return fill(tmp_path_factory.mktemp("recipe") / "pool", KINDS, range(2))


def steps(module: ModuleType, run: Any, pool: Any, count: int) -> None:
    """Updates whose batches depend on the step alone."""
    for _ in range(count):
        batch = pool.draw(np.random.default_rng([20, run.step]), [32], 2 * 32 * 32)
        run.learn(batch, module.RATE, module.EMA)


def test_records_are_made_of_every_degradation_that_can_be_prompted() -> None:
    assert set(KINDS) == set(DEGRADATIONS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_counts_as_what_it_was_made_for(train: ModuleType, folder: Path, kind: str) -> None:
    pool = train.Pool(folder)
    assert pool.kinds == sorted(KINDS)
    assert len(pool.records[kind]) == 2


def test_a_record_depends_on_its_number_alone(train: ModuleType, folder: Path, tmp_path: Path) -> None:
    again = fill(tmp_path / "again", ("complex", "haze"), range(1, 2))
    for path in again.iterdir():
        first, second = (torch.load(where, weights_only=True) for where in (folder / path.name, path))
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert torch.equal(value, second[key]) if torch.is_tensor(value) else value == second[key]


@pytest.mark.parametrize("kind", KINDS)
def test_an_untrained_network_leaves_every_record_as_the_classical_estimate_has_it(
    train: ModuleType, folder: Path, tmp_path: Path, kind: str
) -> None:
    from samples import gain_db

    run, pool = train.Run(tmp_path, CPU, 0, None), train.Pool(folder)
    pool.records = {kind: pool.records[kind]}
    batch = pool.draw(np.random.default_rng(0), [32], 2 * 32 * 32)
    with torch.no_grad():
        left = train.answer(run.network, batch)
    assert batch.kind == kind
    assert bool(left.isfinite().all())
    torch.testing.assert_close(gain_db(batch, left), torch.zeros(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_degradation_moves_the_network(train: ModuleType, folder: Path, tmp_path: Path, kind: str) -> None:
    run, pool = train.Run(tmp_path, CPU, 0, None), train.Pool(folder)
    pool.records = {kind: pool.records[kind]}
    before = [parameter.clone() for parameter in run.network.parameters()]
    steps(train, run, pool, 2)
    after = list(run.network.parameters())
    assert all(bool(parameter.isfinite().all()) for parameter in after)
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_the_same_draw_gives_the_same_batch(train: ModuleType, folder: Path) -> None:
    pool = train.Pool(folder)
    for seed in range(4):
        first, second = (pool.draw(np.random.default_rng(seed), [32, 64], 64 * 64) for _ in range(2))
        assert first.kind == second.kind
        for name, part in vars(first).items():
            if torch.is_tensor(part):
                assert torch.equal(part, getattr(second, name))


def test_records_that_come_later_are_found(train: ModuleType, tmp_path: Path) -> None:
    place = fill(tmp_path / "pool", ("bandloss",), range(1))
    pool = train.Pool(place)
    assert len(pool) == 1
    shutil.copy(place / "bandloss-0.pt", place / "more.pt")
    pool.look()
    assert len(pool) == len(pool.records["bandloss"]) == 2


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    train: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The rate rises anew after a stop; without that rise the weights must be the same.
    monkeypatch.setattr(train, "WARM_UP", 1)
    pool = train.Pool(folder)
    for part in ("whole", "cut"):
        (tmp_path / part).mkdir()
    whole = train.Run(tmp_path / "whole", CPU, 0, None)
    steps(train, whole, pool, 4)
    first = train.Run(tmp_path / "cut", CPU, 0, None)
    steps(train, first, pool, 2)
    first.save()
    second = train.Run(tmp_path / "cut", CPU, 99, None)
    assert second.step == 2
    steps(train, second, pool, 2)
    for kept in ("network", "mean"):
        ours, theirs = (getattr(run, kept).state_dict() for run in (whole, second))
        for name, value in ours.items():
            torch.testing.assert_close(theirs[name], value, atol=0, rtol=0)


def exported(module: ModuleType, work: Path, target: Path) -> None:
    module.export(argparse.Namespace(work=work, export=target))


def test_the_export_is_weights_with_a_card_that_load(train: ModuleType, folder: Path, tmp_path: Path) -> None:
    run = train.Run(tmp_path, CPU, 0, None)
    steps(train, run, train.Pool(folder), 3)
    run.save()
    exported(train, tmp_path, tmp_path / "prompted")
    card = load_card(tmp_path / "prompted")
    verify(card)
    assert card.sha256 == sha256_of(tmp_path / "prompted" / card.file)
    assert card.licence
    assert card.data
    assert card.prompts == tuple(DEGRADATIONS)
    assert "3 updates" in card.recipe
    loaded = load_network(card).state_dict()
    for name, value in run.mean.state_dict().items():
        # Stored in half precision: 11 bits.
        torch.testing.assert_close(loaded[name].float(), value, atol=1e-6, rtol=5e-4)


def test_a_run_can_begin_with_weights_that_were_exported(train: ModuleType, folder: Path, tmp_path: Path) -> None:
    run = train.Run(tmp_path, CPU, 0, None)
    steps(train, run, train.Pool(folder), 3)
    run.save()
    exported(train, tmp_path, tmp_path / "prompted")
    (tmp_path / "other").mkdir()
    other = train.Run(tmp_path / "other", CPU, 1, tmp_path / "prompted")
    for ours, theirs in zip(run.mean.parameters(), other.network.parameters(), strict=True):
        torch.testing.assert_close(theirs, ours, atol=1e-6, rtol=5e-4)


def test_the_network_that_is_shipped_takes_less_than_16_mib(recipe: ModuleType, tmp_path: Path) -> None:
    run = recipe.Run(tmp_path, CPU, 0, None)
    run.save()
    exported(recipe, tmp_path, tmp_path / "prompted")
    assert (tmp_path / "prompted" / load_card(tmp_path / "prompted").file).stat().st_size < 16 * 2**20


@pytest.mark.slow
def test_training_lowers_the_error_on_records_that_it_has_not_seen_by_a_fifth(
    recipe: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As wide as the one that is shipped: a group of bands does not fit through fewer channels.
    for name, value in {**TINY, "width": 32}.items():
        monkeypatch.setitem(recipe.NETWORK, name, value)
    monkeypatch.setattr(recipe, "WARM_UP", 10)
    pool = recipe.Pool(fill(tmp_path / "pool", ("bandloss",), range(16)))
    held = recipe.Pool(fill(tmp_path / "held", ("bandloss",), range(1000, 1008)))
    run, rng = recipe.Run(tmp_path, CPU, 0, None), np.random.default_rng(0)
    for _ in range(200):
        run.learn(pool.draw(rng, [32], 8 * 32 * 32), RATE_SHORT, EMA_SHORT)
    # Root mean square of a lost band, mean of its logarithm: measured 2.5 dB.
    assert recipe.watch(run.mean, held)["bandloss"] >= -20 * math.log10(0.8)
