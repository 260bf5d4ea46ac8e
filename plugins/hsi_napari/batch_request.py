"""What is asked of a batch, checked before it starts, and as the command line that carries it out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsi_app.errors import FormatError, HsiError, ParameterError
from hsi_app.params import Option
from hsi_napari.run_settings import SETTINGS

if TYPE_CHECKING:
    from hsi_app.recipe import Recipe, Step

DEFAULT_NAME = "{stem}{ext}"
# The program of the other process, as the console script would start it.
PROGRAM = ("-c", "from hsi_app.cli.main import main; main()", "batch")
# More files than this in a row are handed over as a list: a command line is no place for thousands of names.
MANY = 50
# A recipe is a page of text; what is larger is something else.
MOST_BYTES = 2**20
# Parameters of a step that the line about a recipe names.
_TOLD = 3

EXISTING = Option(
    "existing_results", "choice", "skip", "Results that are there: pass over those that would come out the same"
    " (skip), do all again (redo), or call them failures (fail). What no batch made is replaced by 'redo' alone.",
    choices=("skip", "redo", "fail"),
)  # fmt: skip
HOW = (
    Option("recursive", "bool", False, "Look in folders of folders too; results keep them."),
    Option(
        "workers", "int", None, "Scenes at a time; a large one is shared out.", is_optional=True, lower=1, upper=256,
        source="one for each GPU or core, with 2 GiB each, when not given",
    ),
    Option(
        "memory", "text", None, "Host memory for all workers together, for example 8G.", is_optional=True,
        unit="auto, or for example 8G", source="six tenths of all there is when not given",
    ),
    *(option for option in SETTINGS if option.name == "device"),
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One input of a batch: a 'file', a 'folder', a 'table' (.csv) or a 'list' (.txt)."""

    path: str
    kind: str


@dataclass(frozen=True)
class Request:
    """As the dock shows it.

    recipe, folder : paths, '' where none was chosen
    options : of ``EXISTING`` and ``HOW``; those on auto are absent
    """

    recipe: str
    sources: tuple[Source, ...]
    folder: str
    name: str = DEFAULT_NAME
    options: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what cannot be started.

        Raises
        ------
        ParameterError, FormatError
            With the one thing to correct first.
        """
        if not self.recipe:
            raise ParameterError("choose a recipe; 'Save recipe…' in the Restore dock makes one.")
        read_small_recipe(self.recipe)
        if not self.sources:
            raise ParameterError("add the scenes: files, a folder, or a table.")
        if not self.folder:
            raise ParameterError("choose a folder for the results.")
        if Path(self.folder).exists() and not Path(self.folder).is_dir():
            raise ParameterError(f"the results need a folder; '{self.folder}' is a file.")
        memory = self.options.get("memory")
        if memory:
            from hsi_app.device import parse_memory

            parse_memory(memory)
        self.example()

    def example(self) -> str:
        """'scene.hdr → results/scene.hdr' for the first input.

        Raises
        ------
        ParameterError
            If the template of names cannot be used.
        """
        from hsi_app.batch.items import gather

        first = self.sources[0] if self.sources else Source("scene.hdr", "file")
        path = Path(first.path)
        scene = path if first.kind == "file" else (path if first.kind == "folder" else path.parent) / "scene.hdr"
        # A name with marks of a pattern would be looked for, if there is no such file.
        plain = str(scene) if first.kind == "file" else re.sub(r"[*?\[\]]", "_", str(scene))
        (item,) = gather((plain,), Path(self.folder or "results"), recipe=Path(self.recipe).stem, name=self.name)
        return f"{scene.name} → {Path(self.folder).name or 'results'}/{item.out}"

    def arguments(self, scratch: Path, *, is_dry: bool = False) -> list[str]:
        """For ``PROGRAM``; lists of many files are written into the folder ``scratch``."""
        given = ["--json", "--dry-run"] if is_dry else []
        # Processes even for one worker: only from there comes how far a scene is.
        given += ["--log-format", "json", "--executor", "processes", "--out", _whole(self.folder), "--name", self.name]
        for option, value in self.options.items():
            flag = "--existing" if option == "existing_results" else f"--{option}"
            if value is True:
                given.append(flag)
            elif value not in (False, None, ""):
                given += [flag, str(value)]
        return [*PROGRAM, *given, "--", _whole(self.recipe), *_inputs(self.sources, scratch)]


def _whole(path: str) -> str:
    """The other process works in a folder of its own."""
    return str(Path(path).expanduser().absolute())


def _inputs(sources: Sequence[Source], scratch: Path) -> list[str]:
    """In their order, with many files in a row as a list."""
    given: list[str] = []
    for may_be_listed, run in groupby(sources, key=_may_be_listed):
        paths = [source.path for source in run]
        if may_be_listed and len(paths) > MANY:
            made = scratch / f"scenes{len(given)}.txt"
            made.write_text("\n".join(paths) + "\n", encoding="utf-8")
            paths = [str(made)]
        given += paths
    return given


def _may_be_listed(source: Source) -> bool:
    """A list has a name a line, without spaces at its ends; '#' begins a remark."""
    path = source.path
    return source.kind == "file" and path.isprintable() and path == path.strip() and not path.startswith("#")


def read_small_recipe(path: str) -> Recipe:
    """Read a recipe, but no file that is too large for one.

    Raises ParameterError, FormatError.
    """
    from hsi_app.recipe import read_recipe

    try:
        found = Path(path).stat()
    except OSError:
        return read_recipe(path)  # which says why
    if not Path(path).is_file() or found.st_size > MOST_BYTES:
        raise FormatError(f"'{Path(path).name}' is no recipe; choose a .toml file of steps.")
    return read_recipe(path)


def steps_line(recipe: Recipe) -> str:
    """'denoise with lowrank (rank 6), then ...'."""
    return ", then ".join(_step(recipe, step) for step in recipe.steps)


def _step(recipe: Recipe, step: Step) -> str:
    from hsi_app.methods.registry import method

    spec = method(step.method, "restore")
    task = spec.check_task(step.task)
    given = {name: value for name, value in {**recipe.optics(task), **step.params}.items() if value is not None}
    told = [f"{name.replace('_', ' ').replace('-', ' ')} {_value(value)}" for name, value in given.items()]
    more = f", {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    return f"{task} with {step.method}" + (f" ({', '.join(told[:_TOLD])}{more})" if told else "")


def _value(value: Any) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def line_of(ask: Callable[[], str]) -> tuple[str, bool]:
    """What ``ask`` gives, or the line that says why it cannot; True for the second."""
    try:
        return ask(), False
    except HsiError as error:
        return in_dock_words(str(error)), True


def in_dock_words(line: str) -> str:
    """A line of the command's, which names its options, for who sees a form: '--existing redo' → 'existing redo'."""
    return re.sub(r"(?<![\w-])--([a-z])", r"\1", line)
