"""Where one image lies on the other: an affine map between their pixel grids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hsi_app.georef import GeoRef
from hsi_app.tiling import Window

# A grid counts as level where rotation and shear move no pixel further than this, px of the multispectral image.
LEVEL_PX = 0.1


@dataclass(frozen=True)
class Placement:
    """Where the pixels of the multispectral image lie on the grid of the hyperspectral one.

    Parameters
    ----------
    matrix : six floats (a, b, c, d, e, f)
        row = a * row_m + b * col_m + c and col = d * row_m + e * col_m + f; whole numbers are the centres of pixels on
        both grids
    """

    matrix: tuple[float, float, float, float, float, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", tuple(float(value) for value in self.matrix))

    @classmethod
    def from_georefs(cls, hsi: GeoRef, msi: GeoRef) -> Placement | None:
        """By the map frames of both, or None where their reference systems differ."""
        if not _same_crs(hsi.crs, msi.crs):
            return None
        # GeoRef maps (col, row) of corners; half a pixel brings centres to corners and back.
        to_map, from_map = _homogeneous(msi), np.linalg.inv(_homogeneous(hsi))
        half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
        return cls._of(np.linalg.inv(half) @ from_map @ to_map @ half)

    @classmethod
    def from_shapes(cls, hsi_shape: tuple[int, ...], msi_shape: tuple[int, ...]) -> Placement:
        """Both show the same ground, corner on corner; shapes are (height, width)."""
        scale = [coarse / fine for coarse, fine in zip(hsi_shape, msi_shape, strict=True)]
        return cls((scale[0], 0, scale[0] / 2 - 0.5, 0, scale[1], scale[1] / 2 - 0.5))

    @classmethod
    def _of(cls, array: np.ndarray) -> Placement:
        return cls(tuple(array[:2].reshape(-1)))  # type: ignore[arg-type]

    @property
    def array(self) -> np.ndarray:
        """(3, 3) homogeneous matrix."""
        return np.vstack([np.array(self.matrix).reshape(2, 3), [0, 0, 1]])

    @property
    def ratio(self) -> tuple[float, float]:
        """Pixels of the multispectral image to one of the other, along rows and along columns."""
        a, b, _, d, e, _ = self.matrix
        return 1 / float(np.hypot(a, d)), 1 / float(np.hypot(b, e))

    @property
    def angle_deg(self) -> float:
        """How far the multispectral image is turned on the other, degrees; positive from rows towards columns."""
        a, _, _, d, _, _ = self.matrix
        return float(np.degrees(np.arctan2(d, a)))

    def points(self, places: np.ndarray) -> np.ndarray:
        """(N, 2) places (row, col) of the multispectral grid on the hyperspectral one."""
        return np.asarray(places, float) @ self.array[:2, :2].T + self.array[:2, 2]

    def inverse_points(self, places: np.ndarray) -> np.ndarray:
        """(N, 2) places (row, col) of the hyperspectral grid on the multispectral one."""
        inverse = np.linalg.inv(self.array)
        return np.asarray(places, float) @ inverse[:2, :2].T + inverse[:2, 2]

    def moved(
        self, rows: float = 0.0, cols: float = 0.0, angle_deg: float = 0.0, centre: tuple[float, float] = (0.0, 0.0)
    ) -> Placement:
        """The placement of a multispectral image that is first turned about ``centre``, then shifted.

        Parameters
        ----------
        rows, cols : shift, px of the multispectral image
        angle_deg : turn about ``centre`` (row, col), degrees, from rows towards columns
        """
        cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        away = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, 1]])
        back = np.array([[1, 0, centre[0] + rows], [0, 1, centre[1] + cols], [0, 0, 1]])
        return self._of(self.array @ back @ turn @ away)

    def is_level_over(self, msi_shape: tuple[int, ...]) -> bool:
        """True where neither rotation nor shear moves a pixel of an image of this shape by more than a tenth."""
        a, b, _, d, e, _ = self.matrix
        height, width = msi_shape
        rows, cols = self.ratio
        return a > 0 and e > 0 and abs(b) * width * rows <= LEVEL_PX and abs(d) * height * cols <= LEVEL_PX

    def level(self) -> Placement:
        """Without the rotation and shear that are left where ``is_level_over`` is True."""
        a, _, c, _, e, f = self.matrix
        return Placement((a, 0.0, c, 0.0, e, f))

    def on_averaged(self, factor: int) -> Placement:
        """For the multispectral image averaged in blocks of factor x factor."""
        half = (factor - 1) / 2
        return self._of(self.array @ np.array([[factor, 0, half], [0, factor, half], [0, 0, 1]]))

    def on_finer(self, factor: int) -> Placement:
        """For the multispectral image of which this one's is the average in blocks of factor x factor."""
        half = (factor - 1) / 2
        return self._of(self.array @ np.linalg.inv(np.array([[factor, 0, half], [0, factor, half], [0, 0, 1]])))

    def distance(self, other: Placement, msi_shape: tuple[int, ...]) -> float:
        """How far apart two placements put a corner of the image at most, hyperspectral px."""
        height, width = msi_shape
        corners = np.array([[0, 0], [0, width - 1], [height - 1, 0], [height - 1, width - 1]], float)
        return float(np.linalg.norm(self.points(corners) - other.points(corners), axis=1).max())

    def window(self, of: Window, hsi_shape: tuple[int, int], margin: int = 0) -> Window:
        """Pixels of the hyperspectral image under a window of the other, with ``margin`` more around; may be empty."""
        bottom, right = of.row + of.height - 1, of.col + of.width - 1
        corners = self.points(np.array([[of.row, of.col], [of.row, right], [bottom, of.col], [bottom, right]]))
        first = np.clip(np.floor(corners.min(0)) - margin, 0, hsi_shape).astype(int)
        last = np.clip(np.ceil(corners.max(0)) + margin + 1, first, hsi_shape).astype(int)
        return Window(int(first[0]), int(first[1]), int(last[0] - first[0]), int(last[1] - first[1]))

    def to_plain(self) -> dict[str, Any]:
        """For a record."""
        return {"matrix": list(self.matrix), "ratio": list(self.ratio), "angle_deg": self.angle_deg}

    def describe(self) -> str:
        """'8.33 x 8.33 pixels to one, origin at (-0.44, -0.44), turned by 0.0 degrees'."""
        rows, cols = self.ratio
        row, col = self.points(np.zeros((1, 2)))[0]
        return (
            f"{rows:.4g} x {cols:.4g} pixels to one, first one at ({row:.2f}, {col:.2f}), turned by"
            f" {self.angle_deg:.2f} degrees"
        )


def _homogeneous(frame: GeoRef) -> np.ndarray:
    """(3, 3) map from (row, col) of corners to (x, y)."""
    a, b, c, d, e, f = frame.transform
    return np.array([[b, a, c], [e, d, f], [0, 0, 1]])


def _same_crs(first: str | None, second: str | None) -> bool:
    if first is None or second is None:
        return first is second
    if first == second:
        return True
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        return bool(CRS.from_user_input(first) == CRS.from_user_input(second))
    except CRSError:
        return False
