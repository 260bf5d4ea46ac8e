"""The plot of spectra as a picture: PNG, or SVG for print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QBuffer, QByteArray, QIODevice, QRect, QRectF, QSize
from qtpy.QtGui import QImage, QPainter

from hsi_app.errors import OutputError

if TYPE_CHECKING:
    from hsi_napari.spectrum_plot import SpectrumPlot

# A picture has this many times the pixels of the window's plot, for a sheet of paper shows more than a screen.
SCALE = 2
PICTURES = (".png", ".svg")


def save_picture(plot: SpectrumPlot, path: Path) -> None:
    """Save a plot as it looks, in the colours of the theme; the extension says as what.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    picture = _drawing(plot) if path.suffix.lower() == ".svg" else _image(plot)
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise OutputError(f"'{path}' could not be written ({error.strerror}); choose another place.") from error


def _image(plot: SpectrumPlot) -> bytes:
    size = plot.view.size()
    image = QImage(size * SCALE, QImage.Format.Format_RGB32)
    # As on a finer screen: scaled by the painter, the legend would keep the size of its letters.
    image.setDevicePixelRatio(SCALE)
    painter = QPainter(image)
    painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing)
    plot.view.render(painter, QRectF(0, 0, size.width(), size.height()), plot.view.rect())
    painter.end()
    held = QByteArray()
    buffer = QBuffer(held)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    image.save(buffer, "PNG")
    buffer.close()
    return bytes(held.data())


def _drawing(plot: SpectrumPlot) -> bytes:
    from qtpy.QtSvg import QSvgGenerator

    # pyqtgraph's own writer fails on paths with arcs.
    held = QByteArray()
    buffer = QBuffer(held)
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    size: QSize = plot.view.size()
    generator = QSvgGenerator()
    generator.setOutputDevice(buffer)
    generator.setSize(size)
    generator.setViewBox(QRect(0, 0, size.width(), size.height()))
    generator.setTitle("Spectra")
    # Axes are kept as drawings made for the screen; at another resolution they would be drawn at another size.
    generator.setResolution(plot.view.logicalDpiX())
    painter = QPainter(generator)
    plot.view.render(painter, QRectF(0, 0, size.width(), size.height()), plot.view.rect())
    painter.end()
    buffer.close()
    return bytes(held.data())
