"""The report of a fusion: one self-contained HTML page, and the same facts as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.report.fusion_charts import (
    DOUBT_COLOURS,
    MOST_DOUBT,
    Spot,
    doubt_picture,
    loss_chart,
    response_chart,
    scene_pictures,
    spectrum_chart,
    spots,
)
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
    table,
)
from hsi_app.report.writing import write_report_files

if TYPE_CHECKING:
    from hsi_app.fusion.result import Fusion

NO_MATERIALS = "The components are a code of the spectra, not materials."
# What the trace holds that has a chart or a place of its own.
_SHOWN = {"losses", "doubted_share"}


def write_fusion_report(result: Fusion, path: str | Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write what a fusion made and how, for people and for programs.

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
    facts = {"format": "hsi-app fusion 1", "record": dict(result.record)}
    return write_report_files(path, facts, lambda: _page(result), overwrite=overwrite)


def _page(result: Fusion) -> str:
    record = result.record
    places = spots(result)
    charts = [spectrum_chart(result, spot, n) for n, spot in enumerate(places, 1)]
    sections = [
        section("pictures", "Before and after", _pictures(result, places)),
        section("doubt", "Doubt", _doubt(result)),
        section("spectra", "Spectra", _spectra_words(record) + charts_grid(charts) if charts else ""),
        section("registration", "How the images belong together", _belonging(result)),
        section("fit", "How the fit went", _fit(record)),
        section("run", "How it was made", _run(record)),
        section("limits", "Limits", bullets(record["limits"])),
        section("cite", "To cite", references([record])),
    ]
    about = f"{record['title']} · with {record['msi']['name']}"
    top = _reasons(record) + _tiles(result)
    return frame("Fusion report", str(record["input"]["name"]), about, top, sections, record)


def _reasons(record: Mapping[str, Any]) -> str:
    """Why 'auto' chose the method; nothing where it was named."""
    if not record["reasons"]:
        return ""
    items = "".join(f"<li>{escape(reason)}</li>" for reason in record["reasons"])
    title = f"Why {escape(record['method'])} was chosen"
    return f'<div class="card" style="margin-bottom:14px"><h3>{title}</h3><ul>{items}</ul></div>'


def _tiles(result: Fusion) -> str:
    record = result.record
    pair, trace = record["pair"], record["trace"]
    coarse, fine = record["input"]["shape"], record["msi"]["shape"]
    bands, rows, cols = result.cube.shape
    tiles = [
        (f"{rows} × {cols} pixels", f"of {bands} bands in the result"),
        (f"{coarse['rows']} × {coarse['cols']} pixels", f"of {coarse['bands']} bands in the coarse image"),
        (f"{fine['bands']} bands", "in the multispectral image"),
    ]
    if pair["registration"]["placement"] is not None:
        tiles.append((f"{pair['ratio']:.3g} : 1", "pixels along a side to one coarse pixel"))
    tiles.append((percent(trace["doubted_share"]), "of the pixels are in doubt"))
    tiles.append((duration(record["seconds"]), f"on {record['device']}"))
    return stat_tiles(tiles)


def _pictures(result: Fusion, places: Sequence[Spot]) -> str:
    pictures, is_common = scene_pictures(result)
    _, height, width = result.cube.shape
    pins = "".join(
        f'<span class="pin" style="left:{100 * (spot.col + 0.5) / width:.2f}%;'
        f'top:{100 * (spot.row + 0.5) / height:.2f}%">{n}</span>'
        for n, spot in enumerate(places, 1)
    )
    axis = result.cube.axis
    labels = ", ".join(axis.label(band) for band in axis.composite())
    stretch = (
        "All three share one stretch."
        if is_common
        else "Coarse image and result share one stretch; the multispectral image has its own, as its colours differ."
    )
    words = (
        f"Bands {labels} of the result as red, green, blue. {stretch} Missing samples are see-through; numbers mark the"
        " spectra below."
    )
    drawn = "".join(figure(picture, pins if picture is pictures[-1] else "") for picture in pictures)
    return f'<p class="soft">{escape(words)}</p><div class="card"><div class="pictures">{drawn}</div></div>'


def _doubt(result: Fusion) -> str:
    share = percent(result.record["trace"]["doubted_share"])
    words = (
        f"Above 1 a pixel is not explained by what the hyperspectral image holds: {share} of the pixels. Single ones"
        " are to be expected, as sharp pixels are purer than coarse ones; patches of them are of a material that the"
        " hyperspectral image does not show, and their spectra are a guess."
    )
    head = f'<p class="soft">{words}</p>'
    if result.doubt is None:
        return f'{head}<div class="card"><p class="soft" style="margin:0">The map was not kept: the image is large and'\
            ' no file was named for it.</p></div>'  # fmt: skip
    first, one, beyond, last = DOUBT_COLOURS
    ramp = f"background:linear-gradient(90deg,{first},{one} 50%,{beyond} 50%,{last})"
    legend = (
        '<div class="legend"><span>0</span>'
        f'<span class="ramp" style="{ramp};position:relative"><span style="position:absolute;left:50%;top:11px;'
        f'transform:translateX(-50%)">1</span></span><span>{MOST_DOUBT:.0f} and more</span></div>'
        '<p class="soft" style="margin:14px 0 0;font-size:12px">blue: up to 1, explained; orange to red: above 1, not'
        " explained</p>"
    )
    return (
        f'{head}<div class="card"><div class="pictures">{figure(doubt_picture(result.doubt), "", legend)}</div></div>'
    )


def _spectra_words(record: Mapping[str, Any]) -> str:
    if record["pair"]["registration"]["placement"] is None:
        words = "Where the coarse pixels lie above them is not known, so these stand alone."
    else:
        words = "A coarse pixel is a mean of all that lies in it, so it differs where the ground beneath it does."
    return f'<p class="soft">{words}</p>'


def _belonging(result: Fusion) -> str:
    pair = result.record["pair"]
    facts = _registration_facts(pair)
    facts["numbers of the two images"] = pair["radiometry"]
    rows = "".join(f'<tr><td class="key">{escape(k)}</td><td>{escape(v)}</td></tr>' for k, v in facts.items())
    card = f'<div class="card scroll"><h3>Registration and numbers</h3><table>{rows}</table></div>'
    response = pair["response"]
    centres = response["centres_nm"] or [None] * len(response["bands"])
    bands = table(
        ("band", "centre (nm)", "gain", "offset"),
        [
            (escape(name), "-" if centre is None else f"{centre:.0f}", f"{gain:.4g}", f"{offset:.4g}")
            for name, centre, gain, offset in zip(
                response["bands"], centres, response["gain"], response["offset"], strict=True
            )
        ],
    )
    words = (
        f"Spectral response: {response['origin']}. Gain and offset bring the scaled multispectral bands to the scale of"
        " the hyperspectral image."
    )
    return (
        f'{card}<p class="soft" style="margin-top:14px">{escape(words)}</p>{charts_grid([response_chart(result)])}'
        f'<div style="margin-top:14px">{bands}</div>'
    )


def _registration_facts(pair: Mapping[str, Any]) -> dict[str, str]:
    told = pair["registration"]
    facts = {"registration": told["how"]}
    if told["placement"] is not None:
        facts["placement"] = told["placement"]
    measured = told["measured"]
    if measured is not None:
        facts["shift measured"] = (
            f"{measured['rows']:.2f} rows, {measured['cols']:.2f} columns of the multispectral image"
        )
        facts["turn measured"] = f"{measured['angle_deg']:.2f} degrees"
        facts["correlation"] = (
            f"{measured['correlation']:.4f} there, {measured['before']:.4f} where they were said to lie"
        )
        facts["to be trusted"] = f"{short(measured['is_trusted'])}: {measured['why']}"
    uneven = told["unevenness"]
    if uneven is not None:
        facts["unevenness left"] = (
            f"{uneven['rms_px']:.2f} coarse pixels rms, which explains {percent(uneven['share'])} of the coarse image"
        )
    if told["placement"] is not None:
        width = pair["psf_fwhm"]
        facts["point spread"] = (
            "the square of the coarse pixel" if width is None else f"Gaussian, {width:g} coarse pixels wide (FWHM)"
        )
    return facts


def _fit(record: Mapping[str, Any]) -> str:
    """The loss of a method that is fitted step by step, nothing for others."""
    trace = record["trace"]
    chart = loss_chart(trace)
    if "components" not in trace:
        return "" if chart is None else charts_grid([chart])
    words = NO_MATERIALS
    if "stop" in trace:
        words += f" The fit ended after {trace['steps']} steps: {trace['stop']}."
    if np.isfinite(trace.get("information", np.nan)):
        words += f" Mutual information of pixels and codes at the end: {trace['information']:.3g}."
    return f'<p class="soft">{escape(words)}</p>' + ("" if chart is None else charts_grid([chart]))


def _run(record: Mapping[str, Any]) -> str:
    trace = {key: value for key, value in record["trace"].items() if key not in _SHOWN}
    bad_bands = "interpolated only" if record["settings"]["bad_bands"] == "keep" else "sharpened too"
    title = f"{escape(record['title'])} ({escape(record['method'])})"
    facts = {"multispectral image": record["msi"]["path"] or record["msi"]["name"],
             "its map frame": record["msi"]["map_frame"] or "none", **trace}  # fmt: skip
    return (
        f'<div class="card scroll"><h3>{title}</h3>{options_table(record)}</div>{facts_card(record, facts, bad_bands)}'
    )
