"""The report's charts of a method that is fitted step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hsi_app.cube import Cube
from hsi_app.report import write_report
from hsi_app.report.fit_chart import fit_charts
from hsi_app.runner import Settings, restore

STOPPED = "held-out samples were predicted no better for 200 updates"
TRACE = {
    "curve": [[0.0, 2.0, 0.0, 0.0, 1.0], [10.0, 1.5, 1.1, 0.0, 1.1], [20.0, 1.6, 1.0, 0.0, 1.0]],
    "kept_update": 10,
    "stopped": STOPPED,
}


def test_a_fit_has_a_chart_of_what_it_never_saw_and_one_of_its_residual() -> None:
    error, residual = fit_charts(TRACE)
    assert STOPPED in error.caption
    assert error.light.startswith("data:image/png")
    assert "variance" not in error.caption
    assert "noise" in residual.caption


def test_methods_that_are_not_fitted_have_none() -> None:
    assert fit_charts({"rank": 5}) == ()


def test_the_report_shows_the_curve_and_why_it_ended_and_keeps_its_numbers_off_the_table(
    make_cube: Callable[..., Cube], tmp_path: Path
) -> None:
    cube = make_cube(8, 24, 24, sigma=0.05)
    result = restore(cube, "dds2m", {"updates": 20}, Settings(device="cpu"))
    page, facts = write_report(result, tmp_path / "fit.html")
    text = page.read_text(encoding="utf-8")
    assert "How the fit went" in text
    assert result.record["trace"]["stopped"] in text
    assert "<td>curve</td>" not in text
    assert np.asarray(result.record["trace"]["curve"]).shape == (3, 5)
    assert '"curve"' in facts.read_text(encoding="utf-8")
