"""Fills the pages with what the program knows of itself: methods, options, commands, formats, keys, preferences.

A hook of MkDocs. A page holds a line ``<!-- generated: NAME -->``; NAME is one of ``PARTS``. So that nothing is
listed twice, all of it comes from the registries and the plugin's manifest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
ROOT = Path(__file__).resolve().parents[1]


def on_page_markdown(markdown: str, **page: Any) -> str:
    """Called by MkDocs for every page."""
    return MARK.sub(lambda found: PARTS[found[1]](), markdown)


def methods() -> str:
    """One table for each kind of method."""
    from hsi_app.methods.registry import TASKS, methods

    parts = []
    for kind, title in (("restore", "Restoration"), ("unmix", "Unmixing"), ("fuse", "Fusion")):
        rows = [
            (f"[`{spec.id}`](options.md#{spec.id})", spec.summary, ", ".join(f"`{task}`" for task in spec.tasks),
             "yes, they ship" if spec.weights else "no")
            for spec in methods(kind).values()
        ]  # fmt: skip
        parts.append(f"## {title}\n\n{table(('method', 'what it does', 'tasks', 'weights'), rows)}")
    tasks = table(("task", "what is done"), ((f"`{task}`", words) for task, words in TASKS.items()))
    return "\n\n".join([*parts, f"## Tasks\n\n{tasks}"])


def options() -> str:
    """Every method with its options, limits and sources."""
    from hsi_app.methods.registry import methods

    return "\n\n".join(described(spec) for spec in methods().values())


def described(spec: Any) -> str:
    """One method: title, summary, options, limits, references."""
    from hsi_app.params import options

    rows = [
        (f"`--{option.cli_name}`", option.description, plain_default(option), range_of(option), option.source)
        for option in options(spec.parameters)
    ]
    parts = [f"## {spec.id}", f"**{spec.title}.** {spec.summary}"]
    if rows:
        parts.append(table(("option", "meaning", "default", "range, unit", "source of the default"), rows))
    if spec.limits:
        parts.append("Limits:\n\n" + "\n".join(f"- {limit}" for limit in spec.limits))
    if spec.references:
        parts.append("Sources:\n\n" + "\n".join(f"- {reference.text}" for reference in spec.references))
    return "\n\n".join(parts)


def plain_default(option: Any) -> str:
    """'on', '3', 'from the data', 'none'."""
    if option.default is None:
        return "needed" if option.is_required else "from the data" if option.is_optional else "none"
    if isinstance(option.default, bool):
        return "on" if option.default else "off"
    return f"`{option.default}`" if option.default != "" else "none"


def range_of(option: Any) -> str:
    """'1 to 64 materials', 'a, b or c'."""
    if option.choices:
        return ", ".join(f"`{choice}`" for choice in option.choices)
    ends = [end for end in (option.lower, option.upper) if end is not None]
    span = " to ".join(f"{end:g}" for end in ends) if len(ends) == 2 else f"from {ends[0]:g}" if ends else ""
    return f"{span} {option.unit}".strip()


def commands() -> str:
    """The commands with their one-line help."""
    import click

    from hsi_app.cli.main import cli

    context = click.Context(cli, info_name="hsi-app")
    rows = []
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        rows.append((f"`hsi-app {name}`", command.get_short_help_str(100)))
    return table(("command", "what it does"), rows)


def exit_codes() -> str:
    """What a script may rely on."""
    from hsi_app.cli.main import _EPILOG

    told = re.search(r"Exit codes: (.+?)\.\n", _EPILOG, re.DOTALL)
    assert told is not None
    codes = [re.fullmatch(r"(\d+) (.+)", code) for code in re.split(r",\s+", told[1])]
    return table(("exit code", "meaning"), ((code[1], code[2]) for code in codes if code))


def degradations() -> str:
    """Names that ``hsi-app degrade --as`` takes."""
    from hsi_app.physics.degrade import list_degradations

    rows = ((f"`{example}`", text) for example, text in list_degradations().items())
    return table(("for example", "what it does"), rows)


def formats() -> str:
    """What can be read and written."""
    from hsi_app.io.formats import FORMATS

    rows = [
        (format.title, " ".join(f"`{ending}`" for ending in format.extensions if ending),
         "yes" if format.create else "", "a name after `::`" if format.arrays else "")
        for format in FORMATS
    ]  # fmt: skip
    return table(("format", "extensions", "written too", "several arrays a file"), rows)


def keys() -> str:
    """Keys of the viewer."""
    from hsi_napari.keys import COMMAND_KEYS, DOCK_KEYS  # noqa: TID251  # a table of the plugin, no viewer

    titles = {command["id"]: command["title"] for command in manifest()["commands"]}
    rows = [(key, titles[f"hsi-app.{name}"]) for name, key in COMMAND_KEYS.items()]
    rows += [(key, f"Open the dock {dock}") for dock, key in DOCK_KEYS.items()]
    return table(("key", "what it does"), ((pressed(key), text) for key, text in rows))


def pressed(key: str) -> str:
    """'Alt+Right' as it is printed on a page."""
    return " + ".join(f"<kbd>{part}</kbd>" for part in key.split("+"))


def preferences() -> str:
    """The plugin's page in napari's Preferences."""
    (page,) = manifest()["configurations"].values()
    rows = ((entry["title"], entry["description"]) for entry in page["properties"].values())
    return table(("entry", "meaning"), rows)


def manifest() -> Mapping[str, Any]:
    """What the plugin contributes to napari, read without napari."""
    import hsi_napari  # noqa: TID251  # for where its manifest lies
    import yaml

    path = Path(hsi_napari.__file__).with_name("napari.yaml")
    contributions: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["contributions"]
    return contributions


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown; bars in cells do not end them."""
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


PARTS: Mapping[str, Callable[[], str]] = {
    part.__name__: part for part in (methods, options, commands, exit_codes, degradations, formats, keys, preferences)
}
