"""Options that every processing command has, gathered into one object."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import click

from hsi_app.device import parse_memory


@dataclass(frozen=True)
class RunOptions:
    """How a processing command runs; ``verbosity`` -1 (quiet) ... 2.

    ``memory`` is in bytes; it and ``seed`` are None where not given.
    """

    device: str
    memory: int | None
    seed: int | None
    overwrite: bool
    log_format: Literal["text", "json"]
    verbosity: int


def _memory(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    return None if text is None else parse_memory(text)


_OPTIONS = (
    click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:i]", help="Where to compute."),
    click.option(
        "--memory", metavar="SIZE", callback=_memory,
        help="Host memory the run may use, such as 8G or 512M.  [default: three quarters of what is free]",
    ),
    click.option(
        "--seed", type=click.IntRange(0), help="Start of the random numbers.  [default: 0, or that of the recipe]"
    ),
    click.option("--overwrite", is_flag=True, help="Replace existing outputs."),
    click.option(
        "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True,
        help="Form of the messages on stderr.",
    ),
    click.option("-v", "--verbose", count=True, help="Say more on stderr."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors."),
)  # fmt: skip


MASK = click.option("--mask", metavar="FILE", help="Image of 1 = observed, 0 = missing; adds to NaN and nodata.")
TILE = click.option(
    "--tile", type=click.IntRange(1), metavar="PX", help="Largest side of a tile.  [default: from --memory]"
)
RECORD = click.option("--json", "as_json", is_flag=True, help="Print the run's record as JSON.")


def processing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the common options to a command; its function receives them as one ``run`` argument."""

    @functools.wraps(function)
    def command(
        *args: Any,
        device: str,
        memory: int | None,
        seed: int | None,
        overwrite: bool,
        log_format: Literal["text", "json"],
        verbose: int,
        quiet: bool,
        **own: Any,
    ) -> Any:
        verbosity = -1 if quiet else min(verbose, 2)
        run = RunOptions(device, memory, seed, overwrite, log_format, verbosity)
        return function(*args, run=run, **own)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command
