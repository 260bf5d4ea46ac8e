"""The part of the Cube dock that tells what the cube is, as ``hsi-app info`` does."""

from __future__ import annotations

import html
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from hsi_app.cube import ArrayLike, Cube
from hsi_app.errors import HsiError
from hsi_app.jobs import Job
from hsi_app.overview import Gaps, count_missing, describe, text_lines
from hsi_napari.layers import cube_of
from hsi_napari.sections import GAP, Note
from hsi_napari.spectrum_latest import Latest

if TYPE_CHECKING:
    from napari.layers import Layer

    from hsi_napari.theme import ThemeColours

# A header entry or line of history longer than this is cut; the whole of it is copied.
_SHOWN = 160


def cube_lines(cube: Cube, gaps: Gaps) -> list[tuple[str, str]]:
    """(label, value) of everything that is known of a cube: the facts, the header's entries, the history."""
    lines = text_lines(cube, describe(cube, None, [], gaps))
    lines += [(key, " ".join(str(value).split())) for key, value in cube.facts.items()]
    return lines + [("history" if n == 0 else "", line) for n, line in enumerate(cube.history)]


class CubeFacts(QWidget):
    """A table of facts; missing samples are counted beside the window. ``failed`` and ``told`` carry one line."""

    failed = Signal(str)
    told = Signal(str)

    def __init__(self, source: Callable[[], Layer | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._source = source
        self._muted = "#808080"
        self._lines: list[tuple[str, str]] = []
        self._gaps: weakref.WeakKeyDictionary[Layer, tuple[ArrayLike, Gaps]] = weakref.WeakKeyDictionary()
        self._counting = Latest(self)
        self._counting.done.connect(self._counted)
        self._counting.failed.connect(self.failed)
        self.text, self.copy = Note(), QPushButton("Copy")
        self.copy.setToolTip("Copy all facts as text")
        self.copy.clicked.connect(self._copy)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.copy)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addWidget(self.text)
        column.addLayout(foot)

    def show_cube(self) -> None:
        """Another cube was chosen, or its facts changed."""
        layer = self._source()
        self.setEnabled(layer is not None)
        self._lines = []
        if layer is not None:
            try:
                self._tell(layer, cube_of(layer))
            except HsiError as error:
                self.failed.emit(str(error))
        self._draw()

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._muted = colours.muted
        self._draw()

    def lines(self) -> list[tuple[str, str]]:
        """(label, value) as shown, uncut."""
        return list(self._lines)

    def stop(self) -> None:
        """The dock is gone."""
        self._counting.drop()

    def _tell(self, layer: Layer, cube: Cube) -> None:
        values, gaps = self._gaps.get(layer, (None, None))
        if gaps is None or values is not cube.values:
            self._lines = [(k, "counting…" if k == "missing" else v) for k, v in cube_lines(cube, Gaps(0, False))]
            self._counting.ask(_count(weakref.ref(layer), cube))
        else:
            self._lines = cube_lines(cube, gaps)

    def _counted(self, found: tuple[weakref.ref[Layer], ArrayLike, Gaps]) -> None:
        held, values, gaps = found
        layer = held()
        if layer is not None:
            self._gaps[layer] = values, gaps
            if layer is self._source():
                self.show_cube()

    def _draw(self) -> None:
        rows = "".join(
            f'<tr><td style="color: {self._muted}; padding-right: 10px;">{html.escape(label)}</td>'
            f"<td>{html.escape(value if len(value) <= _SHOWN else value[:_SHOWN] + '…')}</td></tr>"
            for label, value in self._lines
        )
        self.text.say(f'<table cellspacing="0" cellpadding="2">{rows}</table>' if rows else "")

    def _copy(self) -> None:
        QApplication.clipboard().setText("\n".join(f"{label}\t{value}" for label, value in self._lines))
        self.told.emit("Copied.")


def _count(layer: weakref.ref[Layer], cube: Cube) -> Callable[[Job], Any]:
    return lambda job: (layer, cube.values, count_missing(cube, job))
