"""Pictures and charts of a fusion: both images and the result, what is doubtful, spectra, responses, the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.fusion.placement import Placement
from hsi_app.report.abundance_pictures import COLOURS
from hsi_app.report.charts import Chart, Theme, band_axis, draw, plot_band_line
from hsi_app.report.pictures import CLIP_PERCENT, Picture, png_uri
from hsi_app.report.sampling import THUMBNAIL_PX, thumbnail

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hsi_app.fusion.result import Fusion

# Bands further apart than this, nm, show another colour.
_SAME_COLOUR_NM = 40.0
# Brightness of the pixels whose spectra are drawn: dark to bright, shares of the image's pixels.
_BRIGHTNESS = {"dark": 0.05, "darker": 0.35, "brighter": 0.65, "bright": 0.95}
# Of the pixels of about that brightness (this share to either side) the calmest is drawn.
_NEAR = 0.03
# Colours of doubt: up to 1 explained, beyond it not, and the largest that is told apart.
DOUBT_COLOURS = ("#eef1f5", "#8ba3bd", "#f59e0b", "#8f1239")
MOST_DOUBT = 10.0


@dataclass(frozen=True)
class Spot:
    """A pixel of the result whose spectrum is drawn; ``label`` says how bright it is."""

    row: int
    col: int
    label: str


def scene_pictures(result: Fusion) -> tuple[list[Picture], bool]:
    """Coarse image, multispectral image and result in natural or false colour; and whether all share one stretch.

    The coarse image lies on the grid of the others where it is known how. The multispectral one is brought to its
    numbers; the stretch is not shared where its bands are not of those colours.
    """
    picks = list(result.cube.axis.composite())
    guide, sharp = _matched(result), _physical(result.cube, picks)
    placement = placement_of(result)
    coarse = _physical(result.hsi, picks) if placement is None else _on_fine_grid(result, placement, picks)
    is_common = _same_colours(result)
    low, high = _span(sharp, coarse)
    own = (low, high) if is_common else _span(guide, guide)
    title = "coarse hyperspectral image" + ("" if placement is None else ", interpolated")
    pictures = [
        _picture(coarse, low, high, title),
        _picture(guide, *own, "multispectral image"),
        _picture(sharp, low, high, "result"),
    ]
    return pictures, is_common


def matching(result: Fusion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bands of the multispectral image that took part, gain and offset to the numbers of the hyperspectral one."""
    import torch

    from hsi_app.scene import Scene

    msi, record = result.msi, result.record
    bands = msi.axis.good if record["settings"]["bad_bands"] == "keep" else np.arange(msi.shape[0])
    # Gain and offset are between scaled images; the record holds the scale of the hyperspectral one only.
    own = Scene(msi, bands, torch.device("cpu"), physical=True).scaling.span
    response, span = record["pair"]["response"], record["scaling"]["span"]
    return bands, np.asarray(response["gain"]) * span / own, np.asarray(response["offset"]) * span


def _matched(result: Fusion) -> np.ndarray:
    """(3, h, w) thumbnail of the multispectral image in the numbers of the hyperspectral one."""
    picks = list(result.msi.axis.composite())
    bands, gain, offset = matching(result)
    at = np.searchsorted(bands, picks)
    return np.asarray(_physical(result.msi, picks) * gain[at, None, None] + offset[at, None, None])


def _on_fine_grid(result: Fusion, placement: Placement, picks: Sequence[int]) -> np.ndarray:
    """(b, h, w) coarse image, interpolated linearly to the thumbnail of the result; NaN beyond its edge."""
    from scipy.ndimage import map_coordinates

    coarse_step, step = _step(result.hsi), _step(result.cube)
    shape = tuple(-(-side // step) for side in result.cube.shape[1:])
    places = step * np.indices(shape).reshape(2, -1).T
    coarse = _physical(result.hsi, picks)
    at = placement.points(places)
    beyond = ((at < -0.5 - 1e-9) | (at > np.array(result.hsi.shape[1:]) - 0.5 + 1e-9)).any(1)
    at = (at / coarse_step).T
    images = []
    for band in coarse:
        known = np.isfinite(band)
        total, share, here = (
            map_coordinates(image, at, order=order, mode="nearest")
            for image, order in ((np.where(known, band, 0.0), 1), (known.astype(float), 1), (known.astype(float), 0))
        )
        images.append(np.where(beyond | (here < 0.5), np.nan, total / np.maximum(share, 1e-6)).reshape(shape))
    return np.stack(images)


def _step(cube: Cube) -> int:
    """Pixels between neighbours of a thumbnail."""
    return max(1, -(-max(cube.shape[1:]) // THUMBNAIL_PX))


def _same_colours(result: Fusion) -> bool:
    coarse, fine = result.cube.axis, result.msi.axis
    if coarse.centres_nm is None or fine.centres_nm is None:
        return False
    apart = coarse.centres_nm[list(coarse.composite())] - fine.centres_nm[list(fine.composite())]
    return bool((np.abs(apart) <= _SAME_COLOUR_NM).all())


def _physical(cube: Cube, bands: Sequence[int] | np.ndarray) -> np.ndarray:
    """(b, h, w) thumbnail of bands in physical units, NaN where missing."""
    # A cube of few bands names one twice; read each once.
    names, back = np.unique(np.asarray(bands), return_inverse=True)
    values = thumbnail(cube, names.tolist()).values
    gain, offset = (
        np.broadcast_to(np.asarray(column, np.float32), cube.shape[:1])[names, None, None]
        for column in (cube.gain, cube.offset)
    )
    return np.asarray((values * gain + offset)[back])


def _span(image: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(b, 1, 1) lowest and highest value shown of each band: of ``image``, or of ``other`` where it is empty."""
    limits = []
    for band, instead in zip(image, other, strict=True):
        finite = band[np.isfinite(band)]
        finite = finite if finite.size else instead[np.isfinite(instead)]
        low, high = np.percentile(finite, [CLIP_PERCENT, 100 - CLIP_PERCENT]) if finite.size else (0.0, 1.0)
        limits.append((low, high if high > low else low + 1.0))
    columns = np.asarray(limits, np.float32)[:, :, None, None]
    return columns[:, 0], columns[:, 1]


def _picture(image: np.ndarray, low: np.ndarray, high: np.ndarray, title: str) -> Picture:
    # The same root as in the pictures of a restoration: it lifts the shadows.
    rgb = np.moveaxis(np.clip((image - low) / (high - low), 0, 1) ** 0.8, 0, -1)
    seen = np.isfinite(rgb).all(axis=-1)
    rgba = np.concatenate([np.nan_to_num(rgb), seen[..., None]], axis=-1)
    return Picture(png_uri(rgba), rgb.shape[1], rgb.shape[0], title)


def doubt_picture(doubt: Cube) -> Picture:
    """The map of doubt: pale to blue up to 1, orange to dark red from there to ten."""
    image = thumbnail(doubt, [0]).values[0]
    ends = np.array([[int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)] for code in DOUBT_COLOURS])
    filled = np.nan_to_num(image)
    beyond = filled > 1
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.clip(np.log(np.maximum(filled, 1)) / np.log(MOST_DOUBT), 0, 1)
    share = np.where(beyond, above, np.clip(filled, 0, 1))[..., None]
    first, last = (np.where(beyond[..., None], ends[2 + k], ends[k]) for k in (0, 1))
    rgba = np.concatenate([first + share * (last - first), np.isfinite(image)[..., None]], axis=-1)
    return Picture(png_uri(rgba), image.shape[1], image.shape[0], "doubt")


def spots(result: Fusion) -> list[Spot]:
    """Pixels of the result from dark to bright, in calm neighbourhoods, under the coarse image where it is known."""
    picks = result.cube.axis.composite()
    # The thumbnail's own step, to come back to pixels of the image.
    found = thumbnail(result.cube, sorted(set(picks)))
    image = found.values.mean(axis=0)
    down, across = (np.abs(np.gradient(image, axis=axis)) if image.shape[axis] > 1 else 0 * image for axis in (0, 1))
    change = down + across
    usable = np.isfinite(image)
    placement = placement_of(result)
    if placement is not None:
        grid = np.argwhere(usable)
        under = np.round(placement.points(grid * found.step)).astype(int)
        usable[tuple(grid.T)] = ((under >= 0) & (under < result.hsi.shape[1:])).all(axis=1)
    values = image[usable]
    if not values.size:
        return []
    chosen = []
    for label, level in _BRIGHTNESS.items():
        low, high = np.quantile(values, [max(level - _NEAR, 0), min(level + _NEAR, 1)])
        near = usable & (image >= low) & (image <= high)
        place = np.nanargmin(np.where(near, np.nan_to_num(change, nan=np.inf), np.inf))
        row, col = np.unravel_index(int(place), image.shape)
        chosen.append(Spot(int(row) * found.step, int(col) * found.step, label))
    # In an even image the same pixel would come again.
    return list({(spot.row, spot.col): spot for spot in chosen}.values())


def placement_of(result: Fusion) -> Placement | None:
    """Where the multispectral image was taken to lie on the coarse one, None where that was not known."""
    matrix = result.record["pair"]["registration"]["matrix"]
    return None if matrix is None else Placement(tuple(matrix))


def spectrum_chart(result: Fusion, spot: Spot, number: int) -> Chart:
    """The spectrum of a pixel of the result, the coarse one above it, and what the multispectral image says there."""
    axis = result.cube.axis
    # Bad bands are often hundreds of times off and would bury the rest.
    good = ~axis.is_bad
    sharp = np.where(good, result.cube.spectrum(spot.row, spot.col), np.nan)
    coarse = _coarse_spectrum(result, spot)
    centres = result.record["pair"]["response"]["centres_nm"]
    broad = None
    if centres is not None:
        bands, gain, offset = matching(result)
        broad = result.msi.spectrum(spot.row, spot.col)[bands] * gain + offset

    def paint(axes: Axes, theme: Theme) -> None:
        with band_axis(axes, axis, theme) as x:
            if coarse is not None:
                plot_band_line(
                    axes,
                    x,
                    np.where(good, coarse, np.nan),
                    color=theme.before,
                    linewidth=1.2,
                    label="coarse pixel above",
                )
            plot_band_line(axes, x, sharp, color=theme.after, linewidth=1.4, label="result")
        if broad is not None:
            axes.plot(centres, broad, "o", color=theme.removed, markersize=4, label="multispectral image")
        axes.set_ylabel(result.hsi.unit or "value")

    doubt = None if result.doubt is None else float(result.doubt.spectrum(spot.row, spot.col)[0])
    told = "" if doubt is None or not np.isfinite(doubt) else f", doubt {doubt:.2g}"
    return draw(paint, f"{number} · {spot.label} pixel, row {spot.row + 1}, column {spot.col + 1}{told}")


def _coarse_spectrum(result: Fusion, spot: Spot) -> np.ndarray | None:
    placement = placement_of(result)
    if placement is None:
        return None
    row, col = np.round(placement.points(np.array([[spot.row, spot.col]]))[0]).astype(int).tolist()
    if not (0 <= row < result.hsi.shape[1] and 0 <= col < result.hsi.shape[2]):
        return None
    return result.hsi.spectrum(row, col)


def response_chart(result: Fusion) -> Chart:
    """What each band of the multispectral image sees, each curve over its highest point."""
    response, axis = result.response, result.hsi.axis
    axis = axis if response.matrix.shape[1] == axis.count else axis.select(axis.good)
    curves = response.matrix / response.matrix.max(axis=1, keepdims=True)

    def paint(axes: Axes, theme: Theme) -> None:
        plain = BandAxis(axis.count, axis.centres_nm)
        with band_axis(axes, plain, theme) as x:
            for k, (name, curve) in enumerate(zip(response.names, curves, strict=True)):
                colour = COLOURS[k % len(COLOURS)]
                label = name if len(curves) <= len(COLOURS) else None
                plot_band_line(axes, x, curve, color=colour, linewidth=1.3, label=label)
        axes.set_ylim(0, 1.05)
        axes.set_ylabel("response / its highest")

    return draw(paint, f"What each band of the multispectral image sees: {response.origin}", height_in=3.0)


def loss_chart(trace: Mapping[str, Any]) -> Chart | None:
    """How the loss fell, and why the fit stopped; None where a method is not fitted step by step."""
    rows = np.asarray(trace.get("losses", ()), float)
    if rows.ndim != 2 or len(rows) < 2:
        return None
    steps, loss = rows[:, 0], rows[:, 1]

    def paint(axes: Axes, theme: Theme) -> None:
        axes.plot(steps, loss, color=theme.after, linewidth=1.4)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        if loss.min() > 0 and loss.max() > 20 * loss.min():
            axes.set_yscale("log")

    return draw(paint, f"Loss of the fit; it ended after {trace['steps']} steps: {trace['stop']}", height_in=3.0)
