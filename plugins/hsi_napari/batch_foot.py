"""Start, watch and stop a batch: the foot of its dock."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from hsi_napari.sections import GAP, Message, Note
from hsi_napari.theme import ThemeColours, main_button_style

_STEPS = 1000


class BatchFoot(QWidget):
    """Buttons, a bar for all scenes with the time left, and one line of outcome."""

    dry_run_wanted = Signal()
    run_wanted = Signal()
    stop_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.dry_run = QPushButton("Dry run")
        self.dry_run.setToolTip("Say what would be done, how long it takes, and what may go wrong; nothing is written.")
        self.run = QPushButton("Run")
        self.run.setToolTip("Restore all scenes in another process. What an earlier run did is not done again.")
        self.stop = QPushButton("Stop")
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.stage = Note()
        self.message = Message()
        for note in (self.stage, self.message):
            note.setTextFormat(Qt.TextFormat.PlainText)
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button, stretch in ((self.dry_run, 1), (self.run, 2)):
            button.setMinimumHeight(28)
            buttons.addWidget(button, stretch)
        watch = QHBoxLayout()
        watch.setSpacing(6)
        watch.addWidget(self.bar, 1)
        watch.addWidget(self.stop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addLayout(buttons)
        column.addLayout(watch)
        column.addWidget(self.stage)
        column.addWidget(self.message)
        self.dry_run.clicked.connect(self.dry_run_wanted)
        self.run.clicked.connect(self.run_wanted)
        self.stop.clicked.connect(self.stop_wanted)
        self.is_running = False
        self.end()

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.message.follow(colours)
        self.stage.paint(colours.muted)
        self.run.setStyleSheet(main_button_style(colours))

    def begin(self, what: str) -> None:
        """A batch was started; how far it is cannot be said yet."""
        self.message.say("")
        self.stop.setText("Stop")
        self.stop.setToolTip("Stop at the next step of each worker; what is done stays, and 'Run' goes on from there.")
        self.bar.setRange(0, 0)
        self.stage.say(what)
        self._show(True)

    def watch(self, fraction: float, words: str) -> None:
        """Show how far all scenes are."""
        self.bar.setRange(0, _STEPS)
        self.bar.setValue(round(fraction * _STEPS))
        self.stage.say(words)

    def stopping(self, *, is_hard: bool) -> None:
        """Stop was pressed."""
        self.stop.setText("Ending…" if is_hard else "End now")
        self.stop.setEnabled(not is_hard)
        self.stop.setToolTip("End it at once. What was done stays; of scenes in work, the last pieces may be lost.")
        self.stage.say("ending" if is_hard else "stopping at the next step of each worker")

    def end(self) -> None:
        """It is over, in whatever way."""
        self._show(False)
        self.bar.setRange(0, _STEPS)
        self.stage.say("")

    def _show(self, is_running: bool) -> None:
        self.is_running = is_running
        for button in (self.dry_run, self.run):
            button.setEnabled(not is_running)
        for part in (self.bar, self.stop):
            part.setVisible(is_running)
        self.stop.setEnabled(True)
