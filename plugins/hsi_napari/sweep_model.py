"""One option tried with several values on a small region: what each leaves, and what it takes away; knows no window."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.errors import Cancelled, HsiError, ParameterError
from hsi_app.jobs import Job
from hsi_app.params import Option
from hsi_app.recipe import Recipe

if TYPE_CHECKING:
    from hsi_app.cube import Cube
    from hsi_app.report.findings import Findings
    from hsi_app.runner import Result, Settings
    from hsi_app.tiling import Window

MOST = 12
# A range without a number of values has this many.
_USUAL = 5
_RANGE = re.compile(r"(?P<first>[-+.\deE]+?)\s*(?:\.\.|…|to)\s*(?P<last>[-+.\deE]+?)(?:\s*(?:/|in)\s*(?P<count>\d+))?")
# Neighbours of what was removed that agree more than this show a picture, not grain; stripes do so too.
SCENE_LOSS = 0.3
STRETCH_PERCENT = (1.0, 99.0)


@dataclass(frozen=True, eq=False)
class Trial:
    """What one value gave.

    value : of the option; None for the region as it was
    result : of the run; None where it failed, problem says why
    change : size of what was removed beside the signal, median band, [0, inf); NaN where nothing was measured
    structure : correlation of what was removed between neighbours, median band, [-1, 1]; 0 is grain, 1 a picture
    """

    value: Any
    cube: Cube | None
    result: Result | None = None
    change: float = math.nan
    structure: float = math.nan
    seconds: float = 0.0
    problem: str = ""

    @property
    def loses_scene(self) -> bool:
        """True where what was removed looks like the scene, or like stripes."""
        return self.structure > SCENE_LOSS

    def figures(self) -> str:
        """'removed 3.2 %, structure 0.05'."""
        if self.problem:
            return "failed"
        if self.value is None:
            return "as it was"
        if not math.isfinite(self.change):
            return ""
        grain = f" · {self.structure:+.2f}" if math.isfinite(self.structure) else ""
        return f"−{100 * self.change:.2g} %{grain}"


def can_sweep(option: Option) -> bool:
    """True for options of which values can be listed."""
    return option.kind in ("int", "float", "choice", "bool")


def suggested(option: Option, current: Any) -> str:
    """A text of values worth trying, the current one among them where it is known."""
    if option.kind == "choice":
        return ", ".join(option.choices)
    if option.kind == "bool":
        return "off, on"
    base = current if current is not None else option.default
    if base is None:
        top = option.upper if option.upper is not None and math.isfinite(option.upper) else 10.0
        base = 8 if option.kind == "int" else top / 10
    if base == 0:
        top = option.upper if option.upper is not None and math.isfinite(option.upper) else 1.0
        values = [top * share for share in (0, 0.25, 0.5, 1)]
    else:
        values = [base * factor for factor in (0.25, 0.5, 1, 2, 4)]
    clipped = (_clipped(option, value) for value in values)
    return ", ".join(words(value) for value in _distinct([value for value in clipped if _is_inside(option, value)]))


def values_of(option: Option, text: str) -> list[Any]:
    """The values in a text: a list 'a, b, c', or a range 'a..b' or 'a..b / n'.

    Raises
    ------
    ParameterError
        If something in it is no value of the option, or there are fewer than 2 or more than 12.
    """
    whole = _RANGE.fullmatch(text.strip())
    if whole and option.kind in ("int", "float"):
        first, last = (float(_number(option, whole[end])) for end in ("first", "last"))
        count = int(whole["count"] or _USUAL)
        if not 2 <= count <= MOST:
            raise ParameterError(f"{count} values of {option.cli_name}; try 2 to {MOST}.")
        spaced = np.linspace(first, last, count)
        found = [round(value) if option.kind == "int" else float(f"{value:.6g}") for value in spaced]
    else:
        found = [_value(option, part.strip()) for part in re.split(r"[,;]", text) if part.strip()]
    found = _distinct(found)
    if not 2 <= len(found) <= MOST:
        raise ParameterError(
            f"{len(found)} different values of {option.cli_name}; try 2 to {MOST}, for example 1, 2, 4."
        )
    return found


def words(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def carry_out(
    cube: Cube,
    window: Window,
    mask: np.ndarray | None,
    recipe: Recipe,
    settings: Settings,
    option: str,
    values: Sequence[Any],
    job: Job,
    give: Callable[[Trial], None],
) -> int:
    """Restore the region with each value; ``give`` is called with a Trial as soon as it is there, the original first.

    A value that cannot be used leaves a Trial with its problem. Returns how many worked. Raises Cancelled.
    """
    from hsi_app.report.findings import examine
    from hsi_app.runner import restore

    region = cube.crop(window)
    seen = mask if mask is None else mask[(..., *window.slices)]
    give(Trial(None, region))
    step, worked = recipe.steps[0], 0
    for n, value in enumerate(values):
        part = job.part(n / len(values), 1 / len(values))
        part.step(0.0, f"{option} {words(value)} ({n + 1} of {len(values)})")
        began = job.elapsed_s
        try:
            given = {**step.params, option: value}
            result = restore(region, step.method, given, settings, mask=seen, job=part)
        except Cancelled:
            raise
        except (HsiError, MemoryError) as error:
            give(Trial(value, None, problem=str(error)))
            continue
        worked += 1
        found = examine(result)
        change, structure = _median(found, found.change), _median(found, found.structure)
        give(Trial(value, result.cube, result, change, structure, job.elapsed_s - began))
    job.step(1.0, "done")
    return worked


def limits_of(region: Cube, bands: Sequence[int]) -> list[tuple[float, float]]:
    """Lowest and highest value shown of each band, from the region as it was; the same for all pictures of a sheet."""
    found = []
    for band in bands:
        values, valid = region.block(None, [band])
        seen = values[valid]
        low, high = np.percentile(seen, STRETCH_PERCENT) if seen.size else (0.0, 1.0)
        found.append((float(low), float(high if high > low else low + 1.0)))
    return found


def picture(cube: Cube, bands: Sequence[int], limits: Sequence[tuple[float, float]]) -> np.ndarray:
    """(h, w, 3) uint8 of one band (grey) or three; black where missing."""
    values, valid = cube.block(None, list(bands))
    channels = [
        np.where(seen, np.clip((band - low) / (high - low), 0, 1) * 255, 0).astype(np.uint8)
        for band, seen, (low, high) in zip(values, valid, limits, strict=True)
    ]
    return np.stack(channels if len(channels) == 3 else channels[:1] * 3, axis=-1)


def _median(found: Findings, column: np.ndarray) -> float:
    values = column[found.worked & np.isfinite(column)]
    return float(np.median(values)) if values.size else math.nan


def _clipped(option: Option, value: float) -> Any:
    low = -math.inf if option.lower is None else option.lower
    high = math.inf if option.upper is None else option.upper
    value = min(max(value, low), high)
    return round(value) if option.kind == "int" else float(f"{value:.6g}")


def _value(option: Option, text: str) -> Any:
    if option.kind == "choice":
        if text not in option.choices:
            raise ParameterError(f"{option.cli_name} '{text}' is none of {', '.join(option.choices)}.")
        return text
    if option.kind == "bool":
        if text.lower() not in ("on", "off", "true", "false", "yes", "no"):
            raise ParameterError(f"{option.cli_name} '{text}' is neither on nor off.")
        return text.lower() in ("on", "true", "yes")
    return _number(option, text)


def _number(option: Option, text: str) -> Any:
    try:
        value = int(text) if option.kind == "int" else float(text)
    except ValueError:
        what = "whole number" if option.kind == "int" else "number"
        raise ParameterError(f"{option.cli_name} '{text}' is no {what}; write 1, 2, 4 or 1..4 / 4.") from None
    if not _is_inside(option, value):
        raise ParameterError(f"{option.cli_name} {text} lies outside {option.range_text}.")
    return value


def _is_inside(option: Option, value: float) -> bool:
    low, high = option.lower, option.upper
    is_low = low is not None and (value < low or (option.lower_open and value == low))
    is_high = high is not None and (value > high or (option.upper_open and value == high))
    return math.isfinite(value) and not is_low and not is_high


def _distinct(values: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
