"""Runs that were asked for while another went on: one after the other, for each takes the memory it can get."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hsi_app.forecast import Pace
from hsi_app.jobs import Job

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

State = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(eq=False)
class Order:
    """A run with everything it needs, read when it was asked for: later changes of the form or the layer do not count.

    title : 'river valley · denoise with lowrank'
    what : what is said while it begins
    work : does it, in a thread
    seed : start of the random numbers
    ground : the layer it is about, as it was; see ``ground``
    layer_ref : the layer, which may be removed meanwhile
    begin : starts it; a method of the dock that asked, held weakly
    offset : (row, col) of the part of the layer that is worked on
    is_short : a preview; goes before what waits
    """

    title: str
    what: str
    work: Callable[[Job], Any] | None
    seed: int
    ground: Layer
    layer_ref: weakref.ref[Layer]
    begin: weakref.WeakMethod[Callable[[Order], None]]
    offset: tuple[int, int] = (0, 0)
    is_short: bool = False
    state: State = field(default="waiting", init=False)
    reason: str = field(default="", init=False)

    @property
    def layer(self) -> Layer | None:
        """The layer it is about, while it lives."""
        return self.layer_ref()


class RunQueue:
    """What runs, what waits for it, and how what was done ended, in that order of time.

    One for all docks of a viewer. A failure does not keep the others from their turn.
    """

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.pace = Pace()
        self._listeners: list[weakref.WeakMethod[Callable[[], None]]] = []

    def listen(self, method: Callable[[], None]) -> None:
        """Call a bound method after each change; its object is held weakly."""
        self._listeners.append(weakref.WeakMethod(method))

    def unlisten(self, method: Callable[[], None]) -> None:
        """No longer call it."""
        self._listeners = [held for held in self._listeners if held() not in (None, method)]

    @property
    def running(self) -> Order | None:
        """The one that runs."""
        return next((order for order in self.orders if order.state == "running"), None)

    @property
    def waiting(self) -> list[Order]:
        """Those whose turn comes, next first."""
        return [order for order in self.orders if order.state == "waiting"]

    def add(self, order: Order) -> None:
        """Run it now, or when its turn comes; what was over before is forgotten once nothing is left to do."""
        if self.running is None and not self.waiting:
            self.orders.clear()
        at = self._place_of_first() if order.is_short else len(self.orders)
        self.orders.insert(at, order)
        self._go_on()

    def ended(self, order: Order, state: State, reason: str = "") -> None:
        """Tell how a run ended; the next begins."""
        order.state, order.reason, order.work = state, reason, None
        if order.is_short and order in self.orders:
            self.orders.remove(order)
        self._go_on()

    def drop(self, order: Order) -> None:
        """Forget one that does not run."""
        if order in self.orders and order.state != "running":
            self.orders.remove(order)
            self._tell()

    def clear(self) -> None:
        """Forget all that do not run."""
        self.orders = [order for order in self.orders if order.state == "running"]
        self._tell()

    def leave(self, dock: object) -> None:
        """Forget what a dock that is closed asked for; nobody would take it in."""
        mine = [order for order in self.orders if getattr(order.begin(), "__self__", None) in (dock, None)]
        self.orders = [order for order in self.orders if order not in mine]
        self._go_on()

    def move(self, order: Order, by: int) -> None:
        """Let a waiting one change places with the waiting one before (-1) or after it (1)."""
        waiting = self.waiting
        if order not in waiting:
            return
        place = waiting.index(order) + by
        if 0 <= place < len(waiting):
            here, there = self.orders.index(order), self.orders.index(waiting[place])
            self.orders[here], self.orders[there] = self.orders[there], self.orders[here]
            self._tell()

    def _place_of_first(self) -> int:
        return next((i for i, order in enumerate(self.orders) if order.state == "waiting"), len(self.orders))

    def _go_on(self) -> None:
        while self.running is None and self.waiting:
            following = self.waiting[0]
            begin = following.begin()
            if begin is None:
                self.orders.remove(following)
                continue
            following.state = "running"
            begin(following)
        self._tell()

    def _tell(self) -> None:
        for held in list(self._listeners):
            method = held()
            if method is None:
                self._listeners.remove(held)
            else:
                method()


_queues: weakref.WeakKeyDictionary[ViewerModel, RunQueue] = weakref.WeakKeyDictionary()


def queue_of(viewer: ViewerModel) -> RunQueue:
    """The queue of a viewer."""
    return _queues.setdefault(viewer, RunQueue())
