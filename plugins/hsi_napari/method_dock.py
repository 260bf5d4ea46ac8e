"""What the docks of all methods share: a cube is chosen, a method set and run in a thread, its result taken in."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, HsiError
from hsi_app.jobs import Job, Progress
from hsi_app.methods.registry import Kind
from hsi_napari import readout
from hsi_napari.colour_button import ColourButton
from hsi_napari.cube_watch import watch_cubes
from hsi_napari.facts import facts_line
from hsi_napari.ground import ground_of
from hsi_napari.layer_choice import LayerChoice
from hsi_napari.layers import cube_of, is_cube
from hsi_napari.links import Dock
from hsi_napari.method_form import MethodForm
from hsi_napari.placing import LayerData
from hsi_napari.queue_model import Order, queue_of
from hsi_napari.queue_panel import QueuePanel
from hsi_napari.run_panel import RunPanel
from hsi_napari.sections import GAP, MARGIN, Heading, Note, Scrolled, column_of, fill, rule
from hsi_napari.settings import watch
from hsi_napari.theme import ThemeColours, theme_colours
from hsi_napari.worker import JobWorker, one_line

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.runner import Settings

# Between two steps of taking a result in; without a pause Qt would do them at one go, before any click or key.
TURN_MS = 10


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
        self._order: Order | None = None
        # The cube and the layer that were chosen when a result came.
        self._steps: Iterator[None] = iter(())
        self._before_taking_in: tuple[Layer | None, Layer | None] = None, None
        self.queue = queue_of(self.viewer)
        self.cube_choice = LayerChoice(self.viewer, self.links, is_cube, self, follows=prefers is None, prefers=prefers)
        self.colour = ColourButton(self.viewer, self.cube_choice.layer, self)
        self.facts = Note()
        self.form = MethodForm(self, kind)
        self.run_panel = RunPanel(self, kind)
        self.queue_panel = QueuePanel(self.queue, self)

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
    def _take_in(self, result: Any, source: Layer) -> Iterator[None] | None:
        """Add what a run gave; of an iterator each step is done in a turn of its own, so that the window stays alive.

        source : the layer it was made from; where it is gone, its name, place and colours as they were
        """

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
        """Run in a thread what ``plan`` makes of cube, method, options and settings; False where it cannot start.

        Where another run goes on, in this dock or another one of the viewer, it waits for its turn.
        """
        try:
            method, options, settings = self.form.chosen()
            work = plan(cube_of(layer), method, options, settings)
        except HsiError as error:
            self.run_panel.message.fail(str(error))
            return False
        self.enqueue(layer, f"{settings.task} with {method}", what, work, settings.seed)
        return True

    def enqueue(
        self,
        layer: Layer,
        title: str,
        what: str,
        work: Callable[[Job], Any],
        seed: int = 0,
        *,
        offset: tuple[int, int] = (0, 0),
        is_short: bool = False,
    ) -> None:
        """Run now, or when the runs before it are over; see ``Order``."""
        order = Order(
            f"{layer.name} · {title}", what, work, seed, ground_of(layer), weakref.ref(layer),
            weakref.WeakMethod(self._begin), offset, is_short,
        )  # fmt: skip
        self.queue.add(order)
        if order.state == "waiting":
            self.run_panel.message.tell("Waits for its turn in the queue, with the settings as they are now.")

    def _begin(self, order: Order) -> None:
        assert order.work is not None, "an order begins once"
        self._order, self._worker = order, JobWorker(order.work, order.seed)
        self._worker.progressed.connect(self._progressed)
        self._worker.returned.connect(self._returned)
        self._worker.errored.connect(self._errored)
        self.run_panel.begin(order.what)
        self._worker.start()

    def _progressed(self, progress: Progress) -> None:
        if self._order is not None:
            self.run_panel.watch(progress)

    def _returned(self, result: Any) -> None:
        order = self._order
        if order is None:
            return
        self._worker = None
        self._before_taking_in = self.cube_choice.layer(), self.viewer.layers.selection.active
        layer = order.layer
        source = layer if layer is not None and layer in self.viewer.layers else order.ground
        self._steps = self._taking_in(result, source)
        self._take_step()

    def _taking_in(self, result: Any, source: Layer) -> Iterator[None]:
        yield from self._take_in(result, source) or ()

    def _take_step(self) -> None:
        """One step of taking a result in, and the next in the next turn; the run is over after the last."""
        if self._order is None:
            return
        reason = ""
        try:
            next(self._steps)
        except StopIteration:
            pass
        except Exception as error:  # whatever napari says to a layer, the queue goes on
            reason = one_line(error)
            self.run_panel.message.fail(reason)
        else:
            QTimer.singleShot(TURN_MS, self._take_step)
            return
        order = self._finish()
        assert order is not None, "the dock was not closed"
        self._steps, self._before_taking_in = iter(()), (None, None)
        self.queue.ended(order, "failed" if reason else "done", reason)

    def _errored(self, error: Exception) -> None:
        order = self._finish()
        if order is None:
            return
        is_cancelled = isinstance(error, Cancelled)
        if is_cancelled:
            self.run_panel.message.tell("Cancelled; nothing was changed.")
        else:
            self.run_panel.message.fail(one_line(error))
        self.queue.ended(order, "cancelled" if is_cancelled else "failed", "" if is_cancelled else one_line(error))

    def _finish(self) -> Order | None:
        """Put the bar away; None where the dock was closed meanwhile and nobody waits for the result."""
        order, self._order, self._worker = self._order, None, None
        if order is not None:
            self.run_panel.end()
        return order

    def _abandon(self) -> None:
        # The dock is gone: nobody waits for the result any more.
        order, self._order = self._order, None
        if self._worker is not None:
            self._worker.quit()
        if order is not None:
            order.state = "cancelled"
        self.queue.unlisten(self._follow_queue)
        self.queue.leave(self)

    def _follow_queue(self) -> None:
        self.run_panel.busy(self.queue.running is not None)

    def add(self, data: LayerData) -> Layer:
        """Add a layer without moving the band slider or the view: the eye compares what stays in place."""
        from napari.layers import Layer

        step = self.viewer.dims.current_step
        layer = self.viewer.add_layer(Layer.create(*data))
        self.viewer.dims.current_step = step
        return layer

    def select_again(self, source: Layer) -> None:
        """Keep the observed cube as the one to work on, or what a person went on to while the run took its time."""
        worked_on, chosen = self._before_taking_in
        wanted = source if worked_on in (source, None) else chosen
        if wanted is not None and wanted in self.viewer.layers:
            self.viewer.layers.selection.active = wanted

    def bring_into_view(self, part: QWidget) -> None:
        """Scroll to a part of the dock."""
        self._scroll.ensureWidgetVisible(part, 0, 0)
        across = self._scroll.horizontalScrollBar()
        across.setValue(across.minimum())

    # ---- keeping the dock in step -------------------------------------------------------------------------------

    def _changed_cube(self) -> None:
        layer = self.cube_choice.layer()
        is_complete = self._chose(layer)
        self.run_panel.allow(False)
        self.colour.setEnabled(layer is not None)
        if layer is None:
            self.facts.say("Open a hyperspectral cube, or one of File ▸ Open Sample ▸ Hyperspectral.")
            return
        self.run_panel.allow(self._tell_facts(layer) and is_complete)

    def _tell_facts(self, layer: Layer) -> bool:
        try:
            self.facts.say(facts_line(cube_of(layer)))
        except HsiError as error:
            self.facts.say(str(error))
            return False
        return True

    def _changed_facts(self, event: Any) -> None:
        # Bad bands were edited; what is set in the form stays.
        layer = self.cube_choice.layer()
        if layer is not None and event.source is layer:
            self._tell_facts(layer)

    def _recolour(self, event: Any = None) -> None:
        colours = theme_colours(self.viewer.theme)
        self.facts.paint(colours.muted)
        self.form.follow(colours)
        self.run_panel.follow(colours)
        self.queue_panel.follow(colours)
        self._follow(colours)

    # ---- building -----------------------------------------------------------------------------------------------

    def lay_out(self, parts: Sequence[QWidget], heading: str = "Cube") -> None:
        """Put the cube's choice under a heading and these parts in a column that scrolls, the run panel at its foot."""
        body = QWidget()
        rows = column_of(body)
        choice = QHBoxLayout()
        choice.setSpacing(6)
        choice.addWidget(self.cube_choice, 1)
        choice.addWidget(self.colour)
        rows.addWidget(Heading(heading))
        rows.addLayout(choice)
        for widget in (self.facts, rule(), *parts):
            rows.addWidget(widget)
        rows.addStretch(1)
        self._scroll = Scrolled(body)
        foot = QWidget()
        column = QVBoxLayout(foot)
        column.setContentsMargins(MARGIN, GAP, MARGIN, MARGIN)
        column.addWidget(self.queue_panel)
        column.addWidget(self.run_panel)
        fill(self, self._scroll, foot)

    def wire(self) -> None:
        """Connect the shared parts and bring the dock into step with the viewer."""
        self.colour.failed.connect(self.run_panel.message.fail)
        self.cube_choice.chosen.connect(self._changed_cube)
        self.run_panel.run_wanted.connect(self.run)
        self.run_panel.cancel_wanted.connect(self.cancel)
        self.links.connect(self.viewer.events.theme, self._recolour)
        watch(self.links, self.form.take_defaults)
        watch_cubes(self.links, self.viewer, self._changed_facts)
        self.queue.listen(self._follow_queue)
        self.links.finally_(self._abandon)
        self.links.finally_(self.queue_panel.leave)
        readout.attach(self.viewer)
        self._recolour()
        self._changed_cube()
        self._follow_queue()
