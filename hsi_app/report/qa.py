"""The report without a reference: one self-contained HTML page, and the same facts as JSON."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hsi_app.report.charts import histogram_chart, noise_chart, removed_chart, spectrum_chart
from hsi_app.report.page import pictures_section
from hsi_app.report.parts import bullets, charts_grid, escape, figure, frame, percent, section, stat_tiles, table
from hsi_app.report.pictures import Picture, false_colour, gallery, quantity_map
from hsi_app.report.qa_charts import check_chart, snr_chart, stripe_chart
from hsi_app.report.writing import check_report, write_report_files
from hsi_app.runner import Result
from hsi_app.trust.assessment import Assessment
from hsi_app.trust.structure import FALSE_ALARMS, LEAST_SCENE, LEAST_SHARE, LEAST_STRIPES, LEAST_STRUCTURE
from hsi_app.trust.targets import DETECTORS, FALSE_ALARM_RATE, LOADING, Detection
from hsi_app.versions import versions

# The table shows the worst bands; the JSON file holds all.
MOST_ROWS = 20
# Sides of target maps beyond this are thinned, px.
MAP_PX = 720
_GAP = '<div style="height:14px"></div>'
_MAP_RAMP = "background:linear-gradient(90deg,#440154,#414487,#2a788e,#22a884,#7ad151,#fde725)"

_HOW = (
    "Grain, stripes and scene are told apart by three figures of the removed signal: its share in lines, the"
    " correlation of neighbours in the rest, and the correlation of that rest with the scene as the other half of the"
    f" bands shows it. A band loses scene from {LEAST_STRUCTURE:g} or {LEAST_SCENE:g} on, where that is more than"
    f" {100 * LEAST_SHARE:g} % of its contrast, and is striped from {LEAST_STRIPES:g} on. White noise alone stays below"
    f" in {100 * (1 - FALSE_ALARMS):g} of 100 cubes, small ones too: there the limits are higher.",
    "Noise that neighbouring bands share, as after resampling, looks like scene here.",
    "Signal to noise before: what the other bands cannot predict. After: that, and by how much the finest detail along"
    " rows shrank. Texture of the scene is in it before and after, so the gain is at least what is shown, as long as no"
    " scene was removed.",
    "Noise, stripes and the removed signal are measured on a central window and on up to nine windows spread over the"
    " scene; targets in every pixel.",
)
_TARGET_HOW = (
    "Each cube is judged against its own background, and a score counts standard deviations of that background. The"
    f" threshold lets one normal background pixel in {1 / FALSE_ALARM_RATE:,.0f} pass. Both covariances are loaded with"
    f" {100 * LOADING:.0f} % of the noise before, because no filter should trust what a restoration left of it."
)
_REFERENCES = (
    "Moran (1950), Notes on continuous stochastic phenomena, Biometrika 37",
    "Green, Berman, Switzer and Craig (1988), A transformation for ordering multispectral data in terms of image"
    " quality, IEEE TGRS 26",
    "Roger and Arnold (1996), Reliably estimating the noise in AVIRIS hyperspectral images, IJRS 17",
)
_TARGET_REFERENCES = (
    "Manolakis and Shaw (2002), Detection algorithms for hyperspectral imaging applications, IEEE Signal Processing"
    " Magazine 19",
    "Stocker, Reed and Yu (1990), Multi-dimensional signal processing for electro-optical target detection, SPIE 1305",
)


def write_qa_report(assessment: Assessment, path: str | Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write what was found about a cube, or a pair of cubes, for people and for programs.

    Parameters
    ----------
    assessment : of ``trust.assessment.assess``
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
    check_report(path, overwrite=overwrite)
    return write_report_files(path, assessment.plain(), lambda: qa_page(assessment), overwrite=overwrite)


def qa_page(found: Assessment) -> str:
    """The whole page as HTML text."""
    bands, height, width = found.before.shape
    about = f"{bands} bands of {height} × {width} pixels"
    title = found.before.name
    if found.after is not None:
        title = f"{found.before.name} → {found.after.name}"
    top = bullets(found.lines()) + _GAP + _tiles(found)
    sections = [
        section("pictures", "Before and after" if found.after is not None else "The scene", _pictures(found)),
        section("removed", "What was removed", _removed(found)),
        section("target", "Target", _target(found)),
        section("noise", "Noise by band", _noise(found)),
        section("advice", "Bad bands", _advice(found)),
        section("spectra", "Spectra", _spectra(found)),
        section("how", "How it was measured", bullets(_HOW if found.after is not None else _HOW[2:])),
        section("cite", "To cite", bullets((*_REFERENCES, *(_TARGET_REFERENCES if found.target else ())))),
    ]
    record = {"started": found.started, "versions": versions(), "notes": found.notes()}
    return frame("Quality without a reference", title, about, top, sections, record)


def _tiles(found: Assessment) -> str:
    tiles = []
    if found.removed is not None:
        judged = int(found.removed.judged.sum())
        lost = len(found.removed.bands("scene structure"))
        tiles.append((f"{lost} of {judged}", "bands lost scene structure"))
    check = found.target
    if check is not None:
        total = len(check.pixels)
        after = check.number("before" if check.after is None else "after")
        tiles.append((f"{after} of {total}", "target pixels are found" + (" after" if check.after is not None else "")))
    ranking = found.ranking
    order = ranking.order()
    if order:
        tiles.append((f"{np.median(ranking.snr_before[order]):.0f} dB", "signal to noise before, median band"))
        if ranking.is_pair:
            tiles.append((f"{np.nanmedian(ranking.gain[order]):+.1f} dB", "less noise and fine detail, median band"))
    tiles.append((str(len(ranking.still_noisy())), "bands are " + ("still " if ranking.is_pair else "") + "noisy"))
    if found.after is None:
        tiles.append((str(len(found.diagnosis.striped_bands)), "bands are striped"))
        tiles.append((percent(found.diagnosis.gap_share), "of the samples are gaps inside the scene"))
    return stat_tiles(tiles)


def _result(found: Assessment) -> Result:
    assert found.after is not None, "asked for a pair only"
    return Result(found.after, found.before)


def _pictures(found: Assessment) -> str:
    if found.pair is None:
        inside = figure(false_colour(found.before, "scene"))
        return f'<div class="card"><div class="pictures">{inside}</div></div>'
    band = found.pair.most_changed_band
    return pictures_section(_result(found), found.pair, gallery(_result(found), band))


def _removed(found: Assessment) -> str:
    if found.removed is None or found.pair is None:
        return ""
    result, axis = _result(found), found.before.axis
    charts = charts_grid(
        [check_chart(found.removed, axis), removed_chart(result, found.pair), histogram_chart(found.pair)]
    )
    flagged = sorted(found.removed.bands("scene structure"), key=lambda b: -found.removed.lost[b])  # type: ignore[union-attr]
    if not flagged:
        return charts
    rows = [
        (escape(axis.label(b)), f"{100 * found.removed.lost[b]:.1f} %", f"{found.removed.structure[b]:.2f}",
         f"{found.removed.scene[b]:.2f}", f"{found.removed.stripes[b]:.2f}")
        for b in flagged[:MOST_ROWS]
    ]  # fmt: skip
    head = ("bands that lost scene", "of its contrast", "neighbours", "scene", "stripes")
    return charts + _GAP + table(head, rows) + _more(len(flagged))


def _target(found: Assessment) -> str:
    check = found.target
    if check is None:
        return ""
    pairs = [("before", check.before)] + ([("after", check.after)] if check.after is not None else [])
    inside = "".join(_map(detection, f"{word}: {check.name}", check.threshold) for word, detection in pairs)
    rows = [("target pixels found", *(str(check.number(word)) for word, _ in pairs)),  # type: ignore[arg-type]
            ("contrast, standard deviations of the background", *(f"{d.contrast:.1f}" for _, d in pairs)),
            ("pixels above the threshold, whole image", *(str(int(d.found.sum())) for _, d in pairs))]  # fmt: skip
    figures = table(("", *(word for word, _ in pairs)), rows)
    words = f"{DETECTORS[check.detector].capitalize()} over {check.bands} bands; threshold {check.threshold:.1f}."
    return (
        f'<p class="soft">{escape(words)} {escape(_TARGET_HOW)}</p>'
        f'<div class="card"><div class="pictures">{inside}</div></div>{_GAP}{figures}'
    )


def _map(detection: Detection, title: str, threshold: float) -> str:
    step = max(1, -(-max(detection.scores.shape) // MAP_PX))
    span = max(3 * threshold, 1.0)
    picture: Picture = quantity_map(detection.scores[::step, ::step], title, span)
    ramp = (
        f'<div class="legend"><span>0</span><span class="ramp" style="{_MAP_RAMP}"></span><span>{span:.0f}</span></div>'
    )
    return figure(picture, below=ramp)


def _noise(found: Assessment) -> str:
    axis, ranking = found.before.axis, found.ranking
    charts = [snr_chart(ranking, axis)]
    charts += [noise_chart(_result(found), found.pair)] if found.pair is not None else []
    charts.append(stripe_chart(ranking, axis))
    rows = []
    for row in ranking.rows()[:MOST_ROWS]:
        cells = [escape(axis.label(int(row["band"]) - 1)), f"{row['snr_before']:.1f}"]
        if ranking.is_pair:
            cells += [f"{row['snr_after']:.1f}", f"{row['gain']:+.1f}"]
        cells.append(f"{row['stripes_before']:.2f}")
        cells += [f"{row['stripes_after']:.2f}"] if ranking.is_pair else []
        mark = str(row["mark"])
        cells.append(f'<span class="worse">{escape(mark)}</span>' if mark else "")
        rows.append(cells)
    head = ["noisiest bands", "signal to noise (dB)"]
    head += ["after", "gain"] if ranking.is_pair else []
    head += ["stripes", "after", ""] if ranking.is_pair else ["stripes", ""]
    shown = table(head, rows) if rows else ""
    return charts_grid(charts) + _GAP + shown + _more(len(ranking.order()))


def _more(count: int) -> str:
    if count <= MOST_ROWS:
        return ""
    return f'<p class="soft">The first {MOST_ROWS} of {count}; all are in the JSON file beside this page.</p>'


def _advice(found: Assessment) -> str:
    axis, advice = found.before.axis, found.advice
    rows = [(escape(axis.label(b)), "mark as bad", escape(why)) for b, why in advice.mark]
    rows += [(escape(axis.label(b)), "look again", escape(why)) for b, why in advice.unmark]
    if not rows:
        words = f"The bad-band list ({int(axis.is_bad.sum())} bands) agrees with what was measured."
        return f'<div class="card"><p class="soft" style="margin:0">{words}</p></div>'
    return table(("band", "advice", "because"), rows, numbers=False)


def _spectra(found: Assessment) -> str:
    if found.pair is None:
        return ""
    return charts_grid([spectrum_chart(_result(found), p, n) for n, p in enumerate(found.pair.places, 1)])
