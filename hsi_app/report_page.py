"""The HTML page of a report: one file, nothing loaded from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib import resources
from typing import Any

import numpy as np

from hsi_app import pictures
from hsi_app.cube import Cube
from hsi_app.device import format_bytes
from hsi_app.report_sample import ReportSample

# Ends and middle of matplotlib's RdBu_r, for the legend drawn by the browser.
_DIVERGING = "linear-gradient(90deg, #053061, #4393c3, #f7f7f7, #d6604d, #67001f)"
_SPECTRA = "Single pixels before and after, in physical units; grey strips are bands marked bad."
_NOISE = (
    "What the other bands cannot predict, per band, in stored units. What was removed should lie near the noise before:"
    " far above it, signal may have gone too. After a low-rank method the bands predict each other almost perfectly, so"
    " \u2018after\u2019 is a lower bound."
)
_HISTOGRAM = (
    "In units of each band's own spread, from the full-resolution crop; values beyond six spreads are gathered at the"
    " ends. Pure noise follows the dashed line; heavy tails are stripes, impulses or lost detail."
)
# What a row of the parameter table holds.
ParameterRow = tuple[str, str, str, bool]


def render(facts: Mapping[str, Any], observed: Cube, sample: ReportSample, rows: Sequence[ParameterRow]) -> str:
    """The page as text.

    facts : what ``report.gather`` collected
    rows : (option, value, range and meaning, is the default) of each parameter
    """
    css = resources.files("hsi_app").joinpath("report.css").read_text(encoding="utf-8")
    shape = facts["input"]["shape"]
    did = ", then ".join(f"{step['task']} with {step['title']}" for step in facts["steps"])
    parts = [
        f"<header><h1>{_(facts['input']['name'])}</h1><p>{_(did[:1].upper() + did[1:])} &middot; "
        f"{shape['bands']} bands, {shape['rows']} x {shape['cols']} px &middot; {_(_moment(facts['started']))}</p></header>",
        _tiles(facts),
        _list("Notes", facts["notes"], "notes"),
        _score(facts.get("score")),
        _views(observed, sample),
        _figure_section("Spectra", _SPECTRA, pictures.spectra_png(observed, sample)),
        _figure_section("Noise", _NOISE, pictures.noise_png(observed, sample)),
        _figure_section("Distribution of what was removed", _HISTOGRAM, pictures.histogram_png(sample)),
        _stripes(facts["stripes"]),
        _parameters(rows),
        _provenance(facts),
        _list("Limits to keep in mind", facts["limits"]),
        _cite(facts["references"]),
    ]  # fmt: skip
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_(facts['input']['name'])} - restoration report</title><style>{css}</style></head>\n"
        f"<body><main>{body}<footer>hsi-app {_(facts['versions'].get('hsi-app', ''))}. The same numbers are in the JSON"
        " file beside this page.</footer></main></body></html>\n"
    )


def _(text: Any) -> str:
    return escape(str(text))


def _moment(stamp: str) -> str:
    return f"{datetime.fromisoformat(stamp):%d %B %Y, %H:%M %Z}"


def number(value: Any, digits: int = 4) -> str:
    """A number for people; a dash where there is none."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "&ndash;"
    return _(f"{value:.{digits}g}" if isinstance(value, float) else value)


def _tiles(facts: Mapping[str, Any]) -> str:
    noise, worst = facts["noise"], facts["stripes"][:1]
    tiles = [
        ("median SNR before", f"{number(noise['median_snr_db_before'], 3)} dB"),
        ("removed, median", f"{number(noise['median_removed_share'] * 100, 2)} % of the signal"),
        (
            "strongest stripes",
            " &rarr; ".join(number(worst[0][k], 3) for k in ("before", "after")) if worst else "none",
        ),
        ("time", f"{facts['seconds']:.1f} s on {_(facts['device'])}"),
        ("peak memory", _(format_bytes(facts["peak_memory_bytes"]))),
    ]
    if facts.get("score"):
        found = facts["score"]
        change = f"{found['before']['psnr']:.2f} &rarr; {found['after']['psnr']:.2f} dB"
        tiles.insert(0, ("PSNR against the reference", change))
    return (
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{v}</b><span>{_(k)}</span></div>' for k, v in tiles)
        + "</div>"
    )


def _image(png: bytes, alt: str) -> str:
    return f'<img alt="{_(alt)}" src="data:image/png;base64,{b64encode(png).decode()}">'


def _picture(png: bytes, caption: str) -> str:
    return f"<figure>{_image(png, caption)}<figcaption>{_(caption)}</figcaption></figure>"


def _scale(limit: float) -> str:
    return (
        f'<div class="scale" style="background:{_DIVERGING}"></div><div class="ends"><span>-{limit:.3g}</span>'
        f"<span>0</span><span>+{limit:.3g}</span></div>"
    )


def _views(observed: Cube, sample: ReportSample) -> str:
    low, high = pictures.stretch_limits(sample.overview_before)
    label = observed.axis.label
    colours = ", ".join(label(b) for b in sample.colour_bands)
    first = [
        _picture(pictures.image_png(sample.overview_before, low, high), f"before: bands {colours}"),
        _picture(pictures.image_png(sample.overview_after, low, high), "after, same stretch"),
        _removed((sample.overview_before - sample.overview_after).mean(0), "removed, mean of the three bands"),
    ]
    one = sample.band_before[None]
    low, high = pictures.stretch_limits(one)
    second = [
        _picture(pictures.image_png(one, low, high), f"before: band {label(sample.band)}, the most changed"),
        _picture(pictures.image_png(sample.band_after[None], low, high), "after, same stretch"),
        _removed(sample.band_before - sample.band_after, "removed from this band"),
    ]
    thin = "" if sample.step == 1 else f" Every {sample.step}th pixel is shown."
    crop, local = sample.crop, ""
    if sample.step > 1:
        image = sample.removed[sample.band]
        where = f"rows from {crop.row}, columns from {crop.col}, {crop.height} x {crop.width} px"
        local = f'<div class="views">{_removed(image, f"removed at full resolution: {where}")}</div>'
    return (
        "<section><h2>Before, after, removed</h2><p>Edges or structure of the scene in &lsquo;removed&rsquo; mean that"
        f" signal was taken away. Missing samples are see-through.{thin}</p>"
        f'<div class="views">{"".join(first)}</div><div class="views">{"".join(second)}</div>{local}</section>'
    )


def _removed(image: np.ndarray, caption: str) -> str:
    limit = pictures.removed_limit(image)
    picture = _image(pictures.removed_png(image, limit), caption)
    return f"<figure>{picture}{_scale(limit)}<figcaption>{_(caption)}</figcaption></figure>"


def _figure_section(title: str, text: str, png: bytes) -> str:
    return f"<section><h2>{_(title)}</h2><p>{_(text)}</p><figure>{_image(png, title)}</figure></section>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = ()) -> str:
    """A table of cells that are HTML already."""

    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}{' class=n' if k in numeric else ''}>{cell}</{tag}>" for k, cell in enumerate(row))

    lines = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{cells(head, "th")}</tr>{lines}</table></div>'


def _score(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    names = (("psnr", "PSNR, dB", "higher"), ("ssim", "SSIM", "higher"), ("sam", "SAM, degrees", "lower"),
             ("ergas", "ERGAS", "lower"), ("rmse", "RMSE, data units", "lower"))  # fmt: skip
    rows = [
        (title, number(float(found["before"][k])), number(float(found["after"][k])), f"{way} is better")
        for k, title, way in names
    ]
    text = f"Against {_(found['reference'])}, which the method never saw; bands marked bad do not count."
    return f"<section><h2>Score</h2><p>{text}</p>{_table(('', 'before', 'after', ''), rows, (1, 2))}</section>"


def _stripes(stripes: Sequence[Mapping[str, Any]]) -> str:
    if not stripes:
        return ""
    rows = [(_(s["label"]), _(s["along"]), number(s["before"], 3), number(s["after"], 3)) for s in stripes]
    text = ("How much more row or column means vary than pixel noise explains; 1 means no stripes. The bands with the"
            " strongest ones.")  # fmt: skip
    return (
        f"<section><h2>Stripes</h2><p>{text}</p>{_table(('band', 'along', 'before', 'after'), rows, (2, 3))}</section>"
    )


def _parameters(rows: Sequence[ParameterRow]) -> str:
    mark = '<span class="default">default</span>'
    lines = [(_(name), f"{_(value)} {mark if is_default else ''}", _(about)) for name, value, about, is_default in rows]
    return f"<section><h2>Parameters</h2>{_table(('option', 'value', 'meaning'), lines)}</section>"


def _provenance(facts: Mapping[str, Any]) -> str:
    source, settings = facts["input"], facts["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    budget = facts["memory_budget_bytes"]
    treated = "passed through" if settings["bad_bands"] == "keep" else "restored"
    rows = [
        ("input", f"{source['path'] or source['name']} ({source['dtype']})"),
        ("output", facts["output"] or "kept in memory"),
        ("map frame", source["map_frame"] or "none"),
        ("bands marked bad", f"{source['bad_bands']}, {treated}"),
        ("seed", facts["seed"]),
        ("device", facts["device"]),
        ("memory", f"peak {format_bytes(facts['peak_memory_bytes'])}, budget "
                   f"{'not limited' if budget is None else format_bytes(budget)}"),
        ("tiles", f"{facts['tiles']} of at most {' x '.join(map(str, facts['tile_px']))} px"),
        ("weights", ", ".join(facts["weights"]) or "none needed"),
        ("versions", versions),
    ]  # fmt: skip
    return f"<section><h2>How it was made</h2>{_table(('', ''), [(_(k), _(v)) for k, v in rows])}</section>"


def _list(title: str, items: Sequence[str], kind: str = "") -> str:
    if not items:
        return ""
    lines = "".join(f"<li>{_(item)}</li>" for item in items)
    return f'<section class="{kind}"><h2>{_(title)}</h2><ul>{lines}</ul></section>'


def _cite(references: Sequence[Mapping[str, str]]) -> str:
    return _list("Please cite what was used", [f"{r['text']} {r['identifier']}".strip() for r in references])
