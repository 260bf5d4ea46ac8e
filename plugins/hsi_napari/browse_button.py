"""A small button beside a field that opens a file."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

_PX = 26


class BrowseButton(QPushButton):
    """Asks for a file to read and hands its path on.

    Parameters
    ----------
    kinds : as Qt's dialogs list them
    """

    def __init__(self, kinds: str, take: Callable[[str], None], parent: QWidget | None = None) -> None:
        super().__init__("…", parent)
        self._kinds, self._take = kinds, take
        self.setFixedWidth(_PX)
        self.setToolTip("Choose a file")
        self.clicked.connect(self._ask)

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self.window(), "Choose a file", "", self._kinds)
        if path:
            self._take(path)
