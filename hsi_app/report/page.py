"""The HTML page of a report: everything in one file, nothing loaded from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.device import format_bytes
from hsi_app.methods.registry import TASKS, methods
from hsi_app.params import options
from hsi_app.report.charts import Chart
from hsi_app.report.findings import Findings
from hsi_app.report.pictures import SMALLEST_PX, Picture, Row
from hsi_app.report.style import STYLE

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
        return self.result.record.get("steps", [self.result.record])


def page(content: Content) -> str:
    """The whole page as HTML text."""
    record = content.result.record
    name = str(record["input"]["name"])
    sections = [
        _section("pictures", "Before and after", _pictures(content)),
        _section("spectra", "Spectra", _charts(content.spectra)) if content.spectra else "",
        _section("bands", "Band by band", _charts(content.charts)),
        _section("stripes", "Stripes", _stripes(content.result.observed.axis, content.findings)),
        _section("run", "How it was made", _run(content)),
        _section("limits", "Limits", _list(_unique(step["limits"] for step in content.steps))),
        _section("cite", "To cite", _references(content.steps)),
    ]
    if content.findings.score_after:
        sections.insert(0, _section("score", "Against the reference", _scores(content.findings)))
    what = ", then ".join(f"{TASKS[s['task']].lower()} · {s['title']}" for s in content.steps)
    what = what[:1].upper() + what[1:]
    body = f"""<header><p class="over">Restoration report</p><h1>{_text(name)}</h1>
<p class="soft">{_text(what)} · {_text(_date(record))}</p></header>
<nav>{"".join(_link(section) for section in sections if section)}</nav>
{_notes(record)}{_tiles(content)}{"".join(sections)}
<footer>Made by hsi-app {_text(record["versions"].get("hsi-app", ""))}. The input was not changed. The same figures are
in the JSON file beside this page.</footer>"""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{_text(name)} · restoration report</title><style>{STYLE}</style></head>
<body><main>{body}</main></body></html>
"""


def _text(value: object) -> str:
    return html.escape(str(value))


def _date(record: Mapping[str, Any]) -> str:
    return str(record["started"]).replace("T", " ").replace("+00:00", " UTC")


def _section(key: str, title: str, inside: str) -> str:
    return f'<section><h2 id="{key}">{title}</h2>{inside}</section>' if inside else ""


def _link(section: str) -> str:
    key, _, rest = section.partition('id="')[2].partition('">')
    return f'<a href="#{key}">{rest.partition("<")[0]}</a>'


def _unique(lists: Iterable[Iterable[Any]]) -> list[Any]:
    found: list[Any] = []
    for items in lists:
        found += [item for item in items if item not in found]
    return found


def _list(items: Sequence[object]) -> str:
    return f'<div class="card"><ul>{"".join(f"<li>{_text(i)}</li>" for i in items)}</ul></div>' if items else ""


def _notes(record: Mapping[str, Any]) -> str:
    if not record["notes"]:
        return ""
    items = "".join(f"<li>{_text(note)}</li>" for note in record["notes"])
    return f'<div class="card note" style="margin-bottom:14px"><h3>Notes</h3><ul>{items}</ul></div>'


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
    tiles.append((_percent(findings.changed_share), "of the observed samples changed"))
    if findings.filled_share > 0:
        tiles.append((_percent(findings.filled_share), "of all samples filled in"))
    structure = findings.structure[findings.worked]
    if np.isfinite(structure).any():
        tiles.append((f"{np.nanmedian(structure):.2f}", "structure in the removed part (0 = grain), median band"))
    seconds = sum(step["seconds"] for step in content.steps)
    tiles.append((_duration(seconds), f"on {record['device']}, {format_bytes(record['peak_memory_bytes'])} at most"))
    inside = "".join(f'<div class="tile"><b>{_text(b)}</b><span>{_text(s)}</span></div>' for b, s in tiles)
    return f'<div class="tiles">{inside}</div>'


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.1f} %" if percent >= 0.1 else "< 0.1 %"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _pictures(content: Content) -> str:
    _, height, width = content.result.observed.shape
    pins = "".join(
        f'<span class="pin" style="left:{100 * (p.col + 0.5) / width:.2f}%;'
        f'top:{100 * (p.row + 0.5) / height:.2f}%">{n}</span>'
        for n, p in enumerate(content.findings.places, 1)
    )
    unit = content.result.observed.unit
    cards = []
    for row in content.gallery:
        figures = "".join(
            _figure(p, pins if row is content.gallery[0] and p.title == "after" else "", _ramp(p, unit))
            for p in row.pictures
        )
        cards.append(f'<div class="card"><h3>{_text(row.words)}</h3><div class="pictures">{figures}</div></div>')
    words = (
        "Before, after and truth share one stretch. Roads, edges or field borders in the removed part mean that"
        " signal was taken away. Missing samples are see-through; numbers mark the spectra below."
    )
    return f'<p class="soft">{words}</p>{"".join(cards)}'


def _figure(picture: Picture, over: str = "", below: str = "") -> str:
    crisp = ' class="pixels"' if max(picture.width, picture.height) < SMALLEST_PX else ""
    return (
        f'<figure><div class="frame"><img{crisp} src="{picture.uri}" width="{picture.width}"'
        f' height="{picture.height}" alt="{_text(picture.title)}">{over}</div>'
        f"<figcaption>{_text(picture.title.capitalize())}</figcaption>{below}</figure>"
    )


def _ramp(picture: Picture, unit: str) -> str:
    if picture.span is None:
        return ""
    span = f"{picture.span:.2g}"
    return (
        f'<div class="legend"><span>−{span}</span><span class="ramp"></span><span>+{span}'
        f"{_text(f' {unit}' if unit else '')}</span></div>"
    )


def _charts(charts: Sequence[Chart]) -> str:
    inside = "".join(
        f'<figure class="card" style="margin:0"><picture><source media="(prefers-color-scheme: dark)"'
        f' srcset="{c.dark}"><img src="{c.light}" alt="{_text(c.caption)}"></picture>'
        f"<figcaption>{_text(c.caption)}</figcaption></figure>"
        for c in charts
    )
    return f'<div class="charts">{inside}</div>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = True) -> str:
    """A table whose cells are HTML; all but the first column hold numbers unless said otherwise."""
    kind = ' class="number"' if numbers else ""
    top = "".join(f"<th{kind if n else ''}>{_text(word)}</th>" for n, word in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f"<td{kind if n else ''}>{cell}</td>" for n, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="card scroll"><table><tr>{top}</tr>{body}</table></div>'


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
    return _table(("", "before", "after"), rows)


def _stripes(axis: BandAxis, findings: Findings) -> str:
    bands = findings.most_striped
    if not bands:
        words = "No band had stripes beyond what its noise explains."
        return f'<div class="card"><p class="soft" style="margin:0">{words}</p></div>'
    rows = [
        (_text(axis.label(b)), f"{findings.stripes_before[b]:.2f}", f"{findings.stripes_after[b]:.2f}") for b in bands
    ]
    return _table(("worst bands", "strength before", "after (1 = none)"), rows)


def _run(content: Content) -> str:
    record = content.result.record
    settings, budget = record["settings"], record["memory_budget_bytes"]
    cards = []
    for number, step in enumerate(content.steps, 1):
        title = f"{step['title']} ({step['method']}), task {step['task']}"
        if len(content.steps) > 1:
            title = f"Step {number}: {title}"
        cards.append(f"<h3>{_text(title)}</h3>{_options(step)}")
    facts = {
        "input": record["input"]["path"] or record["input"]["name"],
        "output": record["output"] or "kept in memory",
        "number type": record["input"]["dtype"],
        "map frame": record["input"]["map_frame"] or "none",
        "bad bands": f"{record['input']['bad_bands']} marked, "
        + ("passed through unchanged" if settings["bad_bands"] == "keep" else "worked on too"),
        "seed": record["seed"],
        "tiles": f"{record['tiles']}, at most {' × '.join(map(str, record['tile_px']))} px",
        "memory": f"{format_bytes(record['peak_memory_bytes'])} at most"
        + (f" of {format_bytes(budget)} allowed" if budget is not None else ""),
        **{key.replace("_", " "): _short(value) for key, value in record["trace"].items()},
        "versions": ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
    }
    if record["weights"]:
        facts["weights"] = ", ".join(record["weights"])
    rows = "".join(f'<tr><td class="key">{_text(k)}</td><td>{_text(v)}</td></tr>' for k, v in facts.items())
    again = f"<h3>The recipe that repeats it</h3><pre>{_text(content.recipe)}</pre>" if content.recipe else ""
    return (
        "".join(f'<div class="card scroll">{card}</div>' for card in cards)
        + f'<div class="card scroll"><h3>Facts</h3><table>{rows}</table></div>'
        + (f'<div class="card">{again}</div>' if again else "")
    )


def _options(step: Mapping[str, Any]) -> str:
    spec, given = methods().get(step["method"]), step["options"]
    rows = []
    if spec is None:
        # The package of the method may be gone when an old record is shown.
        rows = [(_text(key), _text(value), "") for key, value in given.items()]
    else:
        for option in options(spec.parameters):
            value = given.get(option.name)
            is_default = value == option.default
            shown = "from the data" if value is None else f"{_short(value)}{f' {option.unit}' if option.unit else ''}"
            mark = '<span class="tag">default</span>' if is_default else '<span class="tag set">set</span>'
            about = option.description + (f" {option.range_text}" if option.lower is not None else "")
            rows.append((_text(option.cli_name), f"{_text(shown)} {mark}", f'<span class="soft">{_text(about)}</span>'))
    body = "".join(f'<tr><td class="key">{a}</td><td class="value">{b}</td><td>{c}</td></tr>' for a, b, c in rows)
    return f"<table>{body}</table>" if rows else '<p class="soft">No options.</p>'


def _short(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


def _references(steps: Sequence[Mapping[str, Any]]) -> str:
    items = []
    for reference in _unique(step["references"] for step in steps):
        tail = f" {reference['identifier']}" if reference["identifier"] else ""
        items.append(f"{reference['text']}{tail}")
    return _list(items)
