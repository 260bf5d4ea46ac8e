"""What a person set for all runs in napari's Preferences: where to compute, with how much, and where results go."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hsi_app.params import Option
    from hsi_napari.links import Links

# The plugin and its page of settings, by their names in the manifest.
PLUGIN, PAGE = "hsi-app", "runs"
# Entries of the page that are options of a run; of the others (folder, threads) only this module knows.
_OPTIONS = ("device", "memory", "seed")


def with_defaults(options: Iterable[Option]) -> tuple[Option, ...]:
    """The options of a form, with the person's own defaults where there are any."""
    own = defaults()
    return tuple(replace(option, default=own.get(option.name, option.default)) for option in options)


def defaults() -> dict[str, Any]:
    """Device, memory and seed by the names of the options; an entry left empty in the Preferences is absent."""
    page = _page()
    entries = {name: getattr(page, name, "") for name in _OPTIONS}
    entries = {name: value.strip() if isinstance(value, str) else value for name, value in entries.items()}
    return {name: value for name, value in entries.items() if value != ""}


def threads() -> int:
    """Threads of a run; 0 for as many as torch takes by itself."""
    return int(getattr(_page(), "threads", 0))


def results_folder() -> Path | None:
    """Where results go unless a person says otherwise; None where no folder was set or it is gone."""
    given = str(getattr(_page(), "folder", "")).strip()
    folder = Path(given).expanduser() if given else None
    return folder if folder is not None and folder.is_dir() else None


def suggested(name: str) -> str:
    """A file name as a dialog should offer it: in the folder of the results, or alone."""
    folder = results_folder()
    return name if folder is None else str(folder / name)


def watch(links: Links, changed: Callable[..., None]) -> None:
    """Call a method whenever a setting was changed in the Preferences, for as long as the links last."""
    page = _page()
    if page is not None:
        links.connect(page.events, changed)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give the work of this thread so many; 0 changes nothing."""
    if not count:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        # The number is that of threads made later too.
        torch.set_num_threads(before)


def _page() -> Any:
    """The settings as napari keeps them; None outside napari, and before its version 0.9, which has no such pages."""
    if "napari" not in sys.modules:
        return None
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return getattr(get_plugin_settings(PLUGIN), PAGE)
    except (KeyError, AttributeError):  # the plugin is used without being installed, or is disabled
        return None
