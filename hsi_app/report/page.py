"""The HTML page of a report: everything in one file, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.device import format_bytes
from hsi_app.methods.registry import TASKS
from hsi_app.record import steps_of
from hsi_app.report.charts import Chart
from hsi_app.report.findings import Findings
from hsi_app.report.fit_chart import CURVE, fit_charts
from hsi_app.report.parts import (
    bullets,
    charts_grid,
    duration,
    escape,
    facts_card,
    figure,
    frame,
    options_table,
    percent,
    references,
    section,
    stat_tiles,
    table,
    unique,
)
from hsi_app.report.pictures import Picture, Row

if TYPE_CHECKING:
    from hsi_app.runner import Result

# Name in the page, unit and direction of the figures that hsi_app.metrics.score gives.
_SCORES = {
    "psnr": ("PSNR", "dB", "higher"),
    "ssim": ("SSIM", "", "higher"),
    "sam": ("Spectral angle", "°", "lower"),
    "ergas": ("ERGAS", "", "lower"),
    "rmse": ("RMSE", "data units", "lower"),
}


@dataclass(frozen=True)
class Content:
    """What the page is made of."""

    result: Result
    findings: Findings
    gallery: Sequence[Row]
    spectra: tuple[Chart, ...]
    charts: tuple[Chart, ...]
    recipe: str

    @property
    def steps(self) -> Sequence[Mapping[str, Any]]:
        """Records of the steps; one for a plain run."""
        return steps_of(self.result.record)


def page(content: Content) -> str:
    """The whole page as HTML text."""
    record = content.result.record
    name = str(record["input"]["name"])
    sections = [
        section("pictures", "Before and after", pictures_section(content.result, content.findings, content.gallery)),
        section("spectra", "Spectra", charts_grid(content.spectra)) if content.spectra else "",
        section("bands", "Band by band", charts_grid(content.charts)),
        section("stripes", "Stripes", _stripes(content.result.observed.axis, content.findings)),
        *_fits(content),
        section("run", "How it was made", _run(content)),
        section("limits", "Limits", bullets(unique(step["limits"] for step in content.steps))),
        section("cite", "To cite", references(content.steps)),
    ]
    if content.findings.score_after:
        sections.insert(0, section("score", "Against the reference", _scores(content.findings)))
    what = ", then ".join(f"{TASKS[s['task']].lower()} · {s['title']}" for s in content.steps)
    return frame("Restoration report", name, what[:1].upper() + what[1:], _tiles(content), sections, record)


def _tiles(content: Content) -> str:
    findings, record = content.findings, content.result.record
    shape = record["input"]["shape"]
    tiles = [(f"{shape['bands']} bands", f"of {shape['rows']} × {shape['cols']} pixels")]
    snr = findings.before.snr_db[findings.worked]
    if np.isfinite(snr).any():
        tiles.append((f"{np.nanmedian(snr):.0f} dB", "signal to noise before, median band"))
    if findings.score_after:
        gain = findings.score_after["psnr"] - findings.score_before["psnr"]
        if np.isfinite(gain):
            tiles.append((f"{gain:+.1f} dB", "PSNR against the reference"))
    tiles.append((percent(findings.changed_share), "of the observed samples changed"))
    if findings.filled_share > 0:
        tiles.append((percent(findings.filled_share), "of all samples filled in"))
    structure = findings.structure[findings.worked]
    if np.isfinite(structure).any():
        tiles.append((f"{np.nanmedian(structure):.2f}", "structure in the removed part (0 = grain), median band"))
    seconds = sum(step["seconds"] for step in content.steps)
    tiles.append((duration(seconds), f"on {record['device']}, {format_bytes(record['peak_memory_bytes'])} at most"))
    return stat_tiles(tiles)


def pictures_section(result: Result, findings: Findings, rows: Sequence[Row]) -> str:
    """The gallery with the places of the spectra pinned on its first picture after."""
    _, height, width = result.observed.shape
    pins = "".join(
        f'<span class="pin" style="left:{100 * (p.col + 0.5) / width:.2f}%;'
        f'top:{100 * (p.row + 0.5) / height:.2f}%">{n}</span>'
        for n, p in enumerate(findings.places, 1)
    )
    unit = result.observed.unit
    cards = []
    for row in rows:
        figures = "".join(
            figure(p, pins if row is rows[0] and p.title == "after" else "", _ramp(p, unit)) for p in row.pictures
        )
        cards.append(f'<div class="card"><h3>{escape(row.words)}</h3><div class="pictures">{figures}</div></div>')
    scale = result.scale
    finer = f" Before is the input, interpolated to the {scale} times finer grid of the result." if scale > 1 else ""
    words = (
        "Before, after and truth share one stretch. Roads, edges or field borders in the removed part mean that"
        f" signal was taken away. Missing samples are see-through; numbers mark the spectra below.{finer}"
    )
    return f'<p class="soft">{words}</p>{"".join(cards)}'


def _ramp(picture: Picture, unit: str) -> str:
    if picture.span is None:
        return ""
    span = f"{picture.span:.2g}"
    return (
        f'<div class="legend"><span>−{span}</span><span class="ramp"></span><span>+{span}'
        f"{escape(f' {unit}' if unit else '')}</span></div>"
    )


def _scores(findings: Findings) -> str:
    rows = []
    for key, (name, unit, better) in _SCORES.items():
        before, after = findings.score_before.get(key), findings.score_after.get(key)
        if before is None or after is None:
            continue
        gain = after - before if better == "higher" else before - after
        style = "better" if gain > 0 else "worse" if gain < 0 else ""
        label = f"{name}{f' ({unit})' if unit else ''} <span class='soft'>{better} is better</span>"
        rows.append((label, f"{before:.4g}", f'<span class="{style}">{after:.4g}</span>'))
    return table(("", "before", "after"), rows)


def _stripes(axis: BandAxis, findings: Findings) -> str:
    bands = findings.most_striped
    if not bands:
        words = "No band had stripes beyond what its noise explains."
        return f'<div class="card"><p class="soft" style="margin:0">{words}</p></div>'
    rows = [
        (escape(axis.label(b)), f"{findings.stripes_before[b]:.2f}", f"{findings.stripes_after[b]:.2f}") for b in bands
    ]
    return table(("worst bands", "strength before", "after (1 = none)"), rows)


def _fits(content: Content) -> list[str]:
    """How methods that are fitted step by step got there, a section each."""
    charts = [fit_charts(step["trace"]) for step in content.steps]
    return [section(f"fit{n}", "How the fit went", charts_grid(pair)) for n, pair in enumerate(charts) if pair]


def _optics_words(settings: Mapping[str, Any]) -> str:
    """', 4 times finer, blur of 4 px' where a step was told of it."""
    scale, width = settings.get("scale") or 1, settings.get("psf_fwhm")
    return (f", {scale} times finer" if scale > 1 else "") + ("" if width is None else f", blur of {width:g} px (FWHM)")


def _run(content: Content) -> str:
    record = content.result.record
    settings = record["settings"]
    cards = []
    for number, step in enumerate(content.steps, 1):
        title = f"{step['title']} ({step['method']}), task {step['task']}"
        if len(content.steps) > 1:
            title = f"Step {number}: {title}"
        title += _optics_words(step["settings"])
        cards.append(f"<h3>{escape(title)}</h3>{options_table(step)}")
    facts = facts_card(
        record,
        {key: value for key, value in record["trace"].items() if key != CURVE},
        "passed through unchanged" if settings["bad_bands"] == "keep" else "worked on too",
    )
    again = f"<h3>The recipe that repeats it</h3><pre>{escape(content.recipe)}</pre>" if content.recipe else ""
    return (
        "".join(f'<div class="card scroll">{card}</div>' for card in cards)
        + facts
        + (f'<div class="card">{again}</div>' if again else "")
    )
