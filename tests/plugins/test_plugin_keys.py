"""Keys and commands: none is taken from napari, all of them do what they say."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hsi_napari import actions, keys
from hsi_napari.layers import cube_of, cube_to_layer

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube


@pytest.fixture
def manager() -> Iterator[Any]:
    """napari's list of actions, put back as it was found."""
    pytest.importorskip("napari")
    from napari.components import ViewerModel
    from napari.utils.action_manager import action_manager

    actions_before, shortcuts_before = dict(action_manager._actions), dict(action_manager._shortcuts)
    keymap_before = dict(ViewerModel.class_keymap)
    yield action_manager
    for now, before in (
        (action_manager._actions, actions_before),
        (action_manager._shortcuts, shortcuts_before),
        (ViewerModel.class_keymap, keymap_before),
    ):
        now.clear()
        now.update(before)


# ---- which keys ----------------------------------------------------------------------------------------------------


def napari_keys() -> set[str]:
    """Every key that napari itself uses: viewer, all kinds of layers, menus."""
    import pkgutil

    import napari._app_model.actions
    import napari._qt._qapp_model.qactions
    from app_model.types import Action, KeyBinding, StandardKeyBinding
    from napari.components import ViewerModel
    from napari.utils.shortcuts import default_shortcuts

    used = {str(shortcut) for shortcuts in default_shortcuts.values() for shortcut in shortcuts}
    # Ours may be among those of the viewer, where another test has opened a cube before.
    others = {key: call for key, call in ViewerModel.class_keymap.items() if "hsi_app" not in call.__name__}
    used |= {str(key) for key in others}
    menus = set()
    for package in (napari._app_model.actions, napari._qt._qapp_model.qactions):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for value in vars(importlib.import_module(info.name)).values():
                found = [action for action in value if isinstance(action, Action)] if isinstance(value, list) else []
                menus |= {rule for action in found for rule in action.keybindings or ()}
    for rule in menus:
        rule = rule.to_keybinding_rule() if isinstance(rule, StandardKeyBinding) else rule
        used |= {str(KeyBinding.validate(key)) for key in (rule.primary, rule.linux, rule.win, rule.mac) if key}
    assert len(menus) > 5
    return used


def test_no_key_is_one_of_naparis_own() -> None:
    ours = {str(keys.key_binding(key)) for _, key, _ in keys.bindings().values()}
    assert not ours & napari_keys()


def test_no_key_is_given_twice() -> None:
    given = [key for _, key, _ in keys.bindings().values()]
    assert len(given) == len(set(given))


def test_every_key_with_a_letter_holds_a_modifier() -> None:
    """Plain letters and digits belong to the tools of the layers."""
    assert all("+" in key for _, key, _ in keys.bindings().values())


def test_every_dock_has_a_key() -> None:
    docks = {widget.display_name for widget in keys._manifest().contributions.widgets}
    assert docks == set(keys.DOCK_KEYS)


def test_every_key_leads_to_a_command_of_the_palette() -> None:
    titles = {command.id: command.title for command in keys._manifest().contributions.commands}
    for name in keys.COMMAND_KEYS:
        assert keys.bindings()[name][0] == titles[f"hsi-app.{name}"]


def test_the_palette_offers_no_command_that_needs_a_file() -> None:
    contributions = keys._manifest().contributions
    off = {command.id for command in contributions.commands if command.enablement == "False"}
    files = {entry.command for entry in [*contributions.readers, *contributions.writers]}
    assert off == files


# ---- registering ---------------------------------------------------------------------------------------------------


def forget(manager: Any) -> None:
    for name in [name for name in manager._actions if name.startswith("hsi-app:")]:
        manager.unbind_shortcut(name)
        del manager._actions[name]


def test_keys_stand_among_those_of_the_viewer(manager: Any) -> None:
    from napari.components import ViewerModel

    forget(manager)
    keys.register()
    ours = {name for name in manager._get_provider_actions(ViewerModel) if name.startswith("hsi-app:")}
    assert ours == {f"hsi-app:{name}" for name in keys.bindings()}


def test_registering_again_changes_nothing(manager: Any) -> None:
    keys.register()
    before = {name: list(bound) for name, bound in manager._shortcuts.items()}
    keys.register()
    assert {name: list(bound) for name, bound in manager._shortcuts.items()} == before


def test_a_key_that_a_person_chose_takes_the_place_of_ours(manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari.components import ViewerModel
    from napari.settings import get_settings

    forget(manager)
    chosen = keys.key_binding("Shift+N")
    shortcuts = {**get_settings().shortcuts.shortcuts, "hsi-app:next_band": [chosen]}
    kept = SimpleNamespace(shortcuts=SimpleNamespace(shortcuts=shortcuts))
    monkeypatch.setattr("napari.settings.get_settings", lambda: kept)
    keys.register()
    assert chosen in ViewerModel.class_keymap
    assert manager._shortcuts["hsi-app:next_band"] == [chosen]


# ---- bands ---------------------------------------------------------------------------------------------------------


def axis(*bad: int, count: int = 8) -> BandAxis:
    return BandAxis(count, bad=np.isin(np.arange(count), bad))


@pytest.mark.parametrize(
    ("bad", "band", "step", "shown"),
    [
        ((), 3, 1, 4), ((), 3, -1, 2), ((4, 5), 3, 1, 6), ((0, 1), 2, -1, 2), ((7,), 6, 1, 6), ((2, 3, 4), 3, 1, 5),
        ((2, 3, 4), 3, -1, 1), (tuple(range(8)), 3, 1, 3),
    ],
)  # fmt: skip
def test_the_next_good_band_skips_the_bad_ones_and_stops_at_the_ends(
    bad: tuple[int, ...], band: int, step: int, shown: int
) -> None:
    assert actions.good_band(axis(*bad), band, step) == shown


def band_of(viewer: Any, layer: Any) -> int:
    return round(float(layer.world_to_data(viewer.dims.point[-layer.ndim :])[0]))


def test_the_slider_goes_from_good_band_to_good_band(viewer: Any, layer: Any) -> None:
    viewer.dims.set_current_step(0, 3)
    actions.next_band(viewer)  # band 5 of 6 is bad
    assert band_of(viewer, layer) == 5
    actions.previous_band(viewer)
    assert band_of(viewer, layer) == 3


def test_the_band_is_that_of_the_chosen_cube_where_others_lie_elsewhere(viewer: Any, full_cube: Cube) -> None:
    from napari.layers import Layer

    other = viewer.add_layer(Layer.create(*cube_to_layer(replace(full_cube, name="other"))))
    data, options, kind = cube_to_layer(full_cube)
    moved = viewer.add_layer(Layer.create(data, {**options, "translate": (10, 0, 0)}, kind))
    viewer.layers.selection.active = moved
    viewer.dims.set_point(0, 10)
    actions.next_band(viewer)
    assert band_of(viewer, moved) == 1
    viewer.layers.selection.active = other
    viewer.dims.set_point(0, 3)
    actions.next_band(viewer)
    assert band_of(viewer, other) == 5


def test_without_a_cube_or_a_slider_of_bands_nothing_happens(viewer: Any, full_cube: Cube) -> None:
    actions.next_band(viewer)
    from napari.layers import Layer

    viewer.add_layer(Layer.create(*cube_to_layer(full_cube)))
    viewer.dims.ndisplay = 3
    before = viewer.dims.point
    actions.next_band(viewer)
    assert viewer.dims.point == before


# ---- docks ---------------------------------------------------------------------------------------------------------


def test_the_spectrum_under_the_pointer_is_pinned(viewer: Any, spectra: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "open_dock", lambda viewer, name: None)  # there is no window to show it in
    viewer.cursor.position = (0.0, 4.0, 5.0)
    actions.pin_spectrum(viewer)
    (pin,) = spectra.model.pins
    assert (round(pin.y), round(pin.x)) == (4, 5)


def test_a_run_starts_only_in_a_dock_that_was_open(viewer: Any, layer: Any, toolkit: Any) -> None:
    from hsi_napari.restore_dock import RestoreDock

    actions.run_restore(viewer)  # no dock, no window: nothing to run
    dock = RestoreDock(viewer)
    toolkit.addWidget(dock)
    asked: list[str] = []
    dock.run_panel.run_wanted.disconnect(dock.run)
    dock.run_panel.preview_wanted.disconnect(dock.preview)
    dock.run_panel.run_wanted.connect(lambda: asked.append("run"))
    dock.run_panel.preview_wanted.connect(lambda: asked.append("preview"))
    actions.run_restore(viewer)
    actions.preview_restore(viewer)
    assert asked == ["run", "preview"]


def test_nothing_runs_where_the_button_is_off(viewer: Any, toolkit: Any) -> None:
    from hsi_napari.restore_dock import RestoreDock

    dock = RestoreDock(viewer)  # no cube
    toolkit.addWidget(dock)
    actions.run_restore(viewer)
    assert not dock.run_panel.is_running


def test_a_dock_that_was_closed_is_no_longer_found(viewer: Any, spectra: Any) -> None:
    from hsi_napari.links import dock_of
    from hsi_napari.spectrum_dock import SpectrumDock
    from napari.components import ViewerModel

    assert dock_of(viewer, SpectrumDock) is spectra
    assert dock_of(ViewerModel(), SpectrumDock) is None
    spectra.links.cut()
    assert dock_of(viewer, SpectrumDock) is None


# ---- pressed in a window -------------------------------------------------------------------------------------------


@pytest.mark.gui
def test_the_keys_work_in_a_window(window: Callable[..., Any], toolkit: Any, manager: Any) -> None:
    from qtpy.QtCore import Qt

    held = {"Ctrl": Qt.KeyboardModifier.ControlModifier, "Alt": Qt.KeyboardModifier.AltModifier,
            "Shift": Qt.KeyboardModifier.ShiftModifier}  # fmt: skip
    viewer = window(show=True)
    (scene,) = viewer.open_sample("hsi-app", "noisy")
    canvas = viewer.window._qt_viewer.canvas.native

    def press(key: str) -> None:
        *modifiers, last = key.split("+")
        together = Qt.KeyboardModifier.NoModifier
        for modifier in modifiers:
            together |= held[modifier]
        toolkit.keyClick(canvas, getattr(Qt.Key, f"Key_{last}"), together)

    def shows(dock: str) -> bool:
        found = viewer.window.dock_widgets.get(f"{dock} (hsi-app)")
        return found is not None and found.isVisible()

    is_bad = cube_of(scene).axis.is_bad
    viewer.dims.set_current_step(0, 58)
    press(keys.COMMAND_KEYS["next_band"])
    assert viewer.dims.current_step[0] > 58
    assert not is_bad[viewer.dims.current_step[0]]
    press(keys.COMMAND_KEYS["previous_band"])
    assert viewer.dims.current_step[0] <= 58

    press(keys.COMMAND_KEYS["true_colour"])
    toolkit.waitUntil(lambda: any(layer.name.endswith("colour") for layer in viewer.layers), timeout=20_000)

    press(keys.COMMAND_KEYS["run_restore"])  # opens the dock, and no more
    toolkit.waitUntil(lambda: shows("Restore"))
    assert not viewer.window.dock_widgets["Restore (hsi-app)"].run_panel.is_running
    press(keys.DOCK_KEYS["Unmix"])
    toolkit.waitUntil(lambda: shows("Unmix"))

    viewer.layers.selection.active = scene
    viewer.cursor.position = (0.0, 40.0, 30.0)
    press(keys.COMMAND_KEYS["pin_spectrum"])
    toolkit.waitUntil(lambda: shows("Spectrum"))
    (pin,) = viewer.window.dock_widgets["Spectrum (hsi-app)"].model.pins
    assert (round(pin.y), round(pin.x)) == (40, 30)
