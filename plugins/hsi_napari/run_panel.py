"""Start, watch and stop a run: the foot of a method's dock."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from hsi_app.jobs import Progress
from hsi_app.methods.registry import Kind
from hsi_napari.sections import GAP, Message, Note
from hsi_napari.theme import ThemeColours, main_button_style
from hsi_napari.worker import time_left

_THUMB_PX = 150
# Steps of the bar; a per mille is finer than its width in pixels.
_STEPS = 1000
_WORK: Mapping[Kind, str] = {
    "restore": "Restore the whole cube", "unmix": "Unmix the whole cube", "fuse": "Sharpen the whole cube",
}  # fmt: skip


class RunPanel(QWidget):
    """Buttons, progress bar with the time left, the method's own picture of its progress, and one line of outcome.

    Parameters
    ----------
    kind : what a run does; only a restoration can be previewed, for materials are those of the whole scene
    """

    preview_wanted = Signal()
    region_wanted = Signal()
    run_wanted = Signal()
    cancel_wanted = Signal()

    def __init__(self, parent: QWidget | None = None, kind: Kind = "restore") -> None:
        super().__init__(parent)
        self.region = QPushButton("Draw region")
        self.region.setToolTip("Draw the rectangle to preview. Without one, the part that the window shows is used.")
        self.preview = QPushButton("Preview")
        self.preview.setToolTip("Restore the drawn region, or the visible part, up to 128 × 128 pixels.")
        self.run = QPushButton("Run")
        self._run_tip = f"{_WORK[kind]}. The window stays usable meanwhile."
        self.run.setToolTip(self._run_tip)
        self.beside = QCheckBox("Preview beside the region")
        self.beside.setToolTip("Put the preview right of its region instead of over it, with a frame around both.")
        self.beside.setVisible(kind == "restore")
        self.forecast = Note()
        self.forecast.setToolTip(
            "What the run on the whole cube will take, the result included: memory by the plan, time by earlier runs."
        )
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop at the next step; nothing is left behind.")
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(True)
        self.stage = Note()
        self.thumb = QLabel()
        self.thumb.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.thumb.setToolTip("What the method has so far")
        self.message = Message()

        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button, stretch in ((self.region, 3), (self.preview, 3), (self.run, 4)):
            button.setMinimumHeight(28)
            buttons.addWidget(button, stretch)
            if kind != "restore" and button is not self.run:
                button.hide()
        quiet = QHBoxLayout()
        quiet.setSpacing(6)
        quiet.addWidget(self.beside)
        quiet.addWidget(self.forecast, 1)
        self.forecast.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        watch = QHBoxLayout()
        watch.setSpacing(6)
        watch.addWidget(self.bar, 1)
        watch.addWidget(self.cancel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addLayout(buttons)
        column.addLayout(quiet)
        column.addLayout(watch)
        column.addWidget(self.stage)
        column.addWidget(self.thumb)
        column.addWidget(self.message)

        self.region.clicked.connect(self.region_wanted)
        self.preview.clicked.connect(self.preview_wanted)
        self.run.clicked.connect(self.run_wanted)
        self.cancel.clicked.connect(self.cancel_wanted)
        self.is_running = self._is_possible = self._is_busy = False
        self._show_watch(False)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.message.follow(colours)
        self.stage.paint(colours.muted)
        self.forecast.paint(colours.muted)
        self.run.setStyleSheet(main_button_style(colours))

    def allow(self, is_possible: bool) -> None:
        """Whether there is something to run on; while a run goes on, another one waits for its turn."""
        self._is_possible = is_possible
        self.run.setEnabled(is_possible)
        for button in (self.region, self.preview):
            button.setEnabled(is_possible and not self.is_running)

    def busy(self, is_busy: bool) -> None:
        """Whether a run of any dock goes on, so that 'Run' means to queue."""
        if is_busy != self._is_busy:
            self._is_busy = is_busy
            self.run.setText("Add to queue" if is_busy else "Run")
            self.run.setToolTip(
                f"{self._run_tip} It begins when those before it are over." if is_busy else self._run_tip
            )

    def begin(self, what: str) -> None:
        """A run was started."""
        self.is_running = True
        self.allow(self._is_possible)
        self.message.say("")
        self.cancel.setEnabled(True)
        self.cancel.setText("Cancel")
        self.bar.setValue(0)
        self.stage.say(what)
        self._show_watch(True)

    def watch(self, progress: Progress) -> None:
        """Show how far the run is."""
        if not self.is_running:
            return
        self.bar.setValue(round(progress.fraction * _STEPS))
        self.stage.say(" · ".join(part for part in (progress.message, time_left(progress)) if part))
        # One that knows its place is drawn there.
        if progress.preview is not None and progress.place is None:
            self.thumb.setPixmap(picture_of(progress.preview))
            self.thumb.setVisible(True)

    def stopping(self) -> None:
        """Cancel was asked for; the run ends at its next step."""
        self.cancel.setEnabled(False)
        self.cancel.setText("Stopping…")

    def end(self) -> None:
        """The run is over, in whatever way."""
        self.is_running = False
        self.allow(self._is_possible)
        self._show_watch(False)

    def _show_watch(self, is_shown: bool) -> None:
        self.bar.setVisible(is_shown)
        self.cancel.setVisible(is_shown)
        if not is_shown:
            self.stage.say("")
            self.thumb.clear()
            self.thumb.setVisible(False)


def picture_of(preview: np.ndarray) -> QPixmap:
    """A small grey or colour picture of a preview: (H, W), or (B, H, W) of which three bands are taken."""
    image = np.asarray(preview, dtype=np.float32)
    if image.ndim == 3:
        picks = np.round(np.array([0.75, 0.45, 0.15]) * (image.shape[0] - 1)).astype(int)
        image = np.moveaxis(image[picks], 0, -1)
    else:
        image = np.repeat(image[..., None], 3, axis=-1)
    finite = image[np.isfinite(image)]
    low, high = np.percentile(finite, (2, 98)) if finite.size else (0.0, 1.0)
    scaled = np.nan_to_num((image - low) / max(float(high - low), 1e-12))
    height, width = image.shape[:2]
    pixels = np.clip(scaled * 255, 0, 255).astype(np.uint8).tobytes()
    drawn = QImage(pixels, width, height, 3 * width, QImage.Format.Format_RGB888)
    # The pixmap is a copy: it does not point into the bytes.
    return QPixmap.fromImage(drawn).scaled(_THUMB_PX, _THUMB_PX, Qt.AspectRatioMode.KeepAspectRatio)
