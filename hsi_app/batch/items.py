"""What a batch works on: files, folders, patterns, lists and tables, and where the result of each goes."""

from __future__ import annotations

import csv
import glob
import os
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from hsi_app.batch.journal import read_journals
from hsi_app.errors import HsiError, ParameterError
from hsi_app.io import read_patterns
from hsi_app.io.formats import format_by_extension, load, split_array
from hsi_app.recipe import Recipe

# Folder within the output folder that holds the journal and everything unfinished.
HIDDEN = ".hsi-app"
# What a template of names may hold, and columns of a table that are no options.
FIELDS = ("stem", "recipe", "folder", "number", "ext")
COLUMNS = ("file", "out", "mask")
DEFAULT_NAME = "{stem}{ext}"
# Written where the format of the input can only be read.
DEFAULT_EXTENSION = ".hdr"


@dataclass(frozen=True)
class Item:
    """One scene.

    source : file, 'file.mat::name' for an array in it
    out : where its result goes, relative to the output folder, with '/' between folders
    mask : file, or None
    options : of the recipe's methods for this scene alone: 'rank', or '2.rank' for that of the second step
    where : for messages: the file itself, or the line of a table
    """

    source: str
    out: str
    mask: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""


def gather(
    inputs: Sequence[str],
    folder: Path,
    *,
    recipe: str = "recipe",
    name: str = DEFAULT_NAME,
    recursive: bool = False,
    patterns: Sequence[str] = (),
) -> tuple[Item, ...]:
    """Find the scenes that are meant.

    Parameters
    ----------
    inputs : files, folders, patterns such as 'flight*.hdr', lists ('.txt', a file a line) and tables ('.csv' with the
        column 'file' and, as wanted, 'out', 'mask' and options)
    folder : that the results go to
    recipe : its name
    name : template of a result's name: {stem}, {recipe}, {folder}, {number} and {ext} (that of the input, if it can be
        written)
    recursive : look in folders of folders; results lie in the same folders
    patterns : names to take from folders; none means all that could be cubes

    Returns
    -------
    Items in a stable order, each source once.

    Raises
    ------
    ParameterError
        If nothing is found, a table is not as it should be, a name leads out of the folder, or two results share one.
    """
    _check_template(name)
    found: dict[tuple[str, str], Item] = {}
    for text in inputs:
        for item in _items_of(text, folder, recursive, patterns):
            if "\0" in f"{item.source}{item.mask}":
                raise ParameterError(f"{item.where}: no file can have such a name; correct it.")
            found.setdefault((_same_file(item.source), item.out), item)
    if not found:
        raise ParameterError(f"no scenes in {', '.join(inputs) or 'nothing'}; name files, folders or a list.")
    named = [
        replace(item, out=_plain(item.out if PurePosixPath(item.out).suffix else _named(item, name, recipe, number)))
        for number, item in enumerate(found.values(), 1)
    ]
    taken: dict[str, Item] = {}
    for item in named:
        inside(folder, item.out, item.where)
        try:
            names = written_names(item.out)
        except ParameterError as error:
            raise ParameterError(f"{item.where}: {error}") from None
        for written in names:
            # Some file systems take two cases of a letter for one.
            other = taken.setdefault(written.lower(), item)
            if other is not item:
                raise ParameterError(
                    f"'{other.where}' and '{item.where}' would both be written to '{item.out}'; give --name"
                    " '{folder}_{stem}{ext}' or '{number}_{stem}{ext}'."
                )
    return tuple(named)


def inside(folder: Path, name: str, where: str = "") -> Path:
    """The path of a result, certain to lie in the output folder.

    Raises ParameterError for absolute names, '..', control characters, and folders that are links to elsewhere.
    """
    plain = _plain(name)
    path, told = PurePosixPath(plain), f"{where}: " if where else ""
    if path.is_absolute() or re.match("[A-Za-z]:", plain) or ".." in path.parts or not path.name:
        raise ParameterError(f"{told}the result '{name}' would leave the output folder; give a name within it.")
    if not plain.isprintable() or path.parts[0].lower() == HIDDEN:
        raise ParameterError(f"{told}a result cannot be named {name!r}; give another name.")
    target = folder / path
    if not _real(target.parent).is_relative_to(_real(folder)):
        raise ParameterError(f"{told}'{target.parent}' is a link that leads out of '{folder}'; remove it.")
    return target


def recipe_for(recipe: Recipe, item: Item) -> Recipe:
    """The recipe with the scene's own options.

    Raises ParameterError if one does not exist or does not suit.
    """
    if not item.options:
        return recipe
    params = [dict(step.params) for step in recipe.steps]
    for key, value in item.options.items():
        number, _, option = key.rpartition(".")
        if not number and len(params) > 1:
            raise ParameterError(
                f"{item.where}: the recipe has {len(params)} steps; name the column '1.{key}' for the first."
            )
        if number and not (number.isdecimal() and 1 <= int(number) <= len(params)):
            raise ParameterError(f"{item.where}: there is no step '{number}' for '{option}' in the recipe.")
        params[int(number or 1) - 1][option.replace("-", "_")] = value
    steps = tuple(replace(step, params=own) for step, own in zip(recipe.steps, params, strict=True))
    try:
        return replace(recipe, steps=steps)
    except HsiError as error:
        raise ParameterError(f"{item.where}: {error}") from None


# Sources


def _items_of(text: str, folder: Path, recursive: bool, patterns: Sequence[str]) -> Iterator[Item]:
    path = Path(text).expanduser()
    suffix = path.suffix.lower()
    if suffix == ".csv":
        yield from _of_table(path)
    elif suffix == ".txt":
        for line in _lines(path):
            yield from _of_path(line, path.parent)
    elif path.is_dir() and not _is_store(path):
        yield from _of_folder(path, folder, recursive, patterns)
    elif glob.has_magic(text) and not path.exists():
        matches = sorted(glob.glob(str(path), recursive=True))
        if not matches:
            raise ParameterError(f"no file fits '{text}'; check the pattern.")
        made = _made(folder)
        for match in _without_data_halves(one for one in matches if _real(Path(one)) not in made):
            yield Item(match, "", where=match)
    else:
        yield Item(str(path), "", where=text)


def _of_path(line: str, beside: Path) -> Iterator[Item]:
    path = Path(line).expanduser()
    source = str(path if path.is_absolute() else beside / path)
    yield Item(source, "", where=line)


def _of_folder(path: Path, folder: Path, recursive: bool, patterns: Sequence[str]) -> Iterator[Item]:
    wanted, results, made = tuple(patterns) or tuple(read_patterns()), _real(folder), _made(folder)
    for parent, folders, files in os.walk(path):
        here = Path(parent)
        stores = [name for name in folders if _is_store(here / name)]
        folders[:] = sorted(
            name for name in folders
            if recursive and name not in stores and not name.startswith(".") and _real(here / name) != results
        )  # fmt: skip
        names = [name for name in (*files, *stores) if not name.startswith(".") and _fits(name, wanted)]
        sources = (str(here / name) for name in sorted(names) if not made or _real(here / name) not in made)
        for source in _without_data_halves(sources):
            place = Path(source).relative_to(path)
            yield Item(source, "" if place.parent == Path() else f"{place.parent.as_posix()}/", where=source)


def _made(folder: Path) -> set[Path]:
    """What earlier batches wrote, which may lie among the scenes and is none."""
    found: set[Path] = set()
    for entry in read_journals(folder / HIDDEN).values():
        if entry.state != "failed" or "outputs" in entry.facts:
            with suppress(ParameterError):  # a name that no batch wrote there
                inside(folder, entry.item)
                found |= {_real(folder / name) for name in written_names(entry.item)}
    return found


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(PurePosixPath(name.lower()).match(pattern.lower()) for pattern in patterns)


def _is_store(path: Path) -> bool:
    return path.suffix.lower() == ".zarr" and path.is_dir()


def _without_data_halves(paths: Iterable[str]) -> list[str]:
    """Of an ENVI pair only the header; an image of another format beside a header of its name is a scene too."""
    listed = list(paths)
    known = {path.lower() for path in listed}
    return [
        path for path in listed
        if path.lower().endswith(".hdr") or not _is_envi(path) or not _headers_of(path) & known
    ]  # fmt: skip


def _is_envi(path: str) -> bool:
    found = format_by_extension(Path(path))
    return found is not None and found.id == "envi"


def _headers_of(path: str) -> set[str]:
    return {f"{path}.hdr".lower(), str(Path(path).with_suffix(".hdr")).lower()}


def _same_file(source: str) -> str:
    file, array = split_array(source)
    return f"{_real(file)}::{array or ''}"


def _real(path: Path) -> Path:
    """Without links; a ring of links, which ``Path.resolve`` refuses, stays as it is."""
    return Path(os.path.realpath(path))


def _plain(name: str) -> str:
    """A result's name with '/' between folders and nothing needless in it, as it is looked up everywhere."""
    return str(PurePosixPath(name.replace("\\", "/")))


# Lists and tables


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ParameterError(f"no list '{path}'; check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"list '{path}' cannot be read: {' '.join(str(error).split())}.") from None


def _lines(path: Path) -> list[str]:
    lines = [line.strip() for line in _text(path).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _of_table(path: Path) -> Iterator[Item]:
    try:
        rows = list(csv.reader(_text(path).splitlines(), strict=True))
    except csv.Error as error:
        raise ParameterError(f"table '{path}' is no CSV: {error}; correct that place.") from None
    head = [cell.strip().replace("_", "-") for cell in rows[0]] if rows else []
    if "file" not in head:
        raise ParameterError(f"table '{path}' has no column 'file'; its first line names the columns.")
    if len(set(head)) < len(head) or "" in head:
        raise ParameterError(f"table '{path}' has columns without a name, or two of one name; name each once.")
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        where = f"{path.name}, line {number}"
        if len(row) != len(head):
            raise ParameterError(f"{where}: {len(row)} cells where the first line names {len(head)} columns.")
        cells = {name: cell.strip() for name, cell in zip(head, row, strict=True) if cell.strip()}
        if "file" not in cells:
            raise ParameterError(f"{where}: no file.")
        (item,) = _of_path(cells["file"], path.parent)
        mask = cells.get("mask")
        options = {name: _value(cell) for name, cell in cells.items() if name not in COLUMNS}
        yield Item(
            item.source, cells.get("out", ""), None if mask is None else str(path.parent / mask), options, where
        )  # fmt: skip


def _value(cell: str) -> Any:
    """A cell as a recipe would hold it: true or false, a number, or a word."""
    if cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell


# Names


def _check_template(name: str) -> None:
    try:
        fields = [(field, spec, way) for _, field, spec, way in string.Formatter().parse(name) if field is not None]
    except ValueError as error:
        raise ParameterError(f"--name '{name}': {error}.") from None
    unknown = [field for field, spec, way in fields if field not in FIELDS or spec or way]
    if unknown or not fields:
        known = ", ".join(f"{{{field}}}" for field in FIELDS)
        raise ParameterError(f"--name '{name}' must hold some of {known}, and no other field.")


def _named(item: Item, name: str, recipe: str, number: int) -> str:
    """The name after the template; a name without extension, as of a table, keeps it as its stem."""
    file, array = split_array(item.source)
    plain = file.stem if array is None else f"{file.stem}_{re.sub('[^A-Za-z0-9]+', '_', array)}"
    place, _, own = item.out.rpartition("/")
    extension = _extension(file)
    made = name.format(
        stem=own or plain, recipe=recipe, folder=_real(file).parent.name, number=f"{number:04d}", ext=extension
    )
    if format_by_extension(Path(made)) is None or not PurePosixPath(made).suffix:
        made += extension
    return f"{place}/{made}" if place else made


def _extension(file: Path) -> str:
    """That of the result: as the input, where that can be written."""
    found = format_by_extension(file)
    if found is None or found.create is None or found.id == "envi":
        return DEFAULT_EXTENSION
    return file.suffix


def written_names(out: str) -> tuple[str, ...]:
    """All that is written for a result, the header of a pair last: relative paths."""
    place = PurePosixPath(out)
    found = format_by_extension(Path(place.name))
    if found is None or found.create is None:
        raise ParameterError(f"'{out}' cannot be written in a format of that extension; choose another.")
    names = (place.name,) if found.names is None else load(found.names)(Path(place.name))
    return tuple(str(place.with_name(str(one))) for one in (*names, f"{place.name}.json"))
