"""The report of a run: JSON for programs and one self-contained HTML page for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import ParameterError
from hsi_app.files import check_target, to_json, write_text
from hsi_app.methods.registry import broken_methods, methods
from hsi_app.params import options
from hsi_app.report_page import ParameterRow, render
from hsi_app.report_sample import ReportSample, take_sample
from hsi_app.runner import Result

_WORST_STRIPED = 6


def write_report(
    result: Result, path_html: str | Path, *, reference: Cube | None = None, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write ``path_html`` and, of the same stem, a JSON file; both whole or not at all.

    Only single bands, thinned, and one crop of the cubes are read (and, with a reference, what the score needs).

    Parameters
    ----------
    result : what ``restore`` or ``run_recipe`` returned
    path_html : file name that ends in .html or .htm
    reference : clean cube to score input and output against; no method has seen it
    overwrite : replace existing files

    Returns
    -------
    Paths of the HTML and the JSON file.

    Raises
    ------
    ParameterError
        If the name does not end in .html.
    OutputError
        If a file exists or cannot be written.
    CubeError
        If the reference has another shape.
    """
    page = Path(path_html)
    if page.suffix.lower() not in (".html", ".htm"):
        raise ParameterError(f"the report is '{page}'; name a file that ends in .html.")
    data = page.with_suffix(".json")
    for target in (page, data):
        check_target(target, overwrite=overwrite)
    sample = take_sample(result)
    facts = gather(result, sample, reference)
    text = render(facts, result.observed, sample, parameter_rows(facts))
    write_text(data, to_json(facts) + "\n", overwrite=overwrite)
    write_text(page, text, overwrite=overwrite)
    return page, data


def gather(result: Result, sample: ReportSample, reference: Cube | None = None) -> dict[str, Any]:
    """Everything the report says, as plain values: the run's record and the measures of the sample."""
    record = dict(result.record)
    steps = record.get("steps", [record])
    facts: dict[str, Any] = {
        **record,
        "steps": [{k: v for k, v in step.items() if k != "steps"} for step in steps],
        "seconds": sum(step["seconds"] for step in steps),
        "references": _distinct([r for step in steps for r in step["references"]]),
        "limits": _distinct([text for step in steps for text in step["limits"]]),
        "weights": _distinct([name for step in steps for name in step["weights"]]),
        "noise": _noise(result.observed, sample),
        "stripes": _stripes(result.observed, sample),
        "pixels": [{"role": p.role, "row": p.row, "col": p.col} for p in sample.pixels],
        "history": list(result.cube.history),
    }
    if reference is not None:
        from hsi_app.metrics import score

        bad = result.observed.axis.is_bad
        if reference.axis.count == bad.size:
            # Bands marked bad in the input were passed through; they say nothing about the method.
            reference = replace(reference, bands=reference.axis.marked(np.flatnonzero(bad)))
        facts["score"] = {
            "reference": reference.source or reference.name,
            "before": score(result.observed, reference),
            "after": score(result.cube, reference),
        }
    return facts


def _distinct(items: list[Any]) -> list[Any]:
    """Without repeats, in order; items may be dicts."""
    return [item for k, item in enumerate(items) if item not in items[:k]]


def _noise(cube: Cube, sample: ReportSample) -> dict[str, Any]:
    before, after = sample.noise_before, sample.noise_after
    good = cube.axis.good if cube.axis.good.size else np.arange(cube.shape[0])
    # SNR and level give back the signal's magnitude, against which the removed part is a share.
    signal = before.std[good] * 10 ** (before.snr_db[good] / 20)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = sample.removed_std[good] / signal
    return {
        "std_before": before.std,
        "std_after": after.std,
        "snr_db_before": before.snr_db,
        "snr_db_after": after.snr_db,
        "removed_std": sample.removed_std,
        "missing_share": before.missing_share,
        "median_snr_db_before": _median(before.snr_db[good]),
        "median_snr_db_after": _median(after.snr_db[good]),
        "median_removed_share": _median(share),
    }


def _median(values: np.ndarray) -> float:
    seen = values[np.isfinite(values)]
    return float(np.median(seen)) if seen.size else float("nan")


def _stripes(cube: Cube, sample: ReportSample) -> list[dict[str, Any]]:
    """The bands with the strongest stripes before, worst first, bad bands last."""
    before = np.stack([sample.noise_before.stripe_rows, sample.noise_before.stripe_cols])
    after = np.stack([sample.noise_after.stripe_rows, sample.noise_after.stripe_cols])
    strength = np.where(np.isfinite(before), before, 0).max(0)
    order = np.lexsort((-strength, cube.axis.is_bad))[:_WORST_STRIPED]
    found = []
    for b in (int(k) for k in order if strength[k] > 0):
        axis = int(np.nanargmax(before[:, b]))
        found.append(
            {"band": b + 1, "label": cube.axis.label(b), "along": ("rows", "columns")[axis],
             "before": float(before[axis, b]), "after": float(after[axis, b])}
        )  # fmt: skip
    return found


def parameter_rows(facts: Mapping[str, Any]) -> list[ParameterRow]:
    """Every option of every step: name, value used, range and meaning, and whether it is the default."""
    rows: list[ParameterRow] = []
    several = len(facts["steps"]) > 1
    for n, step in enumerate(facts["steps"], 1):
        place = f"{n}. {step['method']}: " if several else ""
        given = step["options"]
        known = methods().get(step["method"])
        if known is None:
            reason = broken_methods().get(step["method"], "method not installed here")
            rows += [(place + name, str(value), reason, False) for name, value in given.items()]
            continue
        for option in options(known.parameters):
            value = given.get(option.name)
            shown = "found from the data" if value is None and option.is_optional else str(value)
            about = option.description + (f" Range: {option.range_text}." if option.range_text else "")
            rows.append((place + option.cli_name, shown, about, value == option.default))
    return rows
