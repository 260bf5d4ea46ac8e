"""``hsi-app methods`` and ``hsi-app cite``: what there is to choose from, and whom to thank."""

from __future__ import annotations

import re
from typing import Any

import click

from hsi_app.files import to_json
from hsi_app.methods.registry import TASKS, MethodSpec, Reference, broken_methods
from hsi_app.methods.registry import method as find_method
from hsi_app.methods.registry import methods as usable_methods
from hsi_app.params import options


@click.command(short_help="List the methods.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every option.")
def methods(as_json: bool) -> None:
    """List the methods, those of installed packages too."""
    known, broken = usable_methods(), broken_methods()
    if as_json:
        listed = {"methods": [_facts(spec) for spec in known.values()], "broken": dict(broken)}
        click.echo(to_json(listed))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("method", "tasks", "weights", "what it does"):
        table.add_column(column, overflow="fold")
    for spec in known.values():
        table.add_row(spec.id, ", ".join(spec.tasks), ", ".join(spec.weights) or "none", spec.summary)
    for name, reason in broken.items():
        table.add_row(name, "-", "-", f"broken: {reason}")
    Console().print(table, markup=False)
    click.echo("\nTasks: " + "; ".join(f"{task} - {text[:1].lower()}{text[1:]}" for task, text in TASKS.items()) + ".")


def _facts(spec: MethodSpec) -> dict[str, Any]:
    return {
        "id": spec.id,
        "title": spec.title,
        "summary": spec.summary,
        "tasks": list(spec.tasks),
        "extent": spec.extent.kind,
        "is_stochastic": spec.is_stochastic,
        "weights": list(spec.weights),
        "options": [
            {
                "name": option.cli_name, "kind": option.kind, "default": option.default, "range": option.range_text,
                "choices": list(option.choices), "unit": option.unit, "description": option.description,
                "source": option.source,
            }
            for option in options(spec.parameters)
        ],
        "references": [{"text": r.text, "identifier": r.identifier} for r in spec.references],
        "limits": list(spec.limits),
    }  # fmt: skip


@click.command(short_help="Print what to cite for a method.")
@click.argument("method")
@click.option("--bibtex", is_flag=True, help="Print BibTeX only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cite(method: str, bibtex: bool, as_json: bool) -> None:
    """Print what to cite when METHOD was used, as text and as BibTeX."""
    spec = find_method(method)
    if as_json:
        click.echo(to_json([{"text": r.text, "identifier": r.identifier} for r in spec.references]))
        return
    if not bibtex:
        for reference in spec.references:
            click.echo(f"{reference.text} {reference.identifier}".rstrip())
        click.echo()
    for key, reference in zip(_keys(spec.references), spec.references, strict=True):
        click.echo(bibtex_entry(reference, key))


def bibtex_entry(reference: Reference, key: str) -> str:
    """A BibTeX entry that holds the reference as text (authors and title are not told apart) with DOI or arXiv."""
    kind, _, identifier = reference.identifier.partition(":")
    lines = [f"@misc{{{key},", f"  note = {{{_escaped(reference.text)}}},"]
    year = _year(reference)
    if year:
        lines.append(f"  year = {{{year}}},")
    if kind.lower() == "doi":
        lines.append(f"  doi = {{{identifier}}},")
    elif kind.lower() == "arxiv":
        lines += [f"  eprint = {{{identifier}}},", "  archiveprefix = {arXiv},"]
    return "\n".join([*lines, "}"])


def _keys(references: tuple[Reference, ...]) -> list[str]:
    """'zhuang2018': the first surname and the year, made distinct by letters."""
    keys: list[str] = []
    for reference in references:
        first = re.split(r",| and ", reference.text)[0]
        words = re.findall(r"[^\W\d_][\w'-]+", first) or ["reference"]
        key = words[-1].lower() + _year(reference)
        taken = sum(k.rstrip("abcdefgh") == key for k in keys)
        keys.append(key if not taken else f"{key}{'abcdefgh'[taken % 8]}")
    return keys


def _year(reference: Reference) -> str:
    years = re.findall(r"\b(?:19|20)\d\d\b", reference.text)
    return years[-1] if years else ""


def _escaped(text: str) -> str:
    return re.sub(r"([&%$#_])", r"\\\1", text)
