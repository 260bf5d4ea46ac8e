"""Named degradations: the settings papers report, seeded, for tests, benchmarks, training and 'try it'."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from hsi_app.cube import Cube
from hsi_app.errors import OperatorError, ParameterError
from hsi_app.physics import noise as noises
from hsi_app.physics.noise import Number, per_sample, shuffled_bands
from hsi_app.physics.operator import LinearOperator, Shape
from hsi_app.physics.spatial import (
    Convolution,
    Mask,
    blur,
    blur_downsample,
    enlarge,
    gaussian_psf,
    motion_psf,
    repeat,
    thin,
)

# Degradations act on data of about [0, 1]: stored values are divided by this percentile, and nothing is clipped.
SCALE_PERCENTILE = 99.9


@dataclass
class Scenery:
    """A batch of cubes on its way through degradations; a cube alone is a batch of one.

    values : (N, B, H, W), scaled to about [0, 1]
    observed : (N, B, H, W) bool
    wavelengths_nm : (B,) or None
    operators : what was applied, each on the N * B bands of the batch in one stack; of a cube alone, on the cube
    scale : how many times coarser the grid has become
    """

    values: torch.Tensor
    observed: torch.Tensor
    wavelengths_nm: np.ndarray | None
    operators: list[LinearOperator]
    scale: int = 1


Action = Callable[[Scenery, torch.Generator], None]


@dataclass(frozen=True)
class Field:
    """A number in the name of a degradation.

    label : how patterns call it; allows : whether it may have a value; need : that in words
    default : where it is left out; None = it must be given
    """

    label: str
    allows: Callable[[float], bool]
    need: str
    default: float | None = None


@dataclass(frozen=True)
class Kind:
    """A family of degradations: how its names are written, what their numbers mean, and what they do.

    stem : what its names begin with; fields : the numbers that follow, between '@'
    build : makes the action from one number for each field
    varies : whether ``build`` also takes (N,) float64 tensors, a number for each sample of a batch
    """

    stem: str
    fields: tuple[Field, ...]
    meaning: str
    example: str
    build: Callable[..., Action]
    varies: bool = False

    @property
    def pattern(self) -> str:
        """How a name is written, such as motion-LENGTH[@ANGLE]."""
        first, *others = self.fields
        return self.stem + first.label + "".join(f"[@{field.label}]" for field in others)


@dataclass(frozen=True)
class Step:
    """One part of a name: its kind, and a number for each of the kind's fields."""

    kind: Kind
    numbers: tuple[float, ...]


@dataclass(frozen=True)
class Degradation:
    """A degradation ready to apply: ``name`` as the user wrote it, steps in order."""

    name: str
    steps: tuple[Step, ...]

    @property
    def actions(self) -> tuple[Action, ...]:
        """What the steps do to a cube, or alike to each cube of a batch."""
        return tuple(step.kind.build(*step.numbers) for step in self.steps)


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


def _add(*models: noises.Noise) -> Action:
    def act(scene: Scenery, generator: torch.Generator) -> None:
        for model in models:
            scene.values = model.apply(scene.values, generator)

    return act


def _mixed(case: float, one_in: float) -> Action:
    every = int(one_in)
    stripes, dead = noises.Stripes(one_in=every), noises.DeadLines(one_in=every)
    impulses = noises.Impulses(one_in=every)
    extras: dict[int, tuple[noises.Noise, ...]] = {
        1: (), 2: (stripes,), 3: (dead,), 4: (impulses,), 5: (stripes, dead, impulses)
    }  # fmt: skip
    return _add(noises.BandwiseGaussian(), *extras[int(case)])


def _hide(draw: Callable[[torch.Size, torch.Generator], torch.Tensor]) -> Action:
    """Lose the samples where ``draw((N, B, H, W), generator)`` is True (broadcast over the batch)."""

    def act(scene: Scenery, generator: torch.Generator) -> None:
        lost = draw(scene.values.shape, generator).to(scene.values.device).expand(scene.values.shape)
        scene.observed = scene.observed & ~lost
        scene.operators.append(Mask(~lost.flatten(0, 1)))

    return act


def _drop(axes: str) -> Callable[[Number], Action]:
    """Lose a share of what is told apart along ``axes``, a part of 'BHW'; the other axes share it."""

    def build(share: Number) -> Action:
        def draw(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
            view = [size if name in f"N{axes}" else 1 for name, size in zip("NBHW", shape, strict=True)]
            drawn = torch.rand(view, generator=generator, device=generator.device)
            return drawn < per_sample(share, drawn)

        return _hide(draw)

    return build


def _drop_blocks(share: float, side_px: float) -> Action:
    def draw(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
        samples, _, *lengths = shape
        side, device = int(side_px), generator.device
        cells = [length // side + 2 for length in lengths]
        lost = torch.rand((samples, *cells), generator=generator, device=device) < share
        # The grid of blocks begins anywhere, so that a block's place tells nothing.
        starts = torch.randint(side, (samples, 2), generator=generator, device=device)
        rows, cols = (
            (starts[:, i, None] + torch.arange(length, device=device)) // side for i, length in enumerate(lengths)
        )
        sample = torch.arange(samples, device=device)[:, None, None]
        return lost[sample, rows[:, :, None], cols[:, None]][:, None]

    return _hide(draw)


def _lost_count(share: Number, bands: int) -> torch.Tensor:
    """(N, 1) or (1, 1) int64, int(share * B)."""
    return (torch.as_tensor(share, dtype=torch.float64) * bands).long().reshape(-1, 1)


def _lose_bands(share: Number) -> Action:
    def draw(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
        samples, bands = shape[:2]
        order = shuffled_bands(samples, bands, generator)
        first = torch.arange(bands, device=order.device) < _lost_count(share, bands).to(order.device)
        lost = torch.zeros(samples, bands, dtype=torch.bool, device=order.device)
        return lost.scatter(1, order, first.expand(samples, bands))[:, :, None, None]

    return _hide(draw)


def _lose_run(share: Number) -> Action:
    def draw(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
        samples, bands = shape[:2]
        count = _lost_count(share, bands).to(generator.device)
        drawn = torch.rand((samples, 1), generator=generator, device=generator.device)
        # min: in float32 a number next to 1 times the count of places may round up to it.
        start = torch.minimum((drawn * (bands - count + 1)).long(), bands - count)
        band = torch.arange(bands, device=generator.device)
        return ((band >= start) & (band < start + count))[:, :, None, None]

    return _hide(draw)


def _apply(make: Callable[[Shape], LinearOperator]) -> Action:
    """Act by a linear operator that treats all bands alike, so that a batch is one stack of bands."""

    def act(scene: Scenery, generator: torch.Generator) -> None:
        samples, bands, height, width = scene.values.shape
        operator = make((samples * bands, height, width))
        scene.values = operator.forward(scene.values.flatten(0, 1)).unflatten(0, (samples, bands))
        scene.operators.append(operator)

    return act


def _coarsen(make: Callable[[Shape, int], LinearOperator]) -> Callable[[float], Action]:
    def build(scale: float) -> Action:
        ratio = int(scale)
        to_coarse = _apply(lambda shape: make(shape, ratio))

        def act(scene: Scenery, generator: torch.Generator) -> None:
            to_coarse(scene, generator)
            # A coarse pixel is observed where all of its fine ones are.
            scene.observed = scene.observed.unflatten(3, (-1, ratio)).unflatten(2, (-1, ratio)).all(dim=5).all(dim=3)
            scene.scale *= ratio

        return act

    return build


def _refine(make: Callable[[Shape, int], LinearOperator]) -> Callable[[float], Action]:
    def build(scale: float) -> Action:
        ratio = int(scale)
        to_fine = _apply(lambda shape: make(shape, ratio))

        def act(scene: Scenery, generator: torch.Generator) -> None:
            if scene.scale % ratio:
                raise OperatorError(
                    f"a grid {scene.scale} times coarser than the cube's cannot be refined {ratio} times;"
                    f" make it coarser before, as in sr-x{ratio}+repeat-x{ratio}."
                )
            to_fine(scene, generator)
            scene.observed = scene.observed.repeat_interleave(ratio, dim=2).repeat_interleave(ratio, dim=3)
            scene.scale //= ratio

        return act

    return build


def blur_std(side_px: int) -> float:
    """Standard deviation of a Gaussian kernel of ``side_px``, px: OpenCV's rule, as in arXiv 2503.09131."""
    return 0.3 * ((side_px - 1) / 2 - 1) + 0.8


def _gaussian_blur(side: float, ratio: float, angle: float) -> Action:
    size = int(side)
    if ratio == 1:
        return _apply(lambda shape: blur(shape, size, blur_std(size)))
    return _apply(lambda shape: Convolution(shape, gaussian_psf(size, blur_std(size), ratio, angle)))


def _motion_blur(length: float, angle: float) -> Action:
    return _apply(lambda shape: Convolution(shape, motion_psf(int(length), angle)))


def _haze(strength: Number, gamma: Number) -> Action:
    """Haze of a seeded fractal cirrus map c, weaker at long wavelengths (arXiv 2503.09131: gamma 1).

    y_b = x_b t_b + A_b (1 - t_b) with t_b = (1 - strength c) ** (shortest wavelength / wavelength_b) ** gamma, A_b the
    mean of the brightest 0.01 % of band b.
    """

    def act(scene: Scenery, generator: torch.Generator) -> None:
        samples, bands, height, width = scene.values.shape
        cirrus = _fractal((samples, height, width), generator).to(scene.values.device)
        centres = scene.wavelengths_nm
        if centres is None:
            centres = np.linspace(400.0, 1000.0, bands)
        ratio = torch.as_tensor(centres.min() / centres, dtype=torch.float64)[None, :, None, None]
        power = (ratio ** per_sample(gamma, ratio)).to(scene.values)
        thinnest = (1 - per_sample(strength, cirrus) * cirrus).clamp_min(1e-10)
        transmission = thinnest.to(scene.values.dtype)[:, None] ** power
        flat = scene.values.flatten(2)
        count = max(1, flat.shape[2] // 10_000)
        airlight = flat.topk(count, dim=2).values.mean(dim=2)[:, :, None, None]
        scene.values = scene.values * transmission + airlight * (1 - transmission)

    return act


def _fractal(shape: tuple[int, int, int], generator: torch.Generator) -> torch.Tensor:
    """(N, H, W) smooth random fields in [0, 1] with a power spectrum f^-3, as clouds have."""
    _, height, width = shape
    device = generator.device
    spectrum = torch.fft.rfft2(torch.randn(shape, generator=generator, device=device))
    rows, cols = torch.fft.fftfreq(height, device=device), torch.fft.rfftfreq(width, device=device)
    frequency = torch.sqrt(rows[:, None] ** 2 + cols[None] ** 2).clamp_min(1 / max(height, width))
    field = torch.fft.irfft2(spectrum * frequency**-1.5, s=(height, width))
    low, high = field.amin((1, 2), keepdim=True), field.amax((1, 2), keepdim=True)
    return (field - low) / (high - low).clamp_min(1e-12)


def _above_zero(label: str, default: float | None = None) -> Field:
    return Field(label, lambda value: value > 0, "a number above 0", default)


def _share(label: str = "SHARE") -> Field:
    return Field(label, lambda value: 0 <= value <= 1, "a share of 0 to 1")


def _whole(label: str, least: int, default: float | None = None) -> Field:
    return Field(label, lambda value: value == int(value) >= least, f"a whole number of at least {least}", default)


def _angle(default: float) -> Field:
    return Field("ANGLE", lambda value: True, "degrees", default)


_CASE = Field("CASE", lambda value: value in (1, 2, 3, 4, 5), "a case, 1 to 5")
_SIDE = Field("SIDE", lambda value: value >= 3 and value % 2 == 1, "an odd whole number of at least 3")
_RATIO = Field("RATIO", lambda value: 0 < value <= 1, "a ratio above 0, at most 1", 1)

KINDS = MappingProxyType({kind.stem: kind for kind in (
    Kind("gauss-", (_above_zero("SIGMA"),), "normal noise, standard deviation SIGMA / 255", "gauss-50",
         lambda sigma: _add(noises.Gaussian(sigma / 255)), varies=True),
    Kind("mixed-", (_CASE, _whole("ONE_IN", 1, noises.ONE_BAND_IN)),
         "band-wise noise of 10 ... 70 / 255; case 2 adds stripes, 3 dead columns, 4 impulses, 5 all, each on one band"
         " in ONE_IN (3)", "mixed-4", _mixed),
    Kind("stripes-", (_above_zero("AMPLITUDE"),), "columns of a third of the bands are offset by up to AMPLITUDE",
         "stripes-0.25", lambda amplitude: _add(noises.Stripes(amplitude)), varies=True),
    Kind("poisson-", (_above_zero("SCALE"),), "photon noise of SCALE photons at the brightest", "poisson-10",
         lambda scale: _add(noises.Poisson(scale)), varies=True),
    Kind("inpaint-", (_share(),), "SHARE of all samples is missing", "inpaint-0.8", _drop("BHW"), varies=True),
    Kind("pixels-", (_share(),), "SHARE of the pixels is missing in all bands", "pixels-0.5", _drop("HW"), varies=True),
    Kind("lines-", (_share(),), "SHARE of the columns is missing in all bands", "lines-0.1", _drop("W"), varies=True),
    Kind("blocks-", (_share(), _whole("SIDE", 1, 8)), "SHARE of the squares of SIDE (8) px is missing in all bands",
         "blocks-0.2", _drop_blocks),
    Kind("bandloss-", (_share(),), "SHARE of the bands is missing", "bandloss-0.2", _lose_bands, varies=True),
    Kind("bandrun-", (_share(),), "a run of neighbouring bands, SHARE of all, is missing", "bandrun-0.2", _lose_run,
         varies=True),
    Kind("sr-x", (_whole("SCALE", 2),), "grid SCALE times coarser, Gaussian PSF of that width", "sr-x4",
         _coarsen(blur_downsample)),
    Kind("thin-x", (_whole("SCALE", 2),), "grid SCALE times coarser, bicubic samples without any blur", "thin-x4",
         _coarsen(thin)),
    Kind("repeat-x", (_whole("SCALE", 2),), "after a coarser grid: its pixels repeated SCALE times each way",
         "sr-x4+repeat-x4", _refine(repeat)),
    Kind("enlarge-x", (_whole("SCALE", 2),), "after a coarser grid: bicubic interpolation, SCALE times finer",
         "sr-x4+enlarge-x4", _refine(enlarge)),
    Kind("blur-", (_SIDE, _RATIO, _angle(0)), "Gaussian blur with a kernel of SIDE px, narrower by RATIO (1) across the"
         " direction ANGLE (0 degrees)", "blur-15", _gaussian_blur),
    Kind("motion-", (_whole("LENGTH", 2), _angle(45)), "motion blur of LENGTH px at ANGLE (45) degrees", "motion-15",
         _motion_blur),
    Kind("haze-", (_share("STRENGTH"), _above_zero("GAMMA", 1)), "cirrus-like haze, 0 none to 1 opaque in places,"
         " fading with wavelength to the power GAMMA (1)", "haze-0.75", _haze, varies=True),
)})  # fmt: skip


def list_degradations() -> dict[str, str]:
    """Example names and what they mean, for help texts; combine with '+': blur-15+gauss-10."""
    return {kind.example: f"{kind.pattern}: {kind.meaning}" for kind in KINDS.values()}


def parse_degradation(name: str) -> Degradation:
    """Read a name such as 'gauss-50', 'sr-x4', 'motion-15@30' or 'blur-15+gauss-10'.

    Raises ParameterError for an unknown name (with the nearest one) or a number that makes no sense.
    """
    return Degradation(name, tuple(_read_step(part) for part in name.strip().lower().split("+")))


def _read_step(part: str) -> Step:
    found = re.match("[a-z]+-x?", part)
    if found is None or found[0] not in KINDS:
        near = difflib.get_close_matches(part, list_degradations(), n=1, cutoff=0.4)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ParameterError(f"no degradation '{part}'; there are: {', '.join(list_degradations())}.{hint}")
    kind = KINDS[found[0]]
    try:
        given = [float(number) for number in part[found.end() :].split("@")]
    except ValueError:
        raise ParameterError(f"'{part}' needs a number: {kind.pattern}.") from None
    if len(given) > len(kind.fields):
        raise ParameterError(f"'{part}' has {len(given)} numbers: {kind.pattern}.")
    for field, value in zip(kind.fields, given, strict=False):
        if not math.isfinite(value) or not field.allows(value):
            raise ParameterError(f"'{part}': {field.label} is {value:g}; give {field.need}.")
    left_out = [field.default for field in kind.fields[len(given) :]]
    return Step(kind, (*given, *(value for value in left_out if value is not None)))


def carry_out(scene: Scenery, actions: Iterable[Action], generator: torch.Generator, name: str) -> None:
    """Carry actions out in order; raises ParameterError where the cube's size does not suit them."""
    try:
        for action in actions:
            action(scene, generator)
    except OperatorError as error:
        raise ParameterError(f"'{name}' does not suit this cube: {error}") from None


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
    scaled, known = torch.from_numpy(values / np.float32(scale)), torch.from_numpy(valid)
    scene = Scenery(scaled[None], known[None], cube.axis.centres_nm, [])
    carry_out(scene, degradation.actions, torch.Generator().manual_seed(seed), name)
    hides = any(isinstance(operator, Mask) for operator in scene.operators)
    stored = (scene.values[0] * scale).numpy().astype(np.float32)
    observed = scene.observed[0].numpy()
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
