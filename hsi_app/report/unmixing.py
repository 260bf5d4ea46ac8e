"""The report of an unmixing: one self-contained HTML page, and the same facts as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsi_app.report.abundance_pictures import (
    COLOURS,
    MOST_SHOWN,
    abundance_pictures,
    largest,
    map_pictures,
    mixture_picture,
    scene_picture,
)
from hsi_app.report.charts import Chart
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
)
from hsi_app.report.pictures import Picture
from hsi_app.report.unmixing_charts import channel_chart, count_chart, endmember_chart, progress_chart, shape_chart
from hsi_app.report.writing import write_report_files

if TYPE_CHECKING:
    from hsi_app.unmixing.result import Unmixing

# What the trace holds that has a chart or a table of its own.
_SHOWN = {"materials", "power", "noise", "objective", "residuals", "count"}


def write_unmixing_report(result: Unmixing, path: str | Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write what an unmixing found, for people and for programs.

    Scenes of any size are shown from every n-th pixel, never read whole.

    Parameters
    ----------
    result : of ``unmix``
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
    facts = {"format": "hsi-app unmixing 1", "record": dict(result.record)}
    return write_report_files(path, facts, lambda: _page(result), overwrite=overwrite)


def _page(result: Unmixing) -> str:
    record = result.record
    shown = largest(result)
    more = len(result.names) - len(shown)
    about = f"{record['title']} · {len(result.names)} materials"
    sections = [
        section("materials", "Materials", _materials(result, shown)),
        section("abundances", "Abundances", _abundances(result, shown, more)),
        section("spectra", "Spectra", charts_grid([endmember_chart(result, shown), shape_chart(result, shown)])),
        section("fit", "What is not explained", _fit(result)),
        section("channels", "Channels, number of materials, progress", charts_grid(_charts(result))),
        section("run", "How it was made", _run(record)),
        section("limits", "Limits", bullets(record["limits"])),
        section("cite", "To cite", references([record])),
    ]
    return frame("Unmixing report", str(record["input"]["name"]), about, _tiles(result), sections, record)


def _tiles(result: Unmixing) -> str:
    record, trace = result.record, result.record["trace"]
    shape = record["input"]["shape"]
    channels = result.channels
    tiles = [
        (f"{len(result.names)} materials", f"in {shape['rows']} × {shape['cols']} pixels"),
        (f"{channels.kept.sum()} channels", f"of {shape['bands']} were trusted"),
    ]
    if trace["relative_error"] is not None:
        tiles.append((percent(trace["relative_error"]), "of the signal's rms is not explained by the materials"))
    if trace["blank_pixels"]:
        tiles.append((f"{trace['blank_pixels']}", "pixels without abundances"))
    normalise = trace["normalise"]
    tiles.append((normalise, "physical proportions" if normalise == "none" else "brightness divided out, per pixel"))
    tiles.append((duration(record["seconds"]), f"on {record['device']}"))
    return stat_tiles(tiles)


def _swatch(k: int) -> str:
    return (
        f'<span style="display:inline-block;width:11px;height:11px;border-radius:3px;background:{COLOURS[k]};'
        'margin-right:7px"></span>'
    )


def _materials(result: Unmixing, shown: Sequence[int]) -> str:
    materials = result.record["trace"]["materials"]
    rows = [
        (
            _swatch(place) + escape(result.names[k]),
            percent(materials[k]["mean_abundance"]),
            "-" if materials[k]["largest_abundance"] is None else f"{materials[k]['largest_abundance']:.2f}",
            str(materials[k]["prevails_in_pixels"]),
        )
        for place, k in enumerate(shown)
    ]
    pictures = figure(scene_picture(result.observed)) + figure(mixture_picture(result, shown))
    words = "The mixture map adds the colours of the materials by their abundances: pure pixels show a pure colour."
    return f'<p class="soft">{words}</p><div class="card"><div class="pictures">{pictures}</div></div>' + table(
        ("material", "mean abundance", "largest", "prevails in pixels"), rows
    )


def _abundances(result: Unmixing, shown: Sequence[int], more: int) -> str:
    inside = "".join(figure(picture, below=_ramp(picture, "0", "1")) for picture in abundance_pictures(result, shown))
    words = f"The {MOST_SHOWN} largest of {more + len(shown)} are shown." if more > 0 else ""
    head = f'<p class="soft">{words}</p>' if words else ""
    return f'{head}<div class="card"><div class="pictures">{inside}</div></div>'


def _fit(result: Unmixing) -> str:
    inside = "".join(
        figure(picture, below=_ramp(picture, "0", f"{picture.span:.2g}")) for picture in map_pictures(result)
    )
    words = (
        "Structure in the error (a road, a field, a shadow) means a material that is not among those found, or light"
        " that does not mix linearly."
    )
    return f'<p class="soft">{words}</p><div class="card"><div class="pictures">{inside}</div></div>'


def _ramp(picture: Picture, low: str, high: str) -> str:
    ramp = "background:linear-gradient(90deg,#440154,#414487,#2a788e,#22a884,#7ad151,#fde725)"
    return f'<div class="legend"><span>{low}</span><span class="ramp" style="{ramp}"></span><span>{high}</span></div>'


def _charts(result: Unmixing) -> list[Chart]:
    charts = [channel_chart(result), count_chart(result), progress_chart(result)]
    return [chart for chart in charts if chart is not None]


def _run(record: Mapping[str, Any]) -> str:
    trace = {key: value for key, value in record["trace"].items() if key not in _SHOWN}
    bad_bands = "left out" if record["settings"]["bad_bands"] == "keep" else "worked on too"
    title = f"{escape(record['title'])} ({escape(record['method'])})"
    return (
        f'<div class="card scroll"><h3>{title}</h3>{options_table(record)}</div>{facts_card(record, trace, bad_bands)}'
    )
