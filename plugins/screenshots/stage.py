"""The window that is photographed: opened at one size, given time, saved, closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari import Viewer
    from napari.layers import Layer

Take = Callable[[Path], None]

SIZE = (1500, 940)
LIMIT_MS = 300_000
# A band with stripes, a region with fields, houses and river, and places on a field and a roof.
BAND, REGION, PINS = 36, (24, 14, 72, 62), ((60.0, 40.0), (32.0, 26.0))

# Path below docs/ to the function that makes it.
PICTURES: dict[str, Take] = {}


def picture(name: str) -> Callable[[Take], Take]:
    """Enter a function as the one that makes ``docs/name``."""

    def enter(take: Take) -> Take:
        PICTURES[name] = take
        return take

    return enter


def wait(done: Callable[[], bool], limit_ms: int = LIMIT_MS) -> None:
    """Let the window work until something is done."""
    from qtpy.QtCore import QDeadlineTimer, QEventLoop
    from qtpy.QtWidgets import QApplication

    deadline = QDeadlineTimer(limit_ms)
    while not done() and not deadline.hasExpired():
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 50)


def settle(limit_ms: int = 800) -> None:
    """Give the window time to draw."""
    wait(lambda: False, limit_ms)


@contextmanager
def stage(theme: str = "dark") -> Iterator[Viewer]:
    """A viewer of the pictures' size; closed afterwards."""
    import napari

    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window.resize(*SIZE)
    try:
        yield viewer
    finally:
        viewer.close()


def shoot(viewer: Viewer, path: Path) -> None:
    """Save a picture of the window, the image fitted into what the docks left."""
    settle()
    viewer.reset_view()
    settle()
    path.parent.mkdir(parents=True, exist_ok=True)
    viewer.screenshot(str(path), canvas_only=False, flash=False)


def open_dock(viewer: Viewer, name: str, area: str = "right", width_px: int = 400) -> Any:
    """A dock of the plugin, at the side or at the bottom."""
    from qtpy.QtCore import Qt

    place, dock = viewer.window.add_plugin_dock_widget("hsi-app", name)
    main = viewer.window._qt_window
    if area == "bottom":
        main.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, place)
    else:
        main.resizeDocks([place], [width_px], Qt.Orientation.Horizontal)
    settle()
    return dock


def finish(dock: Any) -> None:
    """Wait for the run of a dock; what it failed of ends the program."""
    wait(lambda: not dock.run_panel.is_running)
    if dock.run_panel.message.is_error:
        raise SystemExit(dock.run_panel.message.text())


def draw_region(viewer: Viewer) -> Layer:
    """The rectangle of a preview."""
    from hsi_napari.region import region_layer

    top, left, bottom, right = (edge - 0.5 for edge in REGION)
    region = region_layer(viewer)
    region.add_rectangles(np.array([[top, left], [top, right], [bottom, right], [bottom, left]]))
    return region


@contextmanager
def restoring(width_px: int = 400) -> Iterator[tuple[Viewer, Layer, Any]]:
    """A viewer with the noisy sample at the striped band, that layer, and the Restore dock."""
    with stage() as viewer:
        (scene,) = viewer.open_sample("hsi-app", "noisy")
        dock = open_dock(viewer, "Restore", width_px=width_px)
        viewer.dims.set_current_step(0, BAND)
        yield viewer, scene, dock


@contextmanager
def restored() -> Iterator[tuple[Viewer, Layer, Layer]]:
    """A viewer with the noisy sample and its restored cube, and both layers; the dock that made it is put away."""
    with restoring() as (viewer, scene, dock):
        dock.form.choose("denoise", "lowrank")
        dock.run()
        finish(dock)
        viewer.window.remove_dock_widget(dock)
        settle()
        yield viewer, scene, viewer.layers[f"{scene.name} · restored"]
