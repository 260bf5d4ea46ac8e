"""Pieces of every report page: sections, tables, tiles, charts, and the frame around them."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hsi_app.device import format_bytes
from hsi_app.methods.registry import methods
from hsi_app.params import options
from hsi_app.report.pictures import SMALLEST_PX, Picture
from hsi_app.report.style import STYLE

if TYPE_CHECKING:
    from hsi_app.report.charts import Chart


def frame(over: str, title: str, about: str, top: str, sections: Sequence[str], record: Mapping[str, Any]) -> str:
    """The whole page as HTML text.

    over : kind of report; title : name of the scene; about : one line under it
    top : what comes before the sections; sections : empty ones are left out
    """
    body = f"""<header><p class="over">{escape(over)}</p><h1>{escape(title)}</h1>
<p class="soft">{escape(about)} · {escape(start_of(record))}</p></header>
<nav>{"".join(link_to(section) for section in sections if section)}</nav>
{notes_card(record)}{top}{"".join(sections)}
<footer>Made by hsi-app {escape(record["versions"].get("hsi-app", ""))}. The input was not changed. The same figures are
in the JSON file beside this page.</footer>"""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>{escape(title)} · {escape(over.lower())}</title><style>{STYLE}</style></head>
<body><main>{body}</main></body></html>
"""


def stat_tiles(tiles: Iterable[tuple[str, str]]) -> str:
    """Large figures with what they mean."""
    inside = "".join(f'<div class="tile"><b>{escape(b)}</b><span>{escape(s)}</span></div>' for b, s in tiles)
    return f'<div class="tiles">{inside}</div>'


def facts_card(record: Mapping[str, Any], trace: Mapping[str, Any], bad_bands: str) -> str:
    """Where from, where to, how; ``trace`` is what the method tells, ``bad_bands`` what became of them."""
    budget = record["memory_budget_bytes"]
    facts = {
        "input": record["input"]["path"] or record["input"]["name"],
        "output": record["output"] or "kept in memory",
        "number type": record["input"]["dtype"],
        "map frame": record["input"]["map_frame"] or "none",
        "bad bands": f"{record['input']['bad_bands']} marked, {bad_bands}",
        "seed": record["seed"],
        "tiles": f"{record['tiles']}, at most {' × '.join(map(str, record['tile_px']))} px",
        "memory": f"{format_bytes(record['peak_memory_bytes'])} at most"
        + (f" of {format_bytes(budget)} allowed" if budget is not None else ""),
        **{key.replace("_", " "): short(value) for key, value in trace.items()},
        "versions": ", ".join(f"{name} {version}" for name, version in record["versions"].items()),
    }
    if record["weights"]:
        facts["weights"] = ", ".join(record["weights"])
    rows = "".join(f'<tr><td class="key">{escape(k)}</td><td>{escape(v)}</td></tr>' for k, v in facts.items())
    return f'<div class="card scroll"><h3>Facts</h3><table>{rows}</table></div>'


def escape(value: object) -> str:
    """A value as HTML text."""
    return html.escape(str(value))


def start_of(record: Mapping[str, Any]) -> str:
    """When a run began, for people."""
    return str(record["started"]).replace("T", " ").replace("+00:00", " UTC")


def section(key: str, title: str, inside: str) -> str:
    """A headed part of the page, nothing where it is empty."""
    return f'<section><h2 id="{key}">{title}</h2>{inside}</section>' if inside else ""


def link_to(section: str) -> str:
    """A link to a section, for the top of the page."""
    key, _, rest = section.partition('id="')[2].partition('">')
    return f'<a href="#{key}">{rest.partition("<")[0]}</a>'


def unique(lists: Iterable[Iterable[Any]]) -> list[Any]:
    """Items of several lists, each once, in order."""
    found: list[Any] = []
    for items in lists:
        found += [item for item in items if item not in found]
    return found


def bullets(items: Sequence[object]) -> str:
    """A card with a list."""
    return f'<div class="card"><ul>{"".join(f"<li>{escape(i)}</li>" for i in items)}</ul></div>' if items else ""


def notes_card(record: Mapping[str, Any]) -> str:
    """What a user should know, on top of the page."""
    if not record["notes"]:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in record["notes"])
    return f'<div class="card note" style="margin-bottom:14px"><h3>Notes</h3><ul>{items}</ul></div>'


def percent(share: float) -> str:
    """A share in percent."""
    hundredths = 100 * share
    if hundredths >= 10 or hundredths == 0:
        return f"{hundredths:.0f} %"
    return f"{hundredths:.1f} %" if hundredths >= 0.1 else "< 0.1 %"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def figure(picture: Picture, over: str = "", below: str = "") -> str:
    """A picture with its caption; ``over`` lies on it, ``below`` under it."""
    crisp = ' class="pixels"' if max(picture.width, picture.height) < SMALLEST_PX else ""
    return (
        f'<figure><div class="frame"><img{crisp} src="{picture.uri}" width="{picture.width}"'
        f' height="{picture.height}" alt="{escape(picture.title)}">{over}</div>'
        f"<figcaption>{escape(picture.title.capitalize())}</figcaption>{below}</figure>"
    )


def charts_grid(charts: Sequence[Chart]) -> str:
    """Charts side by side, drawn for light and dark."""
    inside = "".join(
        f'<figure class="card" style="margin:0"><picture><source media="(prefers-color-scheme: dark)"'
        f' srcset="{c.dark}"><img src="{c.light}" alt="{escape(c.caption)}"></picture>'
        f"<figcaption>{escape(c.caption)}</figcaption></figure>"
        for c in charts
    )
    return f'<div class="charts">{inside}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = True) -> str:
    """A table whose cells are HTML; all but the first column hold numbers unless said otherwise."""
    kind = ' class="number"' if numbers else ""
    top = "".join(f"<th{kind if n else ''}>{escape(word)}</th>" for n, word in enumerate(head))
    body = "".join(
        "<tr>" + "".join(f"<td{kind if n else ''}>{cell}</td>" for n, cell in enumerate(row)) + "</tr>" for row in rows
    )
    return f'<div class="card scroll"><table><tr>{top}</tr>{body}</table></div>'


def options_table(step: Mapping[str, Any]) -> str:
    """A step's options: given or default, with what they mean."""
    spec, given = methods().get(step["method"]), step["options"]
    rows = []
    if spec is None:
        # The package of the method may be gone when an old record is shown.
        rows = [(escape(key), escape(value), "") for key, value in given.items()]
    else:
        for option in options(spec.parameters):
            value = given.get(option.name)
            is_default = value == option.default
            unit = f" {option.unit}" if option.unit else ""
            shown = option.absent_text if value is None else f"{short(value)}{unit}"
            mark = '<span class="tag">default</span>' if is_default else '<span class="tag set">set</span>'
            about = option.description + (f" {option.range_text}" if option.lower is not None else "")
            rows.append(
                (escape(option.cli_name), f"{escape(shown)} {mark}", f'<span class="soft">{escape(about)}</span>')
            )
    body = "".join(f'<tr><td class="key">{a}</td><td class="value">{b}</td><td>{c}</td></tr>' for a, b, c in rows)
    return f"<table>{body}</table>" if rows else '<p class="soft">No options.</p>'


def short(value: object) -> str:
    """A value in at most 160 characters."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


def references(steps: Sequence[Mapping[str, Any]]) -> str:
    """What to cite, each once."""
    items = []
    for reference in unique(step["references"] for step in steps):
        tail = f" {reference['identifier']}" if reference["identifier"] else ""
        items.append(f"{reference['text']}{tail}")
    return bullets(items)
