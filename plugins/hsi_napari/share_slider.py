"""A slider beside the number box of a share: quick by hand, while the box keeps every digit."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox, QSlider, QWidget

from hsi_app.params import Option

_STEPS, _PAGE = 100, 10


def is_share(option: Option) -> bool:
    """True for a number from 0 to 1 without a unit that is always asked: a part of all."""
    ends = (option.lower, option.upper, option.lower_open, option.upper_open)
    is_plain = option.kind == "float" and not option.is_optional and not option.unit
    # Rare ones are rates and weights as often as shares: there a hundredth is not fine enough.
    return is_plain and not option.advanced and ends == (0, 1, False, False)


class ShareSlider(QSlider):
    """Moves with a box, and moves it in steps of a hundredth."""

    def __init__(self, box: QDoubleSpinBox, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._box = box
        self.setRange(0, _STEPS)
        self.setPageStep(_PAGE)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        box.valueChanged.connect(self._follow)
        self.valueChanged.connect(self._move)
        self._follow(box.value())

    def _follow(self, value: float) -> None:
        # A typed 0.333 stays: the slider goes to the nearest step without telling the box.
        self.blockSignals(True)
        self.setValue(round(value * _STEPS))
        self.blockSignals(False)

    def _move(self, step: int) -> None:
        self._box.setValue(step / _STEPS)
