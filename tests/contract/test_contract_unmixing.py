"""What every unmixing method must do: watched, stopped, repeatable, the same in tiles, honest about what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.georef import GeoRef
from hsi_app.io.spectral_library import write_library
from hsi_app.jobs import Job, Progress
from hsi_app.library import SpectralLibrary
from hsi_app.methods.registry import MethodSpec, methods
from hsi_app.runner import Settings
from hsi_app.unmixing.result import Unmixing
from hsi_app.unmixing.runner import unmix

BANDS, ROWS, COLS, COUNT = 24, 34, 30, 3
Mixed = tuple[Cube, np.ndarray, np.ndarray]
Run = Callable[..., Unmixing]
CheckStops = Callable[[Callable[[Job], object], float], None]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "unmixer" in metafunc.fixturenames:
        known = list(methods("unmix").values())
        metafunc.parametrize("unmixer", known, ids=[spec.id for spec in known])


@pytest.fixture(scope="module")
def mixed() -> Mixed:
    """A noisy linear mixture with pure pixels, gain and map frame; its endmembers (B, K) and abundances (K, H, W)."""
    generator = np.random.default_rng(5)
    x = np.linspace(0, 1, BANDS)
    endmembers = np.stack([0.2 + 0.5 * x, 0.6 - 0.4 * x**2, 0.3 + 0.3 * np.sin(5 * x)], axis=1)
    shares = generator.dirichlet(np.full(COUNT, 0.6), (ROWS, COLS)).transpose(2, 0, 1)
    shares[:, :2, :COUNT] = np.eye(COUNT)[:, None, :]
    light = generator.uniform(0.6, 1.2, (ROWS, COLS))
    values = np.tensordot(endmembers, shares, axes=1) * light + generator.normal(0, 0.002, (BANDS, ROWS, COLS))
    cube = Cube(
        (values * 1e4).astype(np.float32), gain=1e-4, unit="reflectance", nodata=-9999.0,
        georef=GeoRef((30.0, 0.0, 5e5, 0.0, -30.0, 5e6), "EPSG:32633"),
    )  # fmt: skip
    return cube, endmembers, shares


@pytest.fixture(scope="module")
def run(mixed: Mixed, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """``run(cube, spec, job=..., mask=..., **settings)`` with options that every method can work with."""
    path = tmp_path_factory.mktemp("library") / "known.csv"
    write_library(SpectralLibrary(mixed[1], ("sand", "grass", "water")), path)

    def unmixed(
        cube: Cube, spec: MethodSpec, *, job: Job | None = None, mask: np.ndarray | None = None,
        more: dict[str, Any] | None = None, **settings: Any,
    ) -> Unmixing:  # fmt: skip
        options: dict[str, Any] = {"normalise": "l2"}
        if spec.id == "sunsal":
            options["library"] = str(path)
            options["sparsity"] = 1e-4
        else:
            options |= {"endmembers": COUNT, "starts": 4}
        chosen = Settings(**{"device": "cpu", "memory": 2**33, **settings})
        return unmix(cube, spec, {**options, **(more or {})}, chosen, mask=mask, job=job)

    return unmixed


def shares_of(result: Unmixing) -> np.ndarray:
    return np.asarray(result.abundances.read())


def test_progress_rises_to_one_and_says_what_is_done(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    seen: list[Progress] = []
    run(mixed[0], unmixer, job=Job(on_progress=seen.append))
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert all(progress.message for progress in seen)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_cancelled_run_takes_no_further_step(
    unmixer: MethodSpec, run: Run, mixed: Mixed, check_stops: CheckStops, share: float
) -> None:
    check_stops(lambda job: run(mixed[0], unmixer, job=job), share)


def test_same_seed_same_result(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    first, second = (run(mixed[0], unmixer, seed=3) for _ in range(2))
    np.testing.assert_array_equal(shares_of(first), shares_of(second))
    np.testing.assert_array_equal(first.endmembers.spectra, second.endmembers.spectra)


def test_tiles_equal_the_whole(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    whole, tiled = run(mixed[0], unmixer), run(mixed[0], unmixer, tile=13)
    assert tiled.record["tiles"] > 1
    np.testing.assert_array_equal(tiled.endmembers.spectra, whole.endmembers.spectra)
    for stem, cube in whole.cubes.items():
        np.testing.assert_allclose(np.asarray(tiled.cubes[stem].read()), np.asarray(cube.read()), atol=2e-6)


@pytest.mark.gpu
def test_a_graphics_card_gives_what_the_processor_gives(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    there, here = (run(mixed[0], unmixer, device=device) for device in ("cuda", "cpu"))
    assert np.abs(shares_of(there) - shares_of(here)).mean() < 1e-3


def test_fractions_of_a_clean_mixture_are_found(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    from hsi_app.unmixing.matching import match

    result = run(mixed[0], unmixer)
    # Truth for spectra of equal brightness: a fraction counts by the norm of its material.
    weighted = mixed[2] * np.linalg.norm(mixed[1], axis=0)[:, None, None]
    found = match(result.endmembers.spectra, mixed[1], shares_of(result), weighted / weighted.sum(axis=0))
    assert found.angles.max() < 0.09
    assert found.rmse < 0.08


def test_abundances_are_fractions(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    shares = shares_of(run(mixed[0], unmixer))
    assert shares.dtype == np.float32
    assert shares.min() >= 0
    if unmixer.id != "sunsal":
        np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-5)


def test_the_map_frame_the_names_and_the_unit_are_kept(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    result = run(mixed[0], unmixer)
    for cube in result.cubes.values():
        assert cube.georef == mixed[0].georef
        assert cube.shape[1:] == mixed[0].shape[1:]
    assert result.abundances.axis.names == result.names == result.endmembers.names
    assert result.endmembers.unit == "reflectance"
    # Endmembers come back in the physical unit, gain applied.
    assert 0.05 < np.nanmax(result.endmembers.spectra) < 2


def test_the_error_is_that_of_the_reconstruction(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    rms, relative = np.asarray(run(mixed[0], unmixer).error.read())
    assert np.isfinite(rms).all()
    assert 0.0005 < np.median(rms) < 0.02
    size = np.sqrt((np.asarray(mixed[0].read()) * 1e-4).astype(float) ** 2).mean()
    assert np.median(rms) / size == pytest.approx(np.median(relative), rel=0.5)


def test_the_input_is_not_changed(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    before = np.array(mixed[0].read())
    run(mixed[0], unmixer)
    np.testing.assert_array_equal(np.asarray(mixed[0].read()), before)


def test_empty_and_masked_pixels_get_nothing_and_are_counted(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    values = np.array(mixed[0].read())
    values[:, 5:8, 4:9] = 0
    values[:, 20, 20] = -9999
    mask = np.ones((ROWS, COLS), bool)
    mask[30:, :] = False
    result = run(replace(mixed[0], values=values), unmixer, mask=mask)
    blank = np.isnan(shares_of(result)).all(axis=0)
    expected = ~mask
    expected[5:8, 4:9] = expected[20, 20] = True
    np.testing.assert_array_equal(blank, expected)
    assert result.record["trace"]["blank_pixels"] == expected.sum()
    assert any("zeros" in note for note in result.record["notes"])


def test_a_pixel_with_gaps_is_close_to_what_it_was_without(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    values = np.array(mixed[0].read())
    values[3:7, 10:14, 10:14] = -9999
    whole, gappy = run(mixed[0], unmixer), run(replace(mixed[0], values=values), unmixer)
    assert np.isfinite(shares_of(gappy)).all()
    assert np.abs(shares_of(gappy) - shares_of(whole))[:, 10:14, 10:14].max() < 0.15


def test_bad_bands_are_left_out(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    values = np.array(mixed[0].read())
    values[4] = np.random.default_rng(0).normal(0, 1e6, values[4].shape)
    cube = replace(mixed[0], values=values, bands=mixed[0].axis.marked([4]))
    result = run(cube, unmixer)
    assert result.endmembers.bands == BANDS - 1 or unmixer.id == "sunsal"
    assert not result.channels.live[4]
    assert np.isnan(result.channels.weight[4])


def test_a_channel_of_noise_is_screened_out(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    values = np.array(mixed[0].read())
    values[9] = np.random.default_rng(0).normal(0, 1e4, values[9].shape)
    result = run(replace(mixed[0], values=values), unmixer)
    assert not result.channels.kept[9]
    assert result.channels.kept.sum() == BANDS - 1
    clean = shares_of(run(mixed[0], unmixer))
    order = [int(np.argmin([np.abs(a - b).mean() for b in clean])) for a in shares_of(result)]
    assert np.abs(shares_of(result) - clean[order]).mean() < 0.03


def test_the_record_can_be_stored(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    record = run(mixed[0], unmixer).record
    assert json.loads(json.dumps(dict(record), allow_nan=False))["method"] == unmixer.id


@pytest.mark.parametrize("fill", [np.nan, 0.0])
def test_a_cube_without_signal_is_refused_in_one_line(unmixer: MethodSpec, run: Run, fill: float) -> None:
    with pytest.raises(CubeError) as caught:
        run(Cube(np.full((BANDS, 12, 12), fill, np.float32)), unmixer)
    assert "\n" not in str(caught.value)


def test_all_masked_is_refused_in_one_line(unmixer: MethodSpec, run: Run, mixed: Mixed) -> None:
    with pytest.raises(CubeError, match="missing"):
        run(mixed[0], unmixer, mask=np.zeros((ROWS, COLS), bool))


def test_a_kept_result_is_whole(unmixer: MethodSpec, run: Run, mixed: Mixed, tmp_path: Path) -> None:
    from hsi_app.io import open_cube
    from hsi_app.io.spectral_library import read_library
    from hsi_app.unmixing.result import write_unmixing

    result = run(mixed[0], unmixer)
    folder = write_unmixing(result, tmp_path / "kept")
    expected = {"abundances.hdr", "error.hdr", "endmembers.csv", "endmembers.sli", "channels.csv", "report.html"}
    assert expected <= {path.name for path in folder.iterdir()}
    np.testing.assert_array_equal(np.asarray(open_cube(folder / "abundances.hdr").read()), shares_of(result))
    for name in ("endmembers.csv", "endmembers.sli"):
        np.testing.assert_allclose(read_library(folder / name).spectra, result.endmembers.spectra, rtol=1e-6)
        assert read_library(folder / name).names == result.names
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
