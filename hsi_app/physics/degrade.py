"""Named degradations: the settings papers report, seeded, for tests, benchmarks, training and 'try it'."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from hsi_app.cube import Cube
from hsi_app.errors import OperatorError, ParameterError
from hsi_app.physics import noise as noises
from hsi_app.physics.operator import LinearOperator
from hsi_app.physics.spatial import Convolution, Mask, blur, blur_downsample, motion_psf

# Degradations act on data of about [0, 1]: stored values are divided by this percentile, and nothing is clipped.
SCALE_PERCENTILE = 99.9


@dataclass
class Scenery:
    """A cube on its way through degradations: values scaled to about [0, 1], what is observed, what was done."""

    values: torch.Tensor
    observed: torch.Tensor
    wavelengths_nm: np.ndarray | None
    operators: list[LinearOperator]
    scale: int = 1


Action = Callable[[Scenery, torch.Generator], None]


@dataclass(frozen=True)
class Kind:
    """A family of degradations: how its name is written, and what its number means."""

    pattern: str
    meaning: str
    build: Callable[[float], Action]
    example: float


@dataclass(frozen=True)
class Degradation:
    """A degradation ready to apply: ``name`` as the user wrote it, actions in order."""

    name: str
    actions: tuple[Action, ...]


@dataclass(frozen=True, eq=False)
class Degraded:
    """What ``degrade`` gives.

    observed : the degraded cube in the input's units, NaN where missing
    mask : (B, H, W) bool, True = observed, or None where everything is
    operator : the linear part, or None where there is only noise
    record : name, seed, scale; plain values
    """

    observed: Cube
    mask: np.ndarray | None
    operator: LinearOperator | None
    record: dict[str, Any]


def _add(model: noises.Noise) -> Action:
    def act(scene: Scenery, generator: torch.Generator) -> None:
        scene.values = model.apply(scene.values, generator)

    return act


def _mixed(case: float) -> Action:
    extras: dict[int, tuple[noises.Noise, ...]] = {
        1: (),
        2: (noises.Stripes(),),
        3: (noises.DeadLines(),),
        4: (noises.Impulses(),),
        5: (noises.Stripes(), noises.DeadLines(), noises.Impulses()),
    }
    if case not in extras:
        raise ParameterError(f"mixed-{case:g}: there are the cases 1 to 5; write for example mixed-4.")

    def act(scene: Scenery, generator: torch.Generator) -> None:
        for model in (noises.BandwiseGaussian(), *extras[int(case)]):
            scene.values = model.apply(scene.values, generator)

    return act


def _hide(draw: Callable[[torch.Size, torch.Generator], torch.Tensor]) -> Action:
    """Lose the samples where ``draw(shape, generator)`` is True (broadcast over the cube)."""

    def act(scene: Scenery, generator: torch.Generator) -> None:
        lost = draw(scene.values.shape, generator).expand(scene.values.shape)
        scene.observed = scene.observed & ~lost
        scene.operators.append(Mask(~lost))

    return act


def _lose_bands(share: float) -> Action:
    def draw(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
        lost = torch.zeros(shape[0], 1, 1, dtype=torch.bool)
        lost[torch.randperm(shape[0], generator=generator)[: int(share * shape[0])]] = True
        return lost

    return _hide(draw)


def _apply(make: Callable[[tuple[int, int, int]], LinearOperator]) -> Action:
    def act(scene: Scenery, generator: torch.Generator) -> None:
        bands, height, width = scene.values.shape
        operator = make((bands, height, width))
        scene.values = operator.forward(scene.values)
        scene.operators.append(operator)

    return act


def _coarsen(scale: float) -> Action:
    ratio = _whole("sr-x", scale, 2)

    def act(scene: Scenery, generator: torch.Generator) -> None:
        bands, height, width = scene.values.shape
        operator = blur_downsample((bands, height, width), ratio)
        scene.values = operator.forward(scene.values)
        # A coarse pixel is observed where all of its fine ones are.
        blocks = scene.observed.reshape(bands, height // ratio, ratio, width // ratio, ratio)
        scene.observed = blocks.all(dim=4).all(dim=2)
        scene.operators.append(operator)
        scene.scale *= ratio

    return act


def _gaussian_blur(side: float) -> Action:
    size = _whole("blur", side, 3)
    if size % 2 == 0:
        raise ParameterError(f"blur-{size}: the kernel needs an odd side; write blur-{size + 1}.")
    # OpenCV's rule, as in arXiv 2503.09131.
    std = 0.3 * ((size - 1) / 2 - 1) + 0.8
    return _apply(lambda shape: blur(shape, size, std))


def _haze(strength: float) -> Action:
    """Haze of a seeded fractal cirrus map, wavelength dependent (arXiv 2503.09131: gamma 1)."""
    _share("haze", strength)

    def act(scene: Scenery, generator: torch.Generator) -> None:
        bands, height, width = scene.values.shape
        cirrus = _fractal(height, width, generator)
        centres = scene.wavelengths_nm
        if centres is None:
            centres = np.linspace(400.0, 1000.0, bands)
        ratio = torch.as_tensor(centres[0] / centres, dtype=scene.values.dtype)[:, None, None]
        transmission = (1 - strength * cirrus).clamp_min(1e-10)[None] ** ratio
        flat = scene.values.reshape(bands, -1)
        count = max(1, flat.shape[1] // 10_000)
        airlight = flat.topk(count, dim=1).values.mean(dim=1)[:, None, None]
        scene.values = scene.values * transmission + airlight * (1 - transmission)

    return act


def _fractal(height: int, width: int, generator: torch.Generator) -> torch.Tensor:
    """(H, W) smooth random field in [0, 1] with a power spectrum f^-3, as clouds have."""
    spectrum = torch.fft.rfft2(torch.randn(height, width, generator=generator))
    rows, cols = torch.fft.fftfreq(height), torch.fft.rfftfreq(width)
    frequency = torch.sqrt(rows[:, None] ** 2 + cols[None] ** 2).clamp_min(1 / max(height, width))
    field = torch.fft.irfft2(spectrum * frequency**-1.5, s=(height, width))
    low, high = field.min(), field.max()
    return (field - low) / (high - low).clamp_min(1e-12)


def _share(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ParameterError(f"{name}-{value:g}: the number is a share; give 0 to 1.")
    return value


def _whole(name: str, value: float, least: int) -> int:
    if value != int(value) or value < least:
        raise ParameterError(f"{name}-{value:g}: give a whole number of at least {least}.")
    return int(value)


def _positive(name: str, value: float) -> float:
    if value <= 0:
        raise ParameterError(f"{name}-{value:g}: give a number above 0.")
    return value


def _drop(name: str, view: Callable[[torch.Size], tuple[int, ...]]) -> Callable[[float], Action]:
    def build(share: float) -> Action:
        _share(name, share)
        return _hide(lambda shape, generator: torch.rand(view(shape), generator=generator) < share)

    return build


KINDS = MappingProxyType(
    {
        "gauss": Kind(
            "gauss-SIGMA",
            "normal noise, standard deviation SIGMA / 255",
            lambda v: _add(noises.Gaussian(_positive("gauss", v) / 255)),
            50,
        ),
        "mixed": Kind(
            "mixed-CASE",
            "band-wise noise of 10 ... 70 / 255; case 2 adds stripes, 3 dead columns, 4 impulses, 5 all, each on"
            " a third of the bands",
            _mixed,
            4,
        ),
        "stripes": Kind(
            "stripes-AMPLITUDE",
            "columns of a third of the bands are offset by up to AMPLITUDE",
            lambda v: _add(noises.Stripes(_positive("stripes", v))),
            0.25,
        ),
        "poisson": Kind(
            "poisson-SCALE",
            "photon noise of SCALE photons at the brightest",
            lambda v: _add(noises.Poisson(_positive("poisson", v))),
            10,
        ),
        "inpaint": Kind(
            "inpaint-SHARE", "SHARE of all samples is missing", _drop("inpaint", lambda shape: tuple(shape)), 0.8
        ),
        "pixels": Kind(
            "pixels-SHARE", "SHARE of the pixels is missing in all bands",
            _drop("pixels", lambda shape: (1, shape[1], shape[2])), 0.5,
        ),
        "lines": Kind(
            "lines-SHARE", "SHARE of the columns is missing in all bands",
            _drop("lines", lambda shape: (1, 1, shape[2])), 0.1,
        ),
        "bandloss": Kind(
            "bandloss-SHARE", "SHARE of the bands is missing", lambda v: _lose_bands(_share("bandloss", v)), 0.2
        ),
        "sr-x": Kind("sr-xSCALE", "grid SCALE times coarser, Gaussian PSF of that width", _coarsen, 4),
        "blur": Kind("blur-SIDE", "Gaussian blur with a kernel of SIDE px", _gaussian_blur, 15),
        "motion": Kind(
            "motion-LENGTH",
            "motion blur of LENGTH px at 45 degrees",
            lambda v: _apply(lambda shape: Convolution(shape, motion_psf(_whole("motion", v, 2), 45))),
            15,
        ),
        "haze": Kind("haze-STRENGTH", "cirrus-like haze, 0 none to 1 opaque in places", _haze, 0.75),
    }
)  # fmt: skip


def list_degradations() -> dict[str, str]:
    """Example names and what they mean, for help texts; combine with '+': blur-15+gauss-10."""
    return {
        kind.pattern.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ") + f"{kind.example:g}": f"{kind.pattern}: {kind.meaning}"
        for kind in KINDS.values()
    }


def parse_degradation(name: str) -> Degradation:
    """Read a name such as 'gauss-50', 'sr-x4' or 'blur-15+gauss-10'.

    Raises ParameterError for an unknown name (with the nearest one) or a number that makes no sense.
    """
    actions = []
    for part in name.strip().lower().split("+"):
        prefix = "sr-x" if part.startswith("sr-x") else part.rpartition("-")[0]
        number = part.removeprefix(prefix).removeprefix("-")
        if prefix not in KINDS:
            near = difflib.get_close_matches(part, list_degradations(), n=1, cutoff=0.4)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ParameterError(f"no degradation '{part}'; there are: {', '.join(list_degradations())}.{hint}")
        try:
            value = float(number)
        except ValueError:
            raise ParameterError(f"'{part}' needs a number: {KINDS[prefix].pattern}.") from None
        actions.append(KINDS[prefix].build(value))
    return Degradation(name, tuple(actions))


def degrade(cube: Cube, name: str, seed: int = 0) -> Degraded:
    """Degrade a cube by a named setting.

    Parameters
    ----------
    cube : a cube, kept in memory; missing samples stay missing
    name : see ``list_degradations``; several joined by '+' act in that order
    seed : of the random numbers; same seed, same result

    Returns
    -------
    Degraded

    Raises
    ------
    ParameterError
        If the name is unknown or the cube's size does not suit it.
    """
    degradation = parse_degradation(name)
    values, valid = cube.block()
    peak = float(np.percentile(values[valid], SCALE_PERCENTILE)) if valid.any() else 1.0
    scale = peak if peak > 0 else 1.0
    scene = Scenery(torch.from_numpy(values / np.float32(scale)), torch.from_numpy(valid), cube.axis.centres_nm, [])
    generator = torch.Generator().manual_seed(seed)
    try:
        for action in degradation.actions:
            action(scene, generator)
    except OperatorError as error:
        raise ParameterError(f"'{name}' does not suit this cube: {error}") from None
    hides = any(isinstance(operator, Mask) for operator in scene.operators)
    stored = (scene.values * scale).numpy().astype(np.float32)
    observed = scene.observed.numpy()
    stored = np.where(observed, stored, np.float32(np.nan))
    operator: LinearOperator | None = None
    for step in scene.operators:
        operator = step if operator is None else step @ operator
    georef = cube.georef
    if georef is not None and scene.scale > 1:
        georef = georef.upsampled(1 / scene.scale)
    result = dataclasses.replace(
        cube, values=stored, valid=None, nodata=None, georef=georef, history=(*cube.history, f"degraded by {name}")
    )
    record = {"name": name, "seed": seed, "scale": scale, "grid_ratio": scene.scale,
              "missing_share": float(1 - observed.mean())}  # fmt: skip
    return Degraded(result, observed if hides else None, operator, record)
