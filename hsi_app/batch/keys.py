"""What a result depends on, as a key: equal keys, equal results."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsi_app.errors import HsiError
from hsi_app.fingerprint import PACKAGES, cube_digest
from hsi_app.io.formats import format_by_extension, split_array
from hsi_app.versions import versions

if TYPE_CHECKING:
    from hsi_app.cube import Cube
    from hsi_app.recipe import Recipe


def recipe_key(recipe: Recipe) -> str:
    """Key of what decides a result beside the data: recipe, weights and versions.

    The device is not part of it: the same batch may run on several.
    """
    known = versions()
    return _digest({
        "recipe": recipe.to_toml(), "weights": weights_of(recipe),
        "versions": {name: known.get(name) for name in PACKAGES},
    })  # fmt: skip


def key_of(cube: Cube, mask: str | None, recipe: Recipe, on_strip: Callable[[], object] = lambda: None) -> str:
    """Key of a result: content of the input and the mask, and ``recipe_key``."""
    from hsi_app.io import open_cube

    return _digest({
        "input": cube_digest(cube, on_strip),
        "mask": None if mask is None else cube_digest(open_cube(mask, wavelengths=False), on_strip),
        "how": recipe_key(recipe),
    })  # fmt: skip


def _digest(facts: Any) -> str:
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()


def weights_of(recipe: Recipe) -> dict[str, str]:
    """Hash of each file of weights that the steps load, by name."""
    from hsi_app.methods.registry import method
    from hsi_app.weights import find_card

    found: dict[str, str] = {}
    for step in recipe.steps:
        spec = method(step.method, "restore")
        params = spec.parameters.parse(step.params).model_dump(mode="json")
        for name in {*spec.weights, *(value for value in params.values() if isinstance(value, str))}:
            with suppress(HsiError):
                card = find_card(name)
                found[name] = card.sha256
    return found


def signature(sources: Sequence[str | None]) -> list[list[Any]]:
    """Names, sizes and times of the files of the sources: unchanged files need no reading."""
    return [
        [str(path), stat.st_size, stat.st_mtime_ns]
        for source in sources if source is not None
        for path in _files(split_array(source)[0])
        for stat in [path.stat()]
    ]  # fmt: skip


def _files(path: Path) -> Iterator[Path]:
    """All files that a cube may be made of."""
    if path.is_dir():
        for parent, folders, names in os.walk(path):
            folders.sort()
            yield from (Path(parent) / name for name in sorted(names))
        return
    yield path
    found = format_by_extension(path)
    if found is not None and found.id == "envi":
        stem = path.name.split(".")[0].lower()
        beside = sorted(path.parent.iterdir())
        yield from (one for one in beside if one != path and one.name.lower().split(".")[0] == stem and one.is_file())
