"""Command-line options of a method, generated from its parameter model."""

from __future__ import annotations

from typing import Any

import click

from hsi_app.methods.registry import MethodSpec
from hsi_app.params import Option, options

# Prefix of the generated options' Python names, so that a method may call an option 'mask' or 'seed'.
_PREFIX = "method_"


def method_options(spec: MethodSpec) -> list[click.Option]:
    """One click option for each of the method's parameters; none is given unless the user writes it."""
    return [_click_option(option) for option in options(spec.parameters)]


def method_help(spec: MethodSpec) -> str:
    """What a method does and where it fails, as the help of its command."""
    limits = "".join(f"\n\n* {limit}" for limit in spec.limits)
    return f"{spec.title}.\n\n{spec.summary}" + (f"\n\nLimits:{limits}" if limits else "")


def given_options(values: dict[str, Any]) -> dict[str, Any]:
    """Take the method's options out of a command's arguments: those the user wrote, by parameter name."""
    names = [name for name in values if name.startswith(_PREFIX)]
    taken = {name.removeprefix(_PREFIX): values.pop(name) for name in names}
    return {name: value for name, value in taken.items() if value is not None}


def _click_option(option: Option) -> click.Option:
    flag = f"--{option.cli_name}"
    kinds: dict[str, Any] = {"int": click.INT, "float": click.FLOAT, "text": click.STRING}
    # Bounds are checked by the parameter model, which every face shares; here they are only shown.
    kind = click.Choice(option.choices) if option.kind == "choice" else kinds.get(option.kind)
    return click.Option(
        [f"{flag}/--no-{option.cli_name}" if option.kind == "bool" else flag, _PREFIX + option.name],
        type=click.BOOL if option.kind == "bool" else kind,
        default=None,
        required=option.is_required,
        help=help_text(option),
        metavar=None if option.kind in ("choice", "bool") else option.kind.upper(),
    )


def help_text(option: Option) -> str:
    """Description, range with unit, default and source, as one paragraph."""
    parts = [option.description]
    facts = []
    if option.range_text and option.kind != "choice":
        facts.append(f"range {option.range_text}" if option.range_text != option.unit else f"in {option.unit}")
    if not option.is_required:
        facts.append(f"default {default_text(option)}")
    if option.source:
        facts.append(f"source: {option.source}")
    if facts:
        parts.append(f"[{'; '.join(facts)}]")
    return "  ".join(parts)


def default_text(option: Option) -> str:
    """The default as a user would write it; None means that the data decide."""
    if option.default is None:
        return option.absent_text
    if isinstance(option.default, bool):
        return "on" if option.default else "off"
    return f"{option.default:g}" if isinstance(option.default, float) else str(option.default)
