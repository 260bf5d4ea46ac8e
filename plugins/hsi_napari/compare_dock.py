"""The Compare dock: two images of the same ground, before and after, looked at and measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QWidget,
)

from hsi_app.compare import BandComparison, compare_bands
from hsi_app.errors import Cancelled, HsiError
from hsi_app.jobs import Job, Progress
from hsi_napari import lineage, readout
from hsi_napari.compare_figures import CompareFigures
from hsi_napari.compare_modes import Comparison, Mode
from hsi_napari.compare_options import ModeBar
from hsi_napari.compare_planes import Shown, is_comparable
from hsi_napari.facts import cube_from
from hsi_napari.layer_choice import LayerChoice
from hsi_napari.links import Dock
from hsi_napari.sections import Heading, Message, Note, Scrolled, column_of, fill, rule
from hsi_napari.theme import theme_colours
from hsi_napari.worker import JobWorker, one_line

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.cube import Cube

WELCOME = "Open two images of the same ground, or restore a cube."


class CompareDock(Dock):
    """Shows two layers by a divider, blinking, side by side or as their difference, and compares their figures."""

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self.comparison = Comparison(self.viewer, self.links, self)
        self.before_choice = LayerChoice(self.viewer, self.links, is_comparable, self, prefers=self._prefer_before)
        self.after_choice = LayerChoice(self.viewer, self.links, self._may_be_after, self, prefers=self._prefer_after)
        self.swap_button = QPushButton("Swap")
        self.facts, self.message = Note(), Message()
        self.modes = ModeBar(self.comparison, self)
        self.same_contrast = QCheckBox("Same contrast")
        self.figures = CompareFigures(self)
        self._worker: JobWorker | None = None
        self._measured: tuple[Cube, Cube] | None = None
        self._is_swapping = self._is_stopped = False
        self._lay_out()
        self._wire()
        readout.attach(self.viewer)
        self._recolour()
        self._changed_before()

    # ---- what a person does -------------------------------------------------------------------------------------

    def swap(self) -> None:
        """Take before for after."""
        before, after = self.before_choice.layer(), self.after_choice.layer()
        if before is None or after is None:
            return
        self._is_swapping = True
        try:
            self.before_choice.choose(after)
            self.after_choice.refresh()
            self.after_choice.choose(before)
        finally:
            self._is_swapping = False
        self._changed_pair()

    def measure(self) -> None:
        """Measure both cubes band by band, in a thread."""
        if self._worker is not None:
            # Once it has ended, what is wanted then is measured.
            self._is_stopped = False
            return
        cubes = self._cubes()
        if cubes is None:
            return
        before, after = self._measured = cubes
        self._worker = worker = JobWorker(lambda job: _measured(before, after, job))
        worker.progressed.connect(self._progressed)
        worker.returned.connect(self._returned)
        worker.errored.connect(self._errored)
        self.figures.watch(Progress(0.0, "reading", 0.0, None))
        worker.start()

    def cancel(self) -> None:
        """Stop the measuring; its thread may take another moment to hear of it."""
        if self._worker is not None:
            self._measured, self._is_stopped = None, True
            self._worker.quit()
            self.figures.watch(None)
            self.figures.say("Cancelled; choose the chart again to measure.")

    # ---- measuring ----------------------------------------------------------------------------------------------

    def _cubes(self) -> tuple[Cube, Cube] | None:
        layers = (self.comparison.before, self.comparison.after)
        if any(layer is None or layer.rgb for layer in layers):
            return None
        try:
            first, second = (cube_from(layer.data, layer.metadata, layer.name) for layer in layers if layer is not None)
        except HsiError as error:
            self.message.fail(str(error))
            return None
        return first, second

    def _progressed(self, progress: Progress) -> None:
        if self._measured is not None:
            self.figures.watch(progress)

    def _returned(self, found: BandComparison) -> None:
        cubes = self._measured
        if cubes is not None:
            self.figures.show_bands(found, *cubes)
            self.figures.mark(self.comparison.bands[0])
        self._ended()

    def _errored(self, error: Exception) -> None:
        if not isinstance(error, Cancelled):
            self.message.fail(one_line(error))
            self._is_stopped = True
        self._ended()

    def _ended(self) -> None:
        was_stopped, was_wanted = self._is_stopped, self._measured is not None
        self._worker = self._measured = None
        self._is_stopped = False
        self.figures.watch(None)
        if not was_stopped and not was_wanted:
            # It was meant for another pair.
            self._ask_figures()

    def _abandon(self) -> None:
        # The dock is gone: nobody waits for the figures any more.
        self._measured, self._is_stopped = None, True
        if self._worker is not None:
            self._worker.quit()

    def _ask_figures(self) -> None:
        """Have made what the open chart shows."""
        self.comparison.count(self.figures.wants_shown)
        if self.figures.wants_bands:
            self.measure()

    def _forget_figures(self) -> None:
        self._measured = None
        if self._worker is not None:
            self._worker.quit()
        self.figures.forget()
        self._ask_figures()

    def _made(self, shown: Shown) -> None:
        cubes = self._cubes() if shown.histogram is not None else None
        self.figures.show_shown(shown, "" if cubes is None else cubes[0].unit)
        self.modes.tell_thinning(shown.thinning)

    # ---- keeping the dock in step -------------------------------------------------------------------------------

    def _changed_before(self) -> None:
        if not self._is_swapping:
            self.after_choice.refresh()
            self._changed_pair()

    def _changed_pair(self) -> None:
        if self._is_swapping:
            return
        before, after = self.before_choice.layer(), self.after_choice.layer()
        is_other = (before, after) != (self.comparison.before, self.comparison.after)
        self.message.say("")
        self.comparison.pair(before, after)
        if is_other:
            self._forget_figures()
        is_pair = before is not None and after is not None
        can_link = is_pair and not (getattr(before, "rgb", False) or getattr(after, "rgb", False))
        self.swap_button.setEnabled(is_pair)
        self.same_contrast.setEnabled(can_link)
        self.figures.setVisible(can_link)
        self._changed_mode()

    def _changed_mode(self) -> None:
        self.modes.refresh()
        before, after = self.comparison.before, self.comparison.after
        self.facts.say(WELCOME if before is None or after is None else pair_text(before, after, self.comparison.bands))
        self.figures.mark(self.comparison.bands[0])

    def _moved_slider(self, event: Any = None) -> None:
        self._changed_mode()

    def _changed_active(self, event: Any = None) -> None:
        # A run that ended adds its layer, and only then is it known what that was made from.
        if self.comparison.mode is Mode.OFF:
            self.before_choice.refresh()
            self.after_choice.refresh()

    def _may_be_after(self, layer: Layer) -> bool:
        return is_comparable(layer) and layer is not self.before_choice.layer()

    def _prefer_before(self, found: Sequence[Layer]) -> Layer | None:
        if self.comparison.mode is not Mode.OFF:
            return found[0]
        active = self.viewer.layers.selection.active
        for layer in ([active] if active is not None else []) + list(reversed(self.viewer.layers)):
            source = lineage.source_of(layer)
            if source is not None and source in found and is_comparable(layer):
                return source
            if layer is active and layer in found and self._newest(layer, found) is not None:
                return layer
        # Without a known origin: the lowest cube, or else the lowest picture.
        return min(found, key=lambda layer: (layer.ndim < 3, self.viewer.layers.index(layer)))

    def _prefer_after(self, found: Sequence[Layer]) -> Layer | None:
        before = self.before_choice.layer()
        if self.comparison.mode is not Mode.OFF or before is None:
            return found[0]
        return self._newest(before, found) or min(found, key=lambda layer: layer.ndim != before.ndim)

    def _newest(self, source: Layer, found: Sequence[Layer]) -> Layer | None:
        made = [layer for layer in lineage.restored_from(source) if layer in found and layer.ndim == source.ndim]
        return made[-1] if made else None

    def _recolour(self, event: Any = None) -> None:
        colours = theme_colours(self.viewer.theme)
        self.facts.paint(colours.muted)
        self.message.follow(colours)
        self.modes.follow(colours)
        self.figures.follow(colours)

    def hideEvent(self, event: QHideEvent) -> None:
        """Rests the blinking while nobody looks."""
        super().hideEvent(event)
        self.comparison.sleep(True)

    def showEvent(self, event: QShowEvent) -> None:
        """Goes on blinking."""
        super().showEvent(event)
        self.comparison.sleep(False)

    # ---- building -----------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.before_choice.setToolTip("The image as it was")
        self.after_choice.setToolTip("The image that is set against it: the restored cube, for example")
        self.swap_button.setToolTip("Take before for after")
        self.same_contrast.setToolTip(
            "Contrast limits, gamma and colour map of both follow each other; off gives the second its own back."
        )
        choices = QGridLayout()
        choices.setHorizontalSpacing(8)
        choices.setVerticalSpacing(6)
        choices.setColumnStretch(1, 1)
        for row, (words, choice) in enumerate((("Before", self.before_choice), ("After", self.after_choice))):
            choices.addWidget(QLabel(words), row, 0)
            choices.addWidget(choice, row, 1)
        choices.addWidget(self.swap_button, 0, 2, 2, 1)
        switches = QHBoxLayout()
        switches.addWidget(self.same_contrast)
        switches.addStretch(1)
        body = QWidget()
        rows = column_of(body)
        rows.addWidget(Heading("Before and after"))
        rows.addLayout(choices)
        rows.addWidget(self.facts)
        rows.addWidget(rule())
        rows.addWidget(self.modes)
        rows.addLayout(switches)
        rows.addWidget(rule())
        rows.addWidget(self.figures)
        rows.addStretch(1)
        rows.addWidget(self.message)
        fill(self, Scrolled(body))

    def _wire(self) -> None:
        self.before_choice.chosen.connect(self._changed_before)
        self.after_choice.chosen.connect(self._changed_pair)
        self.swap_button.clicked.connect(self.swap)
        self.same_contrast.toggled.connect(self.comparison.hold_contrast)
        self.comparison.changed.connect(self._changed_mode)
        self.comparison.made.connect(self._made)
        self.comparison.stale.connect(self._forget_figures)
        self.comparison.told.connect(self.message.tell)
        self.comparison.failed.connect(self.message.fail)
        self.figures.wanted.connect(self._ask_figures)
        self.figures.cancelled.connect(self.cancel)
        self.links.connect(self.viewer.dims.events.current_step, self._moved_slider)
        self.links.connect(self.viewer.layers.selection.events.active, self._changed_active)
        self.links.connect(self.viewer.events.theme, self._recolour)
        self.links.finally_(self._abandon)


def _measured(before: Cube, after: Cube, job: Job) -> BandComparison:
    return compare_bands(before, after, job=job)


def pair_text(before: Layer, after: Layer, bands: tuple[int, int]) -> str:
    """'90 bands · 96 × 80 px' or, where they differ, both; and which bands are set side by side, where not the same."""
    sizes = [_size_text(layer) for layer in (before, after)]
    text = sizes[0] if sizes[0] == sizes[1] else f"before: {sizes[0]}\nafter: {sizes[1]}"
    if bands[0] != bands[1] and before.ndim == after.ndim:
        text += f"\nband {bands[0] + 1} is compared with band {bands[1] + 1}, the nearest in wavelength"
    return text


def _size_text(layer: Layer) -> str:
    height, width = layer.data.shape[layer.ndim - 2 : layer.ndim]
    if getattr(layer, "rgb", False):
        kind = "colour picture"
    else:
        count = int(layer.data.shape[0]) if layer.ndim == 3 else 1
        kind = f"{count} band{'s' if count != 1 else ''}"
    return f"{kind} · {height} × {width} px"
