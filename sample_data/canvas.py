"""A map of material fractions and light on a fine grid, and what can be painted on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

EVERYWHERE = (slice(None), slice(None))


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> np.ndarray:
    """Gaussian random field (H, W), mean 0, variance 1, smooth over about ``scale`` grid cells.

    White noise filtered by a Gaussian of that standard deviation, in the Fourier domain: the cost does not grow with
    the scale, and the field closes at the edges.
    """
    rows, cols = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    kernel = np.exp(-2 * (np.pi * scale) ** 2 * (rows**2 + cols**2))
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * kernel, shape)
    field -= field.mean()
    return field / field.std()


def inside(signed_distance: np.ndarray) -> np.ndarray:
    """Coverage 0..1 of a cell by a shape, from the distance (cells, negative inside) of its centre to the outline."""
    return np.clip(0.5 - signed_distance, 0.0, 1.0)


def curve(points: Sequence[tuple[float, float]], spacing: float = 1.0) -> np.ndarray:
    """Smooth line through (x, y) points, resampled about every ``spacing`` cells: (N, 2)."""
    from scipy.interpolate import CubicSpline  # type: ignore[import-untyped]

    knots = np.asarray(points, dtype=float)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(knots, axis=0).T))])
    return CubicSpline(along, knots)(np.linspace(0.0, along[-1], int(along[-1] / spacing) + 1))


@dataclass(frozen=True)
class Sun:
    """Where the light comes from.

    Parameters
    ----------
    zenith_deg : angle from the vertical, 0..90
    azimuth_deg : clockwise from north
    """

    zenith_deg: float = 42.0
    azimuth_deg: float = 150.0

    @property
    def towards(self) -> tuple[float, float]:
        """Unit vector (x to the east, y to the south) towards the sun."""
        azimuth = np.radians(self.azimuth_deg)
        return float(np.sin(azimuth)), float(-np.cos(azimuth))

    @property
    def shadow(self) -> tuple[float, float]:
        """Shift (x, y) of the shadow's tip for one unit of height."""
        length = np.tan(np.radians(self.zenith_deg))
        return -self.towards[0] * length, -self.towards[1] * length

    def lit(self, height: np.ndarray) -> np.ndarray:
        """Direct light on a surface ``height`` (H, W), in cells, relative to flat ground (Lambert's cosine law)."""
        slope_y, slope_x = np.gradient(height)
        zenith = np.radians(self.zenith_deg)
        towards_x, towards_y = self.towards
        facing = np.cos(zenith) - np.sin(zenith) * (slope_x * towards_x + slope_y * towards_y)
        return np.maximum(facing / np.sqrt(1 + slope_x**2 + slope_y**2), 0.0) / np.cos(zenith)


@dataclass(frozen=True)
class House:
    """A box with a gable roof.

    Parameters
    ----------
    x, y : centre, cells
    length, width, height : cells; the ridge runs along the length
    angle : of the length from the x axis, radians
    roof : material
    pitch : slope of the two roof sides, rise over run
    """

    x: float
    y: float
    length: float
    width: float
    height: float
    angle: float
    roof: str
    pitch: float = 0.5


@dataclass(frozen=True)
class Tree:
    """A round crown about twice as high as wide.

    Parameters
    ----------
    x, y, radius : cells
    leaves : fraction of each material, adding up to one
    light : share of light the crown gives back, for its gaps; about 0.5..1
    """

    x: float
    y: float
    radius: float
    leaves: Mapping[str, float]
    light: float


class Canvas:
    """Fractions of materials and the light on them; later paint covers earlier paint.

    Parameters
    ----------
    shape : (H, W) cells
    materials : names; ``fractions`` has one layer each, and the layers add up to one once the ground is painted
    sun : for shadows and for the lit side of roofs and crowns
    """

    def __init__(self, shape: tuple[int, int], materials: Sequence[str], sun: Sun) -> None:
        self.shape = shape
        self.layer = {name: i for i, name in enumerate(materials)}
        self.fractions = np.zeros((len(materials), *shape))
        self.light = np.ones(shape)
        self.sun = sun
        self.y, self.x = np.mgrid[: shape[0], : shape[1]].astype(float)

    def paint(
        self,
        coverage: np.ndarray,
        mix: Mapping[str, float | np.ndarray],
        light: float | np.ndarray = 1.0,
        where: tuple[slice, slice] = EVERYWHERE,
    ) -> None:
        """Cover a part of the map with a mixture.

        Parameters
        ----------
        coverage : (h, w) in 0..1, how much of each cell in ``where`` the paint hides
        mix : fraction of each material, adding up to one; numbers or (h, w) arrays
        light : factor on the light of the painted part; it replaces the shade that was there
        where : rows and columns touched
        """
        view = self.fractions[:, where[0], where[1]]
        view *= 1 - coverage
        for name, share in mix.items():
            view[self.layer[name]] += coverage * share
        shade = self.light[where]
        shade *= 1 - coverage
        shade += coverage * light

    def around(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns within ``reach`` cells of a point, cut at the edge (maybe empty)."""
        rows = slice(max(int(y - reach), 0), max(min(int(y + reach) + 2, self.shape[0]), 0))
        cols = slice(max(int(x - reach), 0), max(min(int(x + reach) + 2, self.shape[1]), 0))
        return rows, cols

    def distance(self, line: np.ndarray, reach: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
        """Distance of each cell to a line of (N, 2) points, and the index of the nearest point.

        Cells beyond ``reach`` get infinity and N.
        """
        from scipy.spatial import cKDTree  # type: ignore[import-untyped]

        cells = np.column_stack([self.x.ravel(), self.y.ravel()])
        gap, nearest = cKDTree(line).query(cells, distance_upper_bound=reach)
        return gap.reshape(self.shape), nearest.reshape(self.shape)

    def shade(self, coverage: np.ndarray, remaining: float, where: tuple[slice, slice]) -> None:
        """Let only ``remaining`` of the light reach the covered cells; shadows do not add up."""
        self.light[where] = np.minimum(self.light[where], 1 - (1 - remaining) * coverage)

    def turned_box(
        self,
        x: float,
        y: float,
        length: float,
        width: float,
        angle: float,
        where: tuple[slice, slice] = EVERYWHERE,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coordinates along and across a turned rectangle, and the signed distance to its outline."""
        dx, dy = self.x[where] - x, self.y[where] - y
        along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        return along, across, np.maximum(np.abs(along) - length / 2, np.abs(across) - width / 2)

    def cast_house(self, house: House, steps: int = 4) -> None:
        """The shadow of a house on the ground, as that of ``steps`` slices of it."""
        shift = self.sun.shadow
        where = self.around(house.x, house.y, house.length + house.width + 2 * house.height)
        for step in range(1, steps + 1):
            part = house.height * step / steps
            x, y = house.x + shift[0] * part, house.y + shift[1] * part
            outline = self.turned_box(x, y, house.length, house.width, house.angle, where)[2]
            self.shade(inside(outline), 0.35, where)

    def paint_house(self, house: House) -> None:
        """A roof whose two sides catch the light differently."""
        where = self.around(house.x, house.y, house.length + house.width)
        _, across, outline = self.turned_box(house.x, house.y, house.length, house.width, house.angle, where)
        normal = np.cos(house.angle) * self.sun.towards[1] - np.sin(house.angle) * self.sun.towards[0]
        tilt, zenith = np.arctan(house.pitch), np.radians(self.sun.zenith_deg)
        side = np.clip(across, -1, 1)  # the ridge is not sharper than a cell
        light = np.cos(tilt) + np.sin(tilt) * np.tan(zenith) * normal * side
        self.paint(inside(outline), {house.roof: 1.0}, np.maximum(light, 0.2), where)

    def cast_tree(self, tree: Tree) -> None:
        """The shadow of a crown on the ground, as that of two discs."""
        shift = self.sun.shadow
        where = self.around(tree.x, tree.y, 4 * tree.radius)
        for height in (tree.radius, 2 * tree.radius):
            dx, dy = self.x[where] - tree.x - shift[0] * height, self.y[where] - tree.y - shift[1] * height
            self.shade(inside(np.hypot(dx, dy) - tree.radius), 0.45, where)

    def paint_tree(self, tree: Tree) -> None:
        """A crown, bright towards the sun and dark at the far rim."""
        where = self.around(tree.x, tree.y, tree.radius + 1)
        dx, dy = self.x[where] - tree.x, self.y[where] - tree.y
        relief = 0.78 + 0.30 * (dx * self.sun.towards[0] + dy * self.sun.towards[1]) / tree.radius
        crown = inside(np.hypot(dx, dy) - tree.radius)
        self.paint(crown, tree.leaves, tree.light * np.clip(relief, 0.35, 1.1), where)
