"""The report of a fusion: one self-contained HTML page, and the same facts as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsi_app.files import check_target, to_json, write_text
from hsi_app.report.fusion_charts import loss_chart, response_chart, spectra_charts
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
    short,
    stat_tiles,
)
from hsi_app.report.pictures import false_colour, quantity_map
from hsi_app.report.sampling import thumbnail

if TYPE_CHECKING:
    from hsi_app.fusion.result import Fusion

# What the trace holds that has a chart of its own.
_SHOWN = {"losses", "misfits"}
# Doubt beyond this looks alike.
_MOST_DOUBT = 3.0


def write_fusion_report(result: Fusion, path: str | Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write what a fusion made of two images, for people and for programs.

    Scenes of any size are shown from every n-th pixel, never read whole.

    Parameters
    ----------
    result : of ``fuse``
    path : of the HTML page; the JSON file has the same stem
    overwrite : replace existing files

    Returns
    -------
    (path of the page, path of the JSON file); each appears whole or not at all

    Raises
    ------
    OutputError
        If a file exists and must not be replaced, or cannot be written.
    """
    target = Path(path)
    beside = target.with_suffix(".json")
    for file in (target, beside):
        check_target(file, overwrite=overwrite)
    facts = {"format": "hsi-app fusion 1", "record": dict(result.record)}
    write_text(beside, to_json(facts), overwrite=overwrite)
    # The page last: where it lies, its figures lie too.
    return write_text(target, _page(result), overwrite=overwrite), beside


def _page(result: Fusion) -> str:
    record = result.record
    about = f"{record['title']} · with {record['msi']['name']}"
    fit = loss_chart(record["trace"])
    sections = [
        section("why", "Why this method", bullets(record["reasons"])),
        section("pictures", "Pictures", _pictures(result)),
        section("doubt", "Doubt", _doubt(result)),
        section("spectra", "Spectra", charts_grid(spectra_charts(result))),
        section("pair", "How the images belong together", _pair(result)),
        section("fit", "How the fit went", "" if fit is None else _fit(record["trace"]) + charts_grid([fit])),
        section("run", "How it was made", _run(record)),
        section("limits", "Limits", bullets(record["limits"])),
        section("cite", "To cite", references([record])),
    ]
    return frame("Fusion report", str(record["input"]["name"]), about, _tiles(result), sections, record)


def _tiles(result: Fusion) -> str:
    record, facts = result.record, result.record["pair"]
    bands, height, width = result.cube.shape
    tiles = [(f"{height} × {width}", f"pixels of {bands} bands")]
    if facts["registration"]["placement"] is not None:
        tiles.append((f"{facts['ratio']:.3g} ×", "finer than the hyperspectral image, along a side"))
    tiles.append((percent(record["trace"]["doubted_share"]), "of the pixels are in doubt"))
    tiles.append((duration(record["seconds"]), f"on {record['device']}"))
    return stat_tiles(tiles)


def _pictures(result: Fusion) -> str:
    cubes = {"hyperspectral image": result.hsi, "multispectral image": result.msi, "fused": result.cube}
    inside = "".join(figure(false_colour(cube, title)) for title, cube in cubes.items())
    words = "Each in natural colours where its bands allow, with a stretch of its own."
    return f'<p class="soft">{words}</p><div class="card"><div class="pictures">{inside}</div></div>'


def _doubt(result: Fusion) -> str:
    if result.doubt is None:
        return ""
    picture = quantity_map(thumbnail(result.doubt, [0]).values[0], "doubt", _MOST_DOUBT)
    ramp = "background:linear-gradient(90deg,#440154,#414487,#2a788e,#22a884,#7ad151,#fde725)"
    legend = (
        f'<div class="legend"><span>0</span><span class="ramp" style="{ramp}"></span>'
        f"<span>{_MOST_DOUBT:g} and more</span></div>"
    )
    share = percent(result.record["trace"]["doubted_share"])
    words = (
        "How little a pixel is like anything that the hyperspectral image shows: 99 of 100 of that image's own pixels"
        f" stay below 1. Above it lie {share} of the sharp pixels; single ones are purer than coarse ones can be, whole"
        " objects are of a material that the hyperspectral image does not hold, and their spectra are guesses."
    )
    shown = figure(picture, below=legend)
    return f'<p class="soft">{words}</p><div class="card"><div class="pictures">{shown}</div></div>'


def _pair(result: Fusion) -> str:
    facts = result.record["pair"]
    registration, measured = facts["registration"], facts["registration"]["measured"]
    rows: dict[str, object] = {"registration": registration["how"]}
    if registration["placement"] is not None:
        rows["multispectral on hyperspectral grid"] = registration["placement"]
    if measured is not None:
        rows["measured"] = (
            f"shift ({measured['rows']:.1f}, {measured['cols']:.1f}) px, turn {measured['angle_deg']:.1f} degrees,"
            f" correlation {measured['correlation']:.3f} ({measured['before']:.3f} where they were said to lie)"
        )
    if registration["unevenness"] is not None:
        bend = registration["unevenness"]
        rows["bends left"] = (
            f"{bend['rms_px']:.2f} hyperspectral px, explaining {percent(bend['share'])} of the variance"
        )
    width = facts["psf_fwhm"]
    if registration["placement"] is not None:
        rows["a hyperspectral pixel sees"] = "its square" if width is None else f"a Gaussian {width:g} px wide"
    rows["numbers"] = facts["radiometry"]
    rows["response"] = facts["response"]["origin"]
    body = "".join(f'<tr><td class="key">{escape(k)}</td><td>{escape(short(v))}</td></tr>' for k, v in rows.items())
    return f'<div class="card scroll"><table>{body}</table></div>' + charts_grid([response_chart(result)])


def _fit(trace: Mapping[str, Any]) -> str:
    words = f"{trace['components']} components, {trace['steps']} steps; the end: {trace['stop']}."
    return f'<p class="soft">{escape(words)} The components are a code of the spectra, not materials.</p>'


def _run(record: Mapping[str, Any]) -> str:
    trace = {key: value for key, value in record["trace"].items() if key not in _SHOWN}
    bad_bands = "interpolated only" if record["settings"]["bad_bands"] == "keep" else "sharpened too"
    title = f"{escape(record['title'])} ({escape(record['method'])})"
    return (
        f'<div class="card scroll"><h3>{title}</h3>{options_table(record)}</div>{facts_card(record, trace, bad_bands)}'
    )
