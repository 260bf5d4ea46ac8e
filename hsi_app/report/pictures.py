"""Pictures of the report: false colour and single bands, before, after and removed, with one common stretch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.cube import Cube
from hsi_app.report.charts import data_uri
from hsi_app.report.sampling import THUMBNAIL_PX, centre, thumbnail

if TYPE_CHECKING:
    from hsi_app.runner import Result

# Share of samples below and above the stretch.
CLIP_PERCENT = 1.5
# Pictures narrower than this are shown with square pixels rather than blurred.
SMALLEST_PX = 480


@dataclass(frozen=True)
class Picture:
    """A PNG as data URI, its size in px, a title, and for maps of a quantity the span of its colours.

    span : largest magnitude shown, physical units; None for plain pictures
    """

    uri: str
    width: int
    height: int
    title: str
    span: float | None = None


@dataclass(frozen=True)
class Row:
    """Pictures of the same thing side by side, and what they show."""

    words: str
    pictures: tuple[Picture, ...]


def gallery(result: Result, band: int, reference: Cube | None = None) -> list[Row]:
    """Draw the pictures of a report from strided samples: before, after, removed and, if known, the truth.

    Parameters
    ----------
    result : of ``runner.restore``
    band : index of the band to show by itself
    reference : the true scene, or None

    Returns
    -------
    A row in false colour, one of the band, and of scenes that had to be thinned a third at full resolution.
    """
    observed = result.observed
    axis, picks = observed.axis, observed.axis.composite()
    cubes = {"before": observed, "after": result.cube, **({} if reference is None else {"truth": reference})}
    # A cube of few bands names one twice; read each once.
    names = sorted({*picks, band})
    thumbnails = {title: thumbnail(cube, names) for title, cube in cubes.items()}
    step = thumbnails["before"].step
    scale = np.broadcast_to(np.abs(np.asarray(observed.gain, np.float32)), axis.count)

    def row(images: dict[str, np.ndarray], bands: Sequence[int], words: str) -> Row:
        # The restored cube rules the stretch: a noisy one would be shown flat because of its outliers.
        low, high = _span(images["after"], images["before"])
        drawn = [_picture(_stretch(image, low, high), title) for title, image in images.items()]
        difference = (images["before"] - images["after"]) * scale[list(bands), None, None]
        drawn.insert(2, _removed(difference.mean(0)))
        return Row(words, tuple(drawn))

    def pick(bands: Sequence[int]) -> dict[str, np.ndarray]:
        return {title: t.values[[names.index(b) for b in bands]] for title, t in thumbnails.items()}

    thinned = "" if step == 1 else f"; every {step}th pixel"
    labels = ", ".join(axis.label(b) for b in picks)
    rows = [
        row(pick(picks), picks, f"Bands {labels} as red, green, blue{thinned}; removed: mean of the three"),
        row(pick([band]), [band], f"Band {axis.label(band)}, the one that changed most{thinned}"),
    ]
    if step > 1:
        window = centre(observed.shape[1:])
        images = {}
        for title, cube in cubes.items():
            values, valid = cube.block(window, [band])
            images[title] = np.where(valid, values, np.float32(np.nan))
        where = f"rows {window.row + 1} to {window.row + window.height}, columns {window.col + 1} to"
        rows.append(row(images, [band], f"Band {axis.label(band)}, every pixel of {where} {window.col + window.width}"))
    return rows


def false_colour(cube: Cube, title: str, side_px: int = THUMBNAIL_PX) -> Picture:
    """One picture of a cube in natural colours where its bands allow, NaN see-through, at most ``side_px`` a side."""
    image = thumbnail(cube, cube.axis.composite(), side_px=side_px).values
    return _picture(_stretch(image, *_span(image, image)), title)


def _span(after: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest value shown of each band, (b, 1, 1)."""
    limits = []
    for image, other in zip(after, before, strict=True):
        finite = image[np.isfinite(image)]
        if not finite.size:
            finite = other[np.isfinite(other)]
        low, high = np.percentile(finite, [CLIP_PERCENT, 100 - CLIP_PERCENT]) if finite.size else (0.0, 1.0)
        limits.append((low, high if high > low else low + 1.0))
    column = np.asarray(limits, np.float32)[:, :, None, None]
    return column[:, 0], column[:, 1]


def _stretch(image: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """To [0, 1], NaN kept; a root lifts the shadows, where most of a land scene lies."""
    return np.clip((image - low) / (high - low), 0, 1) ** 0.8


def _picture(image: np.ndarray, title: str) -> Picture:
    rgb = np.moveaxis(np.broadcast_to(image, (3, *image.shape[1:])), 0, -1)
    alpha = np.isfinite(rgb).all(axis=-1)
    rgba = np.concatenate([np.nan_to_num(rgb), alpha[..., None]], axis=-1)
    return Picture(png_uri(rgba), rgb.shape[1], rgb.shape[0], title)


def _removed(image: np.ndarray) -> Picture:
    """A signed map: white is nothing, blue is what was added, red what was taken away."""
    from matplotlib import colormaps

    finite = np.abs(image[np.isfinite(image)])
    span = float(np.percentile(finite, 99)) if finite.size else 0.0
    # Where only a few samples changed, the percentile is zero and the largest must do.
    span = span or (float(finite.max()) if finite.size else 0.0) or 1.0
    rgba = colormaps["RdBu_r"](np.nan_to_num(np.clip(image / span, -1, 1)) / 2 + 0.5)
    rgba[..., 3] = np.isfinite(image)
    return Picture(png_uri(rgba), image.shape[1], image.shape[0], "removed", span)


def quantity_map(image: np.ndarray, title: str, span: float) -> Picture:
    """A map of a quantity from 0 to ``span``, NaN see-through."""
    from matplotlib import colormaps

    rgba = colormaps["viridis"](np.nan_to_num(np.clip(image / span, 0, 1)))
    rgba[..., 3] = np.isfinite(image)
    return Picture(png_uri(rgba), image.shape[1], image.shape[0], title, span)


def png_uri(rgba: np.ndarray) -> str:
    """(h, w, 4) numbers in [0, 1] as the data URI of a PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray((rgba * 255).round().astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return data_uri(buffer.getvalue())
