"""MP-HSIR on the scenes kept aside: what the network adds to its start, to plain baselines, and what blind use costs.

The table of the README is ``python benchmarks/mphsir.py table``; here one case stands for each kind.
"""

from __future__ import annotations

from pathlib import Path

import mphsir as bench
import numpy as np
import pytest
from scenes import TEST, reference

from hsi_app.runner import Settings, restore

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("real_data")]

KINDS = {kind: cases[len(cases) // 2] for kind, cases in bench.CASES.items()}


@pytest.fixture(scope="module")
def table(real_data: Path) -> dict[str, dict[str, float]]:
    """PSNR by kind and column, means over the scenes."""
    with bench.shuffled_weights() as shuffled:
        found = {}
        for kind, case in KINDS.items():
            rows = []
            for scene in TEST:
                truth, bad = bench.degraded(scene, case)
                lost = bench.lost_bands(bad, case)
                values = {
                    "input": bench.shown(bad, truth, case), "baseline": bench.baseline(bad, case),
                    **{name: bench.undo(bad, case, weights=weights).cube.read()
                       for name, weights in (("start", "none"), ("ours", "prompted"), ("shuffled", shuffled))},
                }  # fmt: skip
                rows.append({name: bench.scored(part, truth, lost)[0] for name, part in values.items()})
            found[kind] = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return found


def test_every_task_is_at_least_as_good_as_its_classical_start(table: dict[str, dict[str, float]]) -> None:
    # A band that is lost comes back as interpolated, to the last hundredths.
    assert all(row["ours"] > row["start"] - 0.02 for row in table.values()), table


def test_noise_gaps_and_haze_gain_a_decibel_on_plain_baselines(table: dict[str, dict[str, float]]) -> None:
    four = [table[kind]["ours"] - table[kind]["baseline"] for kind in ("gauss", "complex", "inpaint", "haze")]
    assert np.mean(four) > 1
    assert min(four) > 0.5


def test_shuffled_weights_do_worse_than_none(table: dict[str, dict[str, float]]) -> None:
    harmed = [row["shuffled"] < row["start"] - 0.1 for kind, row in table.items() if kind != "inpaint"]
    assert sum(harmed) >= 5, table


@pytest.mark.parametrize("scene", TEST)
def test_a_clean_scene_keeps_45_db(scene: str) -> None:
    truth = reference(scene)
    found = restore(truth, "mphsir", {"degradations": "auto"}, Settings(device="cpu"))
    assert bench.scored(found.cube.read(), truth)[0] > 45


def test_the_benchmark_is_the_one_of_the_readme() -> None:
    assert "benchmarks/mphsir.py table" in (Path(__file__).parents[2] / "README.md").read_text()
