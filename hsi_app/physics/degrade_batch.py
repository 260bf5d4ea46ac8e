"""Degradations of a batch, for training: settings drawn at random, and each sample degraded by its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from hsi_app.errors import ParameterError
from hsi_app.physics.degrade import Action, Scenery, Step, carry_out, parse_degradation
from hsi_app.physics.noise import Number


@dataclass(frozen=True, eq=False)
class BatchDegraded:
    """What ``degrade_batch`` gives.

    observed : (N, B, h, w), 0 where missing; h and w are smaller than H and W where the names ask for a coarser grid
    mask : (N, B, h, w) bool, True = observed
    record : names and how many times coarser the grid is; plain values
    """

    observed: torch.Tensor
    mask: torch.Tensor
    record: dict[str, Any]


def degrade_batch(
    cubes: torch.Tensor,
    names: Sequence[str],
    generator: torch.Generator,
    wavelengths_nm: Sequence[float] | np.ndarray | None = None,
) -> BatchDegraded:
    """Degrade each cube of a batch by its own named setting.

    Samples whose names are of the same kinds are degraded together, each with its own numbers, in the order in which
    the kinds first appear; so what a sample draws depends on its neighbours as well as on the generator. A batch of one
    gets what ``degrade`` gives for the same scaled values.

    Parameters
    ----------
    cubes : (N, B, H, W) float tensor on any device, scaled to about [0, 1], nothing missing; it is not changed
    names : one for each sample; see ``list_degradations``
    generator : of all random numbers; they are drawn on its device
    wavelengths_nm : (B,) band centres of all samples, for haze; 400 to 1000 nm where not given

    Returns
    -------
    BatchDegraded, on the device of ``cubes``; nothing is clipped.

    Raises
    ------
    ParameterError
        If the shapes do not fit, a name is unknown or does not suit the size, or the samples end on different grids.
    """
    if cubes.ndim != 4 or not cubes.is_floating_point() or not len(cubes):
        raise ParameterError(f"a batch of {cubes.dtype} and shape {tuple(cubes.shape)}; give floats (N, B, H, W).")
    if len(names) != len(cubes):
        raise ParameterError(f"{len(names)} names for {len(cubes)} cubes; give one for each.")
    centres = None if wavelengths_nm is None else np.asarray(wavelengths_nm, dtype=float)
    if centres is not None and centres.shape != cubes.shape[1:2]:
        raise ParameterError(f"{centres.size} wavelengths for {cubes.shape[1]} bands; give one for each.")
    groups: dict[tuple[object, ...], list[int]] = {}
    steps = [parse_degradation(name).steps for name in names]
    for sample, own in enumerate(steps):
        groups.setdefault(tuple(_family(step) for step in own), []).append(sample)
    scenes = []
    for members in groups.values():
        values = cubes[members]
        scene = Scenery(values, torch.ones_like(values, dtype=torch.bool), centres, [])
        together = [_join(alike) for alike in zip(*(steps[sample] for sample in members), strict=True)]
        carry_out(scene, together, generator, names[members[0]])
        scenes.append(scene)
    grids = {tuple(scene.values.shape[2:]) for scene in scenes}
    if len(grids) > 1:
        sizes = " and ".join(f"{height} x {width}" for height, width in sorted(grids))
        raise ParameterError(
            f"the samples end on grids of {sizes} px, which do not stack; give all the same scale, or go back to the"
            " full grid as in sr-x4+repeat-x4."
        )
    # Samples back in the order in which they came.
    order = torch.tensor([sample for members in groups.values() for sample in members]).argsort().to(cubes.device)
    mask = torch.cat([scene.observed for scene in scenes])[order]
    observed = torch.where(mask, torch.cat([scene.values for scene in scenes])[order], 0)
    return BatchDegraded(observed, mask, {"names": list(names), "grid_ratio": scenes[0].scale})


def _family(step: Step) -> tuple[object, ...]:
    """Equal for steps that one action can do."""
    return (step.kind.stem, *(() if step.kind.varies else step.numbers))


def _join(alike: Sequence[Step]) -> Action:
    """One action for steps of one family, a sample each."""
    numbers: list[Number] = []
    for column in zip(*(step.numbers for step in alike), strict=True):
        same = len(set(column)) == 1
        numbers.append(column[0] if same else torch.tensor(column, dtype=torch.float64))
    return alike[0].kind.build(*numbers)


def draw_setting(task: str, generator: torch.Generator, side_px: int | None = None) -> str:
    """Draw a degradation of a task, with numbers from the ranges of training.

    The ranges hold those of arXiv 2503.09131 and reach beyond them, so that a network is sure of itself at their ends.

    Parameters
    ----------
    task : one of ``TASKS``
    generator : of the random numbers; best on the CPU, where a number costs no waiting
    side_px : of the square patches; scales of 'sr' that do not divide it are not drawn. None = all of 2, 3, 4, 8

    Returns
    -------
    str, a name for ``degrade`` or ``degrade_batch``; always one that keeps the size of the image.

    Raises ParameterError for an unknown task, or where no scale divides ``side_px``.

    >>> draw_setting("gauss", torch.Generator().manual_seed(0))
    'gauss-39.7'
    """
    if task not in _SETTINGS:
        raise ParameterError(f"no task '{task}'; there are: {', '.join(_SETTINGS)}.")
    if task == "sr":
        return _draw_sr(_Draw(generator), side_px)
    return _SETTINGS[task](_Draw(generator))


@dataclass(frozen=True)
class _Draw:
    """Numbers for names."""

    generator: torch.Generator

    def number(self, low: float, high: float) -> str:
        """Uniform in low ... high, to three digits."""
        drawn = float(torch.rand(1, generator=self.generator, device=self.generator.device))
        return f"{low + (high - low) * drawn:.3g}"

    def one_of(self, values: Sequence[Any]) -> Any:
        """Each alike."""
        return values[int(torch.randint(len(values), (1,), generator=self.generator, device=self.generator.device))]


def _draw_complex(draw: _Draw) -> str:
    """One extra as published twice as often as none or all; in three of ten on all bands, not on a third."""
    on = draw.one_of(["", "", "", "", "", "", "", "@1", "@1", "@1"])
    return f"mixed-{draw.one_of([1, 2, 2, 3, 3, 4, 4, 5])}{on}"


def _draw_blur(draw: _Draw) -> str:
    side = draw.one_of([7, 9, 11, 15, 21])
    return f"blur-{side}" + draw.one_of(["", f"@{draw.number(0.3, 1)}@{draw.number(0, 180)}"])


def _draw_sr(draw: _Draw, side_px: int | None = None) -> str:
    """Scale 8, where little is left, half as often; aliased or blurred before, repeated or interpolated after."""
    scales = [scale for scale in (2, 2, 3, 3, 4, 4, 8) if side_px is None or side_px % scale == 0]
    if not scales:
        raise ParameterError(f"patches of {side_px} px: no scale of 2, 3, 4 or 8 divides that; give a multiple.")
    scale = draw.one_of(scales)
    # Not thin with enlarge: their grids differ by up to half a block, a shift that no network should learn to undo.
    return draw.one_of(["thin-x{0}+repeat-x{0}", "sr-x{0}+repeat-x{0}", "sr-x{0}+enlarge-x{0}"]).format(scale)


def _draw_inpaint(draw: _Draw) -> str:
    """Half of them samples on their own, as published."""
    scattered = f"inpaint-{draw.number(0.5, 0.95)}"
    others = [f"pixels-{draw.number(0.5, 0.95)}", f"lines-{draw.number(0.05, 0.3)}"]
    blocks = f"blocks-{draw.number(0.1, 0.4)}@{draw.one_of([4, 8, 16])}"
    return draw.one_of([scattered, scattered, scattered, *others, blocks])


_SETTINGS: MappingProxyType[str, Callable[[_Draw], str]] = MappingProxyType(
    {
        "gauss": lambda draw: f"gauss-{draw.number(5, 75)}",
        "complex": _draw_complex,
        "blur": _draw_blur,
        "sr": _draw_sr,
        "inpaint": _draw_inpaint,
        "haze": lambda draw: f"haze-{draw.number(0.3, 1)}@{draw.number(0.5, 2)}",
        "bandloss": lambda draw: f"{draw.one_of(['bandloss', 'bandrun'])}-{draw.number(0.1, 0.3)}",
        "motion": lambda draw: f"motion-{draw.one_of(range(7, 22))}@{draw.number(0, 180)}",
        "poisson": lambda draw: f"poisson-{draw.number(5, 60)}",
    }
)
TASKS = tuple(_SETTINGS)
