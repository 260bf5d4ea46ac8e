"""What a person may say of how two images belong together; all of it can be found from the images."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from hsi_app.params import Option
from hsi_napari.browse_button import BrowseButton
from hsi_napari.forms import OptionForm
from hsi_napari.sections import GAP, Heading

FROM_HEADER = "from the header"
_TABLES = "Spectral responses (*.csv *.sli *.mat *.npz);;All files (*)"

PAIR = (
    Option(
        "srf", "text", FROM_HEADER, "What the multispectral bands see: from the widths in the header, or an estimate"
        " where it has none; always estimated; a sensor, also with bands as in sentinel-2:B2,B3,B4,B8; or a table.",
        offers="hsi_napari.pair_form:responses",
    ),
    Option(
        "registration", "choice", "auto", "Where one image lies on the other: by the map frames, by corners on corners"
        " (frame), found from the images, or not at all; auto believes the files as far as the images bear them out.",
        choices=("auto", "map", "frame", "estimate", "none"),
    ),
    Option(
        "radiometry", "choice", "auto", "Take the numbers of both images to be in one unit, or bring those of the"
        " multispectral image to the other; auto does so where they differ.", choices=("auto", "same", "match"),
    ),
    Option(
        "psf_fwhm", "float", None, "Width of what a hyperspectral pixel sees, in its pixels.", is_optional=True,
        lower=0.3, upper=5.0, unit="px", source="measured where the images line up when not given",
    ),
)  # fmt: skip


def responses() -> tuple[str, ...]:
    """Where a spectral response may come from, beside files."""
    from hsi_app.fusion.sensors import sensor_names

    return (FROM_HEADER, "estimate", *sensor_names())


class PairForm(QWidget):
    """Spectral response, registration, radiometry and point spread."""

    overlay_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.form = OptionForm(PAIR, self)
        self.form.put_beside("srf", BrowseButton(_TABLES, lambda path: self.form.put({"srf": path})))
        self.overlay = QPushButton("Show registration")
        self.overlay.setToolTip(
            "Lay one image over the other as a run would: grey where they agree, red and cyan fringes where not."
        )
        self.overlay.clicked.connect(self.overlay_wanted)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(GAP)
        rows.addWidget(Heading("How they belong together"))
        rows.addWidget(self.form)
        rows.addWidget(self.overlay)

    def known(self) -> dict[str, Any]:
        """The settings of a pair by name."""
        given = self.form.values()
        return {name: value for name, value in given.items() if (name, value) != ("srf", FROM_HEADER)}
