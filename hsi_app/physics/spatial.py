"""Spatial operators: gaps, blur, coarser grids, crops.

Grids are block-centred: at scale s coarse pixel i covers fine pixels s*i ... s*i + s - 1.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch.nn import functional

from hsi_app.errors import OperatorError
from hsi_app.physics.operator import LinearOperator, Shape
from hsi_app.tiling import Window

FWHM_TO_STD = 1 / (2 * math.sqrt(2 * math.log(2)))


class _Diagonal(LinearOperator):
    """Acts on each sample alone, so samples are their own coordinates and U = V = I."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape, shape)

    def vt(self, cube: torch.Tensor) -> torch.Tensor:
        """Flat coordinates of an input."""
        return cube.reshape(-1)

    def v(self, coordinates: torch.Tensor) -> torch.Tensor:
        """The input with these coordinates."""
        return coordinates.reshape(self.in_shape)

    ut, u = vt, v


@final
class Identity(_Diagonal):
    """Does nothing."""

    def _forward(self, cube: torch.Tensor) -> torch.Tensor:
        return cube

    def _adjoint(self, cube: torch.Tensor) -> torch.Tensor:
        return cube

    def singulars(self) -> torch.Tensor:
        """(n,) ones."""
        return torch.ones(math.prod(self.in_shape))


@final
class Mask(_Diagonal):
    """Keeps observed samples and sets the others to 0.

    mask : (B, H, W) bool tensor, True = observed
    """

    def __init__(self, mask: torch.Tensor) -> None:
        if mask.ndim != 3 or mask.dtype != torch.bool:
            raise OperatorError(f"a mask of {mask.dtype} and shape {tuple(mask.shape)}; give bool (B, H, W).")
        super().__init__((mask.shape[0], mask.shape[1], mask.shape[2]))
        self.mask = mask

    def _forward(self, cube: torch.Tensor) -> torch.Tensor:
        return torch.where(self.mask, cube, 0)

    _adjoint = _forward

    def prox(self, observed: torch.Tensor, centre: torch.Tensor, weight: float) -> torch.Tensor:
        """Minimiser of ||A x - y||^2 + weight ||x - centre||^2."""
        return torch.where(self.mask, (observed + weight * centre) / (1 + weight), centre)

    def singulars(self) -> torch.Tensor:
        """(n,) 1 where observed, else 0."""
        return self.mask.reshape(-1).float()


@final
class Separable(LinearOperator):
    """Acts along rows and columns by a matrix each: X -> R X C^T for every band.

    Gaussian blur, block averages and their product are of this kind, and so have an exact decomposition.

    bands : int; rows : (H', H) float64 tensor; cols : (W', W) float64 tensor
    """

    def __init__(self, bands: int, rows: torch.Tensor, cols: torch.Tensor) -> None:
        super().__init__((bands, rows.shape[1], cols.shape[1]), (bands, rows.shape[0], cols.shape[0]))
        self.rows, self.cols = rows, cols
        self._factors: tuple[torch.Tensor, ...] | None = None
        # By device: a chain asks hundreds of times.
        self._orders: dict[tuple[int, int, torch.device], torch.Tensor] = {}
        self._turns: dict[tuple[torch.device, torch.dtype], tuple[torch.Tensor, ...]] = {}

    def _forward(self, cube: torch.Tensor) -> torch.Tensor:
        return self.rows.to(cube) @ cube @ self.cols.to(cube).T

    def _adjoint(self, cube: torch.Tensor) -> torch.Tensor:
        return self.rows.to(cube).T @ cube @ self.cols.to(cube)

    def _decomposed(self) -> tuple[torch.Tensor, ...]:
        if self._factors is None:
            u_r, s_r, v_r = torch.linalg.svd(self.rows.double(), full_matrices=True)
            u_c, s_c, v_c = torch.linalg.svd(self.cols.double(), full_matrices=True)
            self._factors = (u_r, s_r, v_r, u_c, s_c, v_c)
        return self._factors

    def _turns_on(self, like: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """U and V^T of rows and of columns on a tensor's device."""
        key = (like.device, like.dtype)
        if key not in self._turns:
            u_r, _, v_r, u_c, _, v_c = self._decomposed()
            self._turns[key] = (u_r.to(like), v_r.to(like), u_c.to(like), v_c.to(like))
        return self._turns[key]

    def _order(self, height: int, width: int, device: torch.device) -> torch.Tensor:
        """Flat places of a (B, height, width) array: those with a singular value first."""
        key = (height, width, device)
        if key not in self._orders:
            _, s_r, _, _, s_c, _ = self._decomposed()
            has = torch.zeros(self.in_shape[0], height, width, dtype=torch.bool)
            has[:, : len(s_r), : len(s_c)] = True
            flat = has.reshape(-1)
            places = torch.cat([torch.nonzero(flat).reshape(-1), torch.nonzero(~flat).reshape(-1)])
            self._orders[key] = places.to(device)
        return self._orders[key]

    def _listed(self, turned: torch.Tensor) -> torch.Tensor:
        """Coordinates (B, height, width) as a flat vector."""
        return turned.reshape(-1)[self._order(turned.shape[1], turned.shape[2], turned.device)]

    def _placed(self, coordinates: torch.Tensor, shape: Shape) -> torch.Tensor:
        """A flat vector as coordinates of that shape."""
        flat = torch.empty_like(coordinates)
        flat[self._order(*shape[1:], coordinates.device)] = coordinates
        return flat.reshape(shape)

    def singulars(self) -> torch.Tensor:
        """(n,) products of the singular values of both matrices, band by band."""
        _, s_r, _, _, s_c, _ = self._decomposed()
        return torch.outer(s_r, s_c).reshape(-1).repeat(self.in_shape[0]).float()

    def vt(self, cube: torch.Tensor) -> torch.Tensor:
        """Flat coordinates of an input."""
        _, v_r, _, v_c = self._turns_on(cube)
        return self._listed(v_r @ cube @ v_c.T)

    def v(self, coordinates: torch.Tensor) -> torch.Tensor:
        """The input with these coordinates."""
        _, v_r, _, v_c = self._turns_on(coordinates)
        return v_r.T @ self._placed(coordinates, self.in_shape) @ v_c

    def ut(self, cube: torch.Tensor) -> torch.Tensor:
        """Flat coordinates of an output."""
        u_r, _, u_c, _ = self._turns_on(cube)
        return self._listed(u_r.T @ cube @ u_c)

    def u(self, coordinates: torch.Tensor) -> torch.Tensor:
        """The output with these coordinates."""
        u_r, _, u_c, _ = self._turns_on(coordinates)
        return u_r @ self._placed(coordinates, self.out_shape) @ u_c.T


@final
class Convolution(LinearOperator):
    """Blur by any kernel of odd sides, the image mirrored at its edges.

    shape : (B, H, W); kernel : (k, l) float tensor
    """

    def __init__(self, shape: Shape, kernel: torch.Tensor) -> None:
        if kernel.ndim != 2 or not all(side % 2 for side in kernel.shape):
            raise OperatorError(f"a kernel of shape {tuple(kernel.shape)}; give two odd sides.")
        if kernel.shape[0] // 2 >= shape[1] or kernel.shape[1] // 2 >= shape[2]:
            raise OperatorError(f"a kernel of {tuple(kernel.shape)} is too wide for an image of {shape[1:]}.")
        super().__init__(shape, shape)
        self.kernel = kernel

    def _forward(self, cube: torch.Tensor) -> torch.Tensor:
        down, across = (side // 2 for side in self.kernel.shape)
        padded = functional.pad(cube[:, None], (across, across, down, down), mode="reflect")
        return functional.conv2d(padded, self.kernel.to(cube)[None, None])[:, 0]

    def _adjoint(self, cube: torch.Tensor) -> torch.Tensor:
        # The transpose of a linear map is its vector-Jacobian product, mirrored edges and all.
        with torch.enable_grad():
            start = torch.zeros(self.in_shape, dtype=cube.dtype, device=cube.device, requires_grad=True)
            (found,) = torch.autograd.grad(self._forward(start), start, cube)
        return found


@final
class Crop(LinearOperator):
    """Looks at a window of the image."""

    def __init__(self, shape: Shape, window: Window) -> None:
        if window.row + window.height > shape[1] or window.col + window.width > shape[2]:
            raise OperatorError(f"{window} does not lie inside an image of {shape[1:]}.")
        super().__init__(shape, (shape[0], window.height, window.width))
        self.window = window

    def _forward(self, cube: torch.Tensor) -> torch.Tensor:
        rows, cols = self.window.slices
        return cube[:, rows, cols]

    def _adjoint(self, cube: torch.Tensor) -> torch.Tensor:
        out = cube.new_zeros(self.in_shape)
        rows, cols = self.window.slices
        out[:, rows, cols] = cube
        return out


def blur(shape: Shape, side_px: int, std_px: float) -> Separable:
    """Gaussian blur of ``side_px`` (odd) samples and standard deviation ``std_px``, edges mirrored."""
    profile = gaussian_profile(side_px, std_px)
    return Separable(shape[0], _mirrored_band(shape[1], profile), _mirrored_band(shape[2], profile))


def psf_blur(shape: Shape, fwhm_px: float) -> Separable:
    """Gaussian blur of a full width at half maximum, cut at three standard deviations, edges mirrored."""
    return blur(shape, 2 * psf_reach(fwhm_px) + 1, fwhm_px * FWHM_TO_STD)


def psf_reach(fwhm_px: float) -> int:
    """How far a point spreads to each side, px: three standard deviations, where a Gaussian is cut."""
    return math.ceil(3 * fwhm_px * FWHM_TO_STD)


def blur_downsample(shape: Shape, scale: int, fwhm_px: float | None = None) -> Separable:
    """Gaussian PSF, then averages of scale x scale blocks.

    shape : (B, H, W) of the fine grid; fwhm_px : of the PSF in fine px, ``scale`` when not given
    Raises OperatorError if H or W is no multiple of ``scale``.
    """
    if scale < 1 or shape[1] % scale or shape[2] % scale:
        raise OperatorError(f"an image of {shape[1:]} cannot be cut into blocks of {scale}; crop it to multiples.")
    fwhm = scale if fwhm_px is None else fwhm_px
    profile = gaussian_profile(2 * psf_reach(fwhm) + 1, fwhm * FWHM_TO_STD)
    return Separable(shape[0], *(_mirrored_band(length, profile, scale) for length in shape[1:]))


def thin(shape: Shape, scale: int) -> Separable:
    """Bicubic samples on a grid ``scale`` times coarser, unblurred and so aliased; the corner pixels stay in place.

    shape : (B, H, W) of the fine grid. Sample i lies in block i, but moves from its first to its last pixel across the
    image: simulated coarse images of arXiv 2503.09131 are made so.
    Raises OperatorError if H or W is no multiple of ``scale``.
    """
    if scale < 1 or shape[1] % scale or shape[2] % scale:
        raise OperatorError(f"an image of {shape[1:]} cannot be cut into blocks of {scale}; crop it to multiples.")
    return Separable(shape[0], *(_bicubic(length, length // scale, corners=True) for length in shape[1:]))


def repeat(shape: Shape, scale: int) -> Separable:
    """Each pixel ``scale`` x ``scale`` times. shape : (B, H, W) of the coarse grid."""
    return Separable(
        shape[0], *(torch.eye(length, dtype=torch.float64).repeat_interleave(scale, dim=0) for length in shape[1:])
    )


def enlarge(shape: Shape, scale: int) -> Separable:
    """Bicubic interpolation on a grid ``scale`` times finer. shape : (B, H, W) of the coarse grid."""
    return Separable(shape[0], *(_bicubic(length, length * scale, corners=False) for length in shape[1:]))


def _bicubic(length: int, count: int, *, corners: bool) -> torch.Tensor:
    """(count, length) float64 matrix of bicubic interpolation; grids share their corner samples or their outline."""
    unit = torch.eye(length, dtype=torch.float64)[None, None]
    return functional.interpolate(unit, size=(count, length), mode="bicubic", align_corners=corners)[0, 0]


def gaussian_profile(side_px: int, std_px: float) -> torch.Tensor:
    """(side_px,) float64 Gaussian that adds to one."""
    if side_px < 1 or side_px % 2 == 0 or std_px <= 0:
        raise OperatorError(f"a Gaussian of {side_px} samples and {std_px} px; give an odd number and a width > 0.")
    place = torch.arange(side_px, dtype=torch.float64) - side_px // 2
    profile = torch.exp(-0.5 * (place / std_px) ** 2)
    return profile / profile.sum()


def gaussian_psf(side_px: int, std_px: float, ratio: float, angle_deg: float) -> torch.Tensor:
    """(side_px, side_px) float64 Gaussian that adds to one, narrower across its axis than along it.

    std_px : standard deviation along the axis; ratio : in (0, 1], of the one across to it
    angle_deg : of the axis against the columns' axis, as in ``motion_psf``
    """
    if side_px < 1 or side_px % 2 == 0 or std_px <= 0 or not 0 < ratio <= 1:
        raise OperatorError(
            f"a Gaussian of {side_px} samples, {std_px} px and ratio {ratio}; give an odd number, a width > 0 and a"
            " ratio above 0, at most 1."
        )
    place = torch.arange(side_px, dtype=torch.float64) - side_px // 2
    up, right = -place[:, None], place[None]
    sine, cosine = math.sin(math.radians(angle_deg)), math.cos(math.radians(angle_deg))
    along, across = right * cosine + up * sine, up * cosine - right * sine
    kernel = torch.exp(-0.5 * ((along / std_px) ** 2 + (across / (ratio * std_px)) ** 2))
    return kernel / kernel.sum()


def motion_psf(length_px: int, angle_deg: float) -> torch.Tensor:
    """(n, n) float64 kernel of a straight motion that adds to one; angle against the columns' axis."""
    side = length_px | 1
    kernel = torch.zeros(side, side, dtype=torch.float64)
    # Samples along the path, each shared by the four pixels around it.
    steps = torch.linspace(-(length_px - 1) / 2, (length_px - 1) / 2, 8 * length_px, dtype=torch.float64)
    row = side // 2 - steps * math.sin(math.radians(angle_deg))
    col = side // 2 + steps * math.cos(math.radians(angle_deg))
    for down in (0, 1):
        for across in (0, 1):
            r, c = row.floor() + down, col.floor() + across
            weight = (1 - (row - r).abs()) * (1 - (col - c).abs())
            inside = (r >= 0) & (r < side) & (c >= 0) & (c < side)
            kernel.index_put_((r[inside].long(), c[inside].long()), weight[inside], accumulate=True)
    return kernel / kernel.sum()


def _mirrored_band(length: int, profile: torch.Tensor, scale: int = 1) -> torch.Tensor:
    """(length / scale, length) matrix: convolve with ``profile``, then average each ``scale`` neighbours.

    Samples beyond the edge are mirrored at it.
    """
    # The mean of neighbouring rows of a convolution is one convolution with a longer profile.
    weights = torch.zeros(len(profile) + scale - 1, dtype=torch.float64)
    for shift in range(scale):
        weights[shift : shift + len(profile)] += profile / scale
    rows = torch.arange(length // scale)[:, None].expand(-1, len(weights))
    period = max(2 * (length - 1), 1)
    place = (rows * scale + torch.arange(len(weights)) - len(profile) // 2) % period
    place = torch.where(place >= length, period - place, place)
    matrix = torch.zeros(length // scale, length, dtype=torch.float64)
    return matrix.index_put_((rows, place), weights.expand(rows.shape), accumulate=True)
