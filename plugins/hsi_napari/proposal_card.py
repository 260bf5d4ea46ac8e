"""'What is wrong with it?': a button, and a card with what was found and what would help."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from hsi_app.errors import Cancelled
from hsi_app.recipe import Recipe
from hsi_napari.layers import cube_of
from hsi_napari.proposal_forecast import words_of
from hsi_napari.proposal_model import Proposal, propose
from hsi_napari.sections import GAP, Note
from hsi_napari.worker import JobWorker, one_line

if TYPE_CHECKING:
    from napari.layers import Layer

    from hsi_app.jobs import Job, Progress
    from hsi_app.runner import Settings
    from hsi_napari.theme import ThemeColours

QUESTION = "What is wrong with it?"


class ProposalCard(QWidget):
    """Measures in a thread; the card is about one cube and goes when another one is chosen.

    ``used`` carries the number of a step to be put into the form, from 0; ``proposed`` a Proposal.
    """

    measure_wanted = Signal()
    proposed = Signal(object)
    used = Signal(int)
    preview_wanted = Signal()
    run_wanted = Signal()
    failed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.proposal: Proposal | None = None
        self._layer: weakref.ref[Layer] | None = None
        self._worker: JobWorker | None = None
        self._number = 0
        self._colours: ThemeColours | None = None
        self.ask = QPushButton(QUESTION)
        self.ask.setMinimumHeight(28)
        self.ask.setToolTip(
            "Measure noise, stripes, gaps, blur and haze on a part of the cube, choose what would help, and time it."
        )
        self.card = QFrame()
        self.card.setObjectName("proposal")
        self.title, self.choice = QLabel(), Note()
        self.found, self.remarks, self.takes = Note(), Note(), Note()
        self.title.setStyleSheet("font-weight: bold;")
        self.uses: list[QPushButton] = []
        self.preview, self.run = QPushButton("Preview"), QPushButton("Run both steps")
        self.preview.setToolTip("Try the proposal on the drawn region, or on what the window shows.")
        self.run.setToolTip("Run the steps one after the other on the whole cube, as one recipe.")
        self.close_button = QPushButton("✕")
        self.close_button.setFlat(True)
        self.close_button.setFixedWidth(24)
        self.close_button.setToolTip("Put the card away")
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        top.addWidget(self.close_button)
        self._buttons = QHBoxLayout()
        self._buttons.setSpacing(6)
        inside = QVBoxLayout(self.card)
        inside.setContentsMargins(10, 8, 10, 10)
        inside.setSpacing(6)
        inside.addLayout(top)
        for part in (self.found, self.choice, self.remarks, self.takes):
            inside.addWidget(part)
        inside.addLayout(self._buttons)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        column.addWidget(self.ask)
        column.addWidget(self.card)
        self.card.setVisible(False)
        self.ask.clicked.connect(self._asked)
        self.close_button.clicked.connect(self.forget)
        self.preview.clicked.connect(self.preview_wanted)
        self.run.clicked.connect(self.run_wanted)

    @property
    def is_running(self) -> bool:
        """Whether a cube is being measured."""
        return self._worker is not None

    def recipe(self) -> Recipe | None:
        """The steps that were proposed."""
        return None if self.proposal is None else self.proposal.recipe

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._colours = colours
        self.card.setStyleSheet(f"QFrame#proposal {{ background: {colours.raised}; border-radius: 4px; }}")
        self.title.setStyleSheet(f"font-weight: bold; color: {colours.text};")
        for part, colour in ((self.found, colours.text), (self.remarks, colours.muted), (self.takes, colours.muted)):
            part.paint(colour)
        self.choice.setStyleSheet(f"color: {colours.text}; font-weight: bold;")

    def measure(self, layer: Layer, settings: Settings, *, has_mask: bool = False) -> None:
        """Measure the cube of a layer. Raises CubeError if it shows something else."""
        cube = cube_of(layer)
        self.forget()
        self._layer = weakref.ref(layer)
        number = self._number

        def work(job: Job) -> tuple[int, Proposal]:
            return number, propose(cube, job, settings=settings, has_mask=has_mask)

        self._worker = JobWorker(work, settings.seed)
        self._worker.progressed.connect(self._progressed)
        self._worker.returned.connect(self._returned)
        self._worker.errored.connect(self._errored)
        self.ask.setText("Measuring… (press to cancel)")
        self._worker.start()

    def look_at(self, layer: Layer | None) -> None:
        """The card shows only while the cube that it is about is the chosen one."""
        is_ours = self._layer is not None and self._layer() is layer
        self.card.setVisible(is_ours and self.proposal is not None)

    def forget(self) -> None:
        """Stop measuring and put the card away."""
        self.leave()
        self.proposal = self._layer = None
        self.card.setVisible(False)
        self.ask.setText(QUESTION)

    def leave(self) -> None:
        """Nobody waits for the proposal any more."""
        worker, self._worker = self._worker, None
        self._number += 1
        if worker is not None:
            worker.quit()

    def _asked(self) -> None:
        if self.is_running:
            self.forget()
        else:
            self.measure_wanted.emit()

    def _progressed(self, progress: Progress) -> None:
        if self._worker is not None and progress.message:
            words = progress.message[:1].upper() + progress.message[1:]
            self.ask.setText(f"{words}… {progress.fraction:.0%} (press to cancel)")

    def _returned(self, found: Any) -> None:
        number, proposal = found
        if number != self._number:
            return
        self._worker = None
        self.ask.setText(QUESTION)
        if self._layer is None or self._layer() is None:
            return
        self.show_proposal(proposal)
        self.proposed.emit(proposal)

    def _errored(self, error: Exception) -> None:
        if self._worker is None or isinstance(error, Cancelled):
            return
        self.forget()
        self.failed.emit(one_line(error))

    def show_proposal(self, proposal: Proposal) -> None:
        """Show what was found."""
        self.proposal = proposal
        steps = proposal.steps()
        self.title.setText(proposal.title())
        self.found.say("\n".join(f"• {reason[:1].upper()}{reason[1:]}" for reason in proposal.diagnosis.reasons))
        if len(steps) == 1:
            self.choice.say(f"→ {steps[0]}")
        else:
            self.choice.say("\n".join(f"→ {n}. {words}" for n, words in enumerate(steps, 1)))
        self.remarks.say("\n".join(proposal.remarks()))
        self.takes.say(f"Whole cube: {words_of(proposal.forecast)}" if str(proposal.forecast) else "")
        for button in (*self.uses, self.preview, self.run):
            self._buttons.removeWidget(button)
        for button in self.uses:
            button.hide()
            button.deleteLater()
        self.uses = []
        for n in range(len(steps)):
            button = QPushButton("Use" if len(steps) == 1 else f"Use {n + 1}.")
            button.setToolTip(f"Put this into the form: {steps[n]}")
            button.clicked.connect(lambda _=False, n=n: self.used.emit(n))
            self.uses.append(button)
        self.run.setText("Run both steps" if len(steps) == 2 else f"Run all {len(steps)} steps")
        for button in (*self.uses, self.preview, self.run):
            self._buttons.addWidget(button, 1)
        self.run.setVisible(len(steps) > 1)
