"""What a command is to write, looked at before any work: an hour of computing must not end in a name that is taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hsi_app.errors import ParameterError
from hsi_app.files import check_target


def check_outputs(
    files: Sequence[str | None], *, report: str | None = None, folder: str | None = None, overwrite: bool = False,
    option: str = "--report",
) -> None:  # fmt: skip
    """Make sure that every file can be written and has a name of its own.

    files : those that were asked for, None where not; report : page that gets a JSON file beside it
    folder : that must not be one of them
    option : by which the page is asked for

    Raises ParameterError if two names are one or a report does not end in .html, OutputError if a file is taken.
    """
    wanted = [*files, report]
    if report is not None:
        if Path(report).suffix.lower() not in (".html", ".htm"):
            raise ParameterError(f"{option} is '{report}'; name a file that ends in .html.")
        wanted.append(str(Path(report).with_suffix(".json")))
    named = [Path(target).absolute() for target in wanted if target is not None]
    folders = [] if folder is None else [Path(folder).absolute()]
    if len({*named, *folders}) < len(named) + len(folders):
        raise ParameterError("two outputs have the same name; give each its own.")
    for target in named:
        check_target(target, overwrite=overwrite)
