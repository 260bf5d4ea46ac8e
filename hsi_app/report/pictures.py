"""Pictures of the report: false colour and single bands, before, after and removed, with one common stretch."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.cube import Cube
from hsi_app.report.charts import data_uri
from hsi_app.report.sampling import thumbnail

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
class Gallery:
    """Rows of pictures: false colour, and the band that changed most; with what each row shows."""

    colour: tuple[Picture, ...]
    band: tuple[Picture, ...]
    colour_words: str
    band_words: str


def gallery(result: Result, band: int, reference: Cube | None = None) -> Gallery:
    """Draw the pictures of a report from strided samples.

    Parameters
    ----------
    result : of ``runner.restore``
    band : index of the band to show by itself
    reference : the true scene, shown beside the others where given
    """
    observed, restored = result.observed, result.cube
    axis = observed.axis
    picks = axis.composite()
    cubes = {"before": observed, "after": restored, **({} if reference is None else {"truth": reference})}
    # A cube of one band gives one index thrice; read it once.
    names = sorted({*picks, band})
    images = {title: thumbnail(cube, names).values for title, cube in cubes.items()}
    rgb = {title: image[[names.index(pick) for pick in picks]] for title, image in images.items()}
    grey = {title: image[names.index(band)] for title, image in images.items()}
    # The restored cube rules the stretch: a noisy one would be shown flat because of its outliers.
    low, high = _span(rgb["after"], rgb["before"])
    colour = tuple(_picture(np.moveaxis(_stretch(image, low, high), 0, -1), title) for title, image in rgb.items())
    low, high = _span(grey["after"][None], grey["before"][None])
    plain = [_picture(np.repeat(_stretch(image[None], low, high)[0][..., None], 3, -1), title)
             for title, image in grey.items()]  # fmt: skip
    gain = float(np.broadcast_to(np.abs(np.asarray(observed.gain)), axis.count)[band])
    removed = _removed((grey["before"] - grey["after"]) * gain)
    plain.insert(2, removed)
    labels = ", ".join(axis.label(pick) for pick in picks)
    return Gallery(
        colour, tuple(plain), f"Bands {labels} as red, green, blue", f"Band {axis.label(band)}, changed most"
    )


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


def _picture(rgb: np.ndarray, title: str) -> Picture:
    alpha = np.isfinite(rgb).all(axis=-1)
    rgba = np.concatenate([np.nan_to_num(rgb), alpha[..., None]], axis=-1)
    return Picture(_png(rgba), rgb.shape[1], rgb.shape[0], title)


def _removed(image: np.ndarray) -> Picture:
    """A signed map: white is nothing, blue is what was added, red what was taken away."""
    from matplotlib import colormaps

    finite = np.abs(image[np.isfinite(image)])
    span = float(np.percentile(finite, 99)) if finite.size else 0.0
    # Where only a few samples changed, the percentile is zero and the largest must do.
    span = span or (float(finite.max()) if finite.size else 0.0) or 1.0
    rgba = colormaps["RdBu_r"](np.nan_to_num(np.clip(image / span, -1, 1)) / 2 + 0.5)
    rgba[..., 3] = np.isfinite(image)
    return Picture(_png(rgba), image.shape[1], image.shape[0], "removed", span)


def _png(rgba: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray((rgba * 255).round().astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return data_uri(buffer.getvalue())
