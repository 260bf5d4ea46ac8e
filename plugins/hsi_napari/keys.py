"""Keys of the plugin. They can be changed in napari's Preferences > Shortcuts, where they stand among the viewer's own.

napari 0.9 reads the ``keybindings`` of a plugin's manifest but binds none of them, so this module does, when the first
cube or dock is opened. A key that the chosen layer uses itself stays with the layer.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

# Command of the manifest to key. None of them is used by napari's viewer, layers or menus (test_plugin_keys.py).
COMMAND_KEYS: Mapping[str, str] = {
    "next_band": "Alt+Right",
    "previous_band": "Alt+Left",
    "compare_toggle": "Shift+B",
    "pin_spectrum": "Shift+S",
    "true_colour": "Shift+C",
    "preview_restore": "Shift+W",
    "run_restore": "Shift+R",
}
# Dock to key, in the order in which a scene is worked on.
DOCK_KEYS: Mapping[str, str] = {
    "Cube": "Ctrl+1",
    "Spectrum": "Ctrl+2",
    "Restore": "Ctrl+3",
    "Compare": "Ctrl+4",
    "Trust": "Ctrl+5",
    "Unmix": "Ctrl+6",
    "Fuse": "Ctrl+7",
    "Batch": "Ctrl+8",
}
# Held down, these go on.
_REPEATING = ("next_band", "previous_band")


def register() -> None:
    """Bind all keys, those that a person chose where they chose others; a second call changes nothing."""
    from napari.components import ViewerModel
    from napari.settings import get_settings
    from napari.utils.action_manager import action_manager

    if f"hsi-app:{next(iter(COMMAND_KEYS))}" in action_manager._actions:
        return
    chosen = get_settings().shortcuts.shortcuts
    for name, (title, key, call) in bindings().items():
        action = f"hsi-app:{name}"
        call.__name__ = f"hsi_app_{name}"  # type: ignore[attr-defined]  # napari finds the repeating ones by it
        action_manager.register_action(action, call, title, ViewerModel, repeatable=name in _REPEATING)
        for shortcut in chosen.get(action, [key_binding(key)]):
            action_manager.bind_shortcut(action, shortcut)


def bindings() -> dict[str, tuple[str, str, Callable[[Any], None]]]:
    """Title, key and call (it takes the viewer) of each action, by name."""
    found: dict[str, tuple[str, str, Callable[[Any], None]]] = {}
    commands = {command.id: command for command in _manifest().contributions.commands or ()}
    for name, key in COMMAND_KEYS.items():
        command = commands[f"hsi-app.{name}"]
        found[name] = str(command.title), key, _lazily(str(command.python_name))
    for dock, key in DOCK_KEYS.items():
        found[f"show_{dock.lower()}"] = f"Open the dock {dock}", key, _opener(dock)
    return found


def key_binding(key: str) -> Any:
    """'Ctrl+1' as napari binds it; 'Ctrl' is the command key on a Mac."""
    from app_model.types import KeyBinding, KeyCode, KeyMod

    held = {"Ctrl": KeyMod.CtrlCmd, "Alt": KeyMod.Alt, "Shift": KeyMod.Shift}
    *modifiers, last = key.split("+")
    number = int(KeyCode.from_string(last))
    for modifier in modifiers:
        number |= int(held[modifier])
    return KeyBinding.from_int(number)


def _manifest() -> Any:
    from npe2 import PluginManifest

    return PluginManifest.from_file(Path(__file__).with_name("napari.yaml"))


def _lazily(python_name: str) -> Callable[[Any], None]:
    module, _, name = python_name.partition(":")

    def call(viewer: Any) -> None:
        function = getattr(importlib.import_module(module), name)
        function(viewer) if signature(function).parameters else function()

    return call


def _opener(dock: str) -> Callable[[Any], None]:
    from hsi_napari.actions import open_dock

    def call(viewer: Any) -> None:
        open_dock(viewer, dock)

    return call
