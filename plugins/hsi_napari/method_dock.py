"""What the docks of all methods share: a cube is chosen, a method set and run in a thread, its result taken in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, HsiError
from hsi_app.jobs import Job, Progress
from hsi_app.methods.registry import Kind
from hsi_napari import readout
from hsi_napari.colour_button import ColourButton
from hsi_napari.facts import facts_line
from hsi_napari.layer_choice import LayerChoice
from hsi_napari.layers import cube_of, is_cube
from hsi_napari.links import Dock
from hsi_napari.method_form import MethodForm
from hsi_napari.placing import LayerData
from hsi_napari.run_panel import RunPanel
from hsi_napari.sections import GAP, MARGIN, Heading, Note, rule
from hsi_napari.theme import ThemeColours, theme_colours
from hsi_napari.worker import JobWorker, one_line

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.runner import Settings


class MethodDock(Dock):
    """Runs methods of one kind on the chosen cube; a dock of its own says what is done with the result.

    A subclass builds its own parts, then calls ``lay_out`` and ``wire`` once.

    Parameters
    ----------
    prefers : picks the cube to work on until a person chooses; without it the one clicked in the layer list is chosen
    """

    def __init__(
        self,
        napari_viewer: ViewerModel,
        kind: Kind,
        prefers: Callable[[Sequence[Layer]], Layer | None] | None = None,
    ) -> None:
        super().__init__(napari_viewer)
        self._worker: JobWorker | None = None
        self._source: Layer | None = None
        self.cube_choice = LayerChoice(self.viewer, self.links, is_cube, self, follows=prefers is None, prefers=prefers)
        self.colour = ColourButton(self.viewer, self.cube_choice.layer, self)
        self.facts = Note()
        self.form = MethodForm(self, kind)
        self.run_panel = RunPanel(self, kind)

    # ---- what a person does -------------------------------------------------------------------------------------

    @abstractmethod
    def run(self) -> None:
        """Run the method on the whole cube."""

    def cancel(self) -> None:
        """Ask the run to stop."""
        if self._worker is not None:
            self.run_panel.stopping()
            self._worker.quit()

    # ---- what a dock of its own adds ----------------------------------------------------------------------------

    @abstractmethod
    def _take_in(self, result: Any, source: Layer) -> None:
        """Add what a run gave."""

    @abstractmethod
    def _chose(self, layer: Layer | None) -> bool:
        """Another cube was chosen; False where a run needs more than that."""

    @abstractmethod
    def _follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme in the parts of its own."""

    # ---- the run ------------------------------------------------------------------------------------------------

    def start(
        self,
        layer: Layer,
        what: str,
        plan: Callable[[Cube, str, dict[str, Any], Settings], Callable[[Job], Any]],
    ) -> bool:
        """Run in a thread what ``plan`` makes of cube, method, options and settings; False where it cannot start."""
        if self._worker is not None:
            return False
        try:
            method, options, settings = self.form.chosen()
            worker = JobWorker(plan(cube_of(layer), method, options, settings), settings.seed)
        except HsiError as error:
            self.run_panel.message.fail(str(error))
            return False
        self._worker, self._source = worker, layer
        worker.progressed.connect(self._progressed)
        worker.returned.connect(self._returned)
        worker.errored.connect(self._errored)
        self.run_panel.begin(what)
        worker.start()
        return True

    def _progressed(self, progress: Progress) -> None:
        self.run_panel.watch(progress)

    def _returned(self, result: Any) -> None:
        self._take_in(result, self._finish())

    def _errored(self, error: Exception) -> None:
        self._finish()
        if isinstance(error, Cancelled):
            self.run_panel.message.tell("Cancelled; nothing was changed.")
        else:
            self.run_panel.message.fail(one_line(error))

    def _finish(self) -> Layer:
        source, self._worker, self._source = self._source, None, None
        assert source is not None
        self.run_panel.end()
        return source

    def _abandon(self) -> None:
        # The dock is gone: nobody waits for the result any more.
        if self._worker is not None:
            self._worker.quit()

    def add(self, data: LayerData) -> Layer:
        """Add a layer without moving the band slider or the view: the eye compares what stays in place."""
        from napari.layers import Layer

        step = self.viewer.dims.current_step
        layer = self.viewer.add_layer(Layer.create(*data))
        self.viewer.dims.current_step = step
        return layer

    def select_again(self, source: Layer) -> None:
        """Keep the observed cube as the one to work on, unless it was removed meanwhile."""
        if source in self.viewer.layers:
            self.viewer.layers.selection.active = source

    def bring_into_view(self, part: QWidget) -> None:
        """Scroll to a part of the dock."""
        self._scroll.ensureWidgetVisible(part, 0, 0)

    # ---- keeping the dock in step -------------------------------------------------------------------------------

    def _changed_cube(self) -> None:
        layer = self.cube_choice.layer()
        is_complete = self._chose(layer)
        self.run_panel.allow(False)
        self.colour.setEnabled(layer is not None)
        if layer is None:
            self.facts.say("Open a hyperspectral cube, or one of File ▸ Open Sample ▸ Hyperspectral.")
            return
        try:
            self.facts.say(facts_line(cube_of(layer)))
        except HsiError as error:
            self.facts.say(str(error))
            return
        self.run_panel.allow(is_complete)

    def _recolour(self, event: Any = None) -> None:
        colours = theme_colours(self.viewer.theme)
        self.facts.paint(colours.muted)
        self.form.follow(colours)
        self.run_panel.follow(colours)
        self._follow(colours)

    # ---- building -----------------------------------------------------------------------------------------------

    def lay_out(self, parts: Sequence[QWidget], heading: str = "Cube") -> None:
        """Put the cube's choice under a heading and these parts in a column that scrolls, the run panel at its foot."""
        body = QWidget()
        rows = QVBoxLayout(body)
        rows.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        rows.setSpacing(GAP)
        choice = QHBoxLayout()
        choice.setSpacing(6)
        choice.addWidget(self.cube_choice, 1)
        choice.addWidget(self.colour)
        rows.addWidget(Heading(heading))
        rows.addLayout(choice)
        for widget in (self.facts, rule(), *parts):
            rows.addWidget(widget)
        rows.addStretch(1)
        self._scroll = scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(body)
        foot = QWidget()
        column = QVBoxLayout(foot)
        column.setContentsMargins(MARGIN, GAP, MARGIN, MARGIN)
        column.addWidget(self.run_panel)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addWidget(scroll, 1)
        whole.addWidget(rule())
        whole.addWidget(foot)
        self.setMinimumWidth(360)

    def wire(self) -> None:
        """Connect the shared parts and bring the dock into step with the viewer."""
        self.colour.failed.connect(self.run_panel.message.fail)
        self.cube_choice.chosen.connect(self._changed_cube)
        self.run_panel.run_wanted.connect(self.run)
        self.run_panel.cancel_wanted.connect(self.cancel)
        self.links.connect(self.viewer.events.theme, self._recolour)
        self.links.finally_(self._abandon)
        readout.attach(self.viewer)
        self._recolour()
        self._changed_cube()
