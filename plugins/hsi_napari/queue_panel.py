"""The queue as a small list: what runs, what waits, how it ended; with buttons to reorder and to drop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from hsi_napari.queue_model import Order, RunQueue

if TYPE_CHECKING:
    from hsi_napari.theme import ThemeColours

# Of a long queue so many are shown; the heading counts all.
SHOWN = 6
_SIGN = {"running": "▶", "waiting": "…", "done": "✓", "failed": "✗", "cancelled": "–"}


class QueuePanel(QWidget):
    """Shows while there is more than the one run that the bar tells of."""

    def __init__(self, queue: RunQueue, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._queue = queue
        self._colours: ThemeColours | None = None
        self.heading = QLabel()
        self.heading.setStyleSheet("font-weight: bold;")
        self.clear = QToolButton()
        self.clear.setText("Clear")
        self.clear.setToolTip("Drop what waits and forget what is over; the running one goes on.")
        self.clear.clicked.connect(queue.clear)
        self.rows: list[QueueRow] = []
        top = QHBoxLayout()
        top.addWidget(self.heading, 1)
        top.addWidget(self.clear)
        self._column = QVBoxLayout()
        self._column.setSpacing(0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(top)
        column.addLayout(self._column)
        queue.listen(self.refresh)
        self.refresh()

    def leave(self) -> None:
        """No longer follow the queue: the dock is gone."""
        self._queue.unlisten(self.refresh)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._colours = colours
        for row in self.rows:
            row.follow(colours)

    def refresh(self) -> None:
        """Read the queue again."""
        orders = self._queue.orders
        self.setVisible(len(orders) > 1)
        waiting = self._queue.waiting
        self.heading.setText(f"Queue · {len(waiting)} waiting" if waiting else "Queue")
        for row in self.rows:
            self._column.removeWidget(row)
            row.hide()
            row.deleteLater()
        # What is over leaves first where there is no room for all.
        over = [order for order in orders if order.state not in ("running", "waiting")]
        left = [order for order in orders if order not in over]
        shown = [*over[max(len(over) - max(SHOWN - len(left), 0), 0) :], *left][:SHOWN]
        self.rows = [QueueRow(self._queue, order, waiting, self) for order in shown]
        for row in self.rows:
            self._column.addWidget(row)
            if self._colours is not None:
                row.follow(self._colours)


class QueueRow(QWidget):
    """One run: its state, its title, and while it waits its buttons."""

    def __init__(self, queue: RunQueue, order: Order, waiting: list[Order], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.order, self._queue = order, queue
        self.sign, self.title = QLabel(_SIGN[order.state]), QLabel(order.title)
        self.sign.setFixedWidth(16)
        self.sign.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.title.setToolTip(f"{order.state}: {order.reason}" if order.reason else f"{order.title} ({order.state})")
        self.up, self.down = self._button("▴", "Sooner", -1), self._button("▾", "Later", 1)
        self.drop = QToolButton()
        self.drop.setText("✕")
        self.drop.setAutoRaise(True)
        self.drop.setToolTip("Take it off the queue")
        self.drop.clicked.connect(self._drop)
        is_waiting = order.state == "waiting"
        self.up.setVisible(is_waiting and len(waiting) > 1)
        self.down.setVisible(is_waiting and len(waiting) > 1)
        if is_waiting:
            self.up.setEnabled(order is not waiting[0])
            self.down.setEnabled(order is not waiting[-1])
        self.drop.setVisible(order.state != "running")
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(4)
        for part in (self.sign, self.title, self.up, self.down, self.drop):
            line.addWidget(part, 1 if part is self.title else 0)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        colour = {"failed": colours.error, "running": colours.text}.get(self.order.state, colours.muted)
        for label in (self.sign, self.title):
            label.setStyleSheet(f"color: {colour};")

    def _button(self, sign: str, tip: str, by: int) -> QToolButton:
        button = QToolButton()
        button.setText(sign)
        button.setAutoRaise(True)
        button.setToolTip(tip)
        button.clicked.connect(lambda: self._queue.move(self.order, by))
        return button

    def _drop(self) -> None:
        self._queue.drop(self.order)
