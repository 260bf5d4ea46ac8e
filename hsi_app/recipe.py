"""A recipe: the steps of a restoration as a small TOML file that the viewer saves and the command line replays."""

from __future__ import annotations

import json
import re
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hsi_app.errors import FormatError, ParameterError
from hsi_app.files import write_text
from hsi_app.methods.registry import method as find_method
from hsi_app.optics import BLURRED_TASKS, SCALED_TASKS, optics_of
from hsi_app.record import steps_of

if TYPE_CHECKING:
    import numpy as np

    from hsi_app.cube import Cube
    from hsi_app.jobs import Job
    from hsi_app.runner import Result, Settings

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Step:
    """One method applied: its id, the task (None: the method's first), and the options that were given."""

    method: str
    task: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a result, beside the data themselves.

    Parameters
    ----------
    steps : the methods, in order
    seed, bad_bands, keep_observed, tile : as in ``runner.Settings``, for every step
    scale, psf_fwhm : as in ``runner.Settings``, for the steps whose task they belong to

    Raises
    ------
    ParameterError
        If there is no step, a method, task or option does not exist, or scale or blur do not suit the tasks.
    """

    steps: tuple[Step, ...]
    seed: int = 0
    bad_bands: Literal["keep", "restore"] = "keep"
    keep_observed: bool | None = None
    tile: int | None = None
    scale: int | None = None
    psf_fwhm: float | None = None

    def __post_init__(self) -> None:
        if not self.steps:
            raise ParameterError('the recipe has no steps; add a [[steps]] table with method = "lowrank".')
        tasks = []
        for step in self.steps:
            spec = find_method(step.method, "restore")
            tasks.append(spec.check_task(step.task))
            spec.parameters.parse(step.params)
            optics_of(tasks[-1], **self.optics(tasks[-1]))
        # What no step can use was meant for one that is not there.
        if not set(tasks) & set(SCALED_TASKS):
            optics_of(tasks[0], **{**self.optics(tasks[0]), "scale": self.scale})
        if not set(tasks) & set(BLURRED_TASKS):
            optics_of(tasks[0], psf_fwhm=self.psf_fwhm)

    def optics(self, task: str) -> dict[str, Any]:
        """Scale and blur that ``runner.Settings`` is given for a task: those that belong to it."""
        given = {"scale": self.scale} if task in SCALED_TASKS else {}
        return {**given, "psf_fwhm": self.psf_fwhm} if task in BLURRED_TASKS else given

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Recipe:
        """The recipe that repeats a run, read from ``Result.record``."""
        settings = record["settings"]
        done = steps_of(record)
        return cls(
            steps=tuple(Step(r["method"], r["task"], dict(r["options"])) for r in done),
            seed=record["seed"],
            bad_bands=settings["bad_bands"],
            # Of several steps each has its own default, which the recipe must not overrule.
            keep_observed=settings["keep_observed"] if len(done) == 1 else record.get("keep_observed"),
            tile=settings["tile"],
            # Equal in all steps that have them, for they came from one recipe.
            scale=_first(done, "scale", SCALED_TASKS),
            psf_fwhm=_first(done, "psf_fwhm", BLURRED_TASKS),
        )

    def to_toml(self) -> str:
        """The recipe as TOML text; ``parse_recipe`` reads it back to an equal recipe."""
        lines = [f"{f.name.replace('_', '-')} = {_toml(getattr(self, f.name))}"
                 for f in fields(self) if f.name != "steps" and getattr(self, f.name) is not None]  # fmt: skip
        for step in self.steps:
            lines += ["", "[[steps]]", f"method = {_toml(step.method)}"]
            if step.task is not None:
                lines.append(f"task = {_toml(step.task)}")
            given = {key: value for key, value in step.params.items() if value is not None}
            if given:
                lines += ["", "[steps.params]"]
                lines += [f"{_key(key.replace('_', '-'))} = {_toml(value)}" for key, value in given.items()]
        return "\n".join(lines) + "\n"


def _first(records: Sequence[Mapping[str, Any]], setting: str, tasks: Sequence[str]) -> Any:
    """A setting of the first step that has one of the tasks, or None."""
    return next((record["settings"][setting] for record in records if record["task"] in tasks), None)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _toml(name)


def _toml(value: Any) -> str:
    """A flat value as TOML; JSON's strings are TOML's basic strings but for DEL, which must be escaped too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = repr(value)
        # TOML wants digits on both sides of a point, or an exponent: 1e-06 is fine as it stands.
        return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(text, text)
    if isinstance(value, str):
        if not value.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ParameterError(f"a recipe cannot hold the undecodable text {value!r}; rename that file or option.")
        # Not as ASCII: JSON would escape letters beyond 16 bits as surrogate pairs, which TOML forbids.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    raise ParameterError(f"a recipe holds numbers, words and true/false, not {type(value).__name__} {value!r}.")


def parse_recipe(text: str, name: str = "recipe") -> Recipe:
    """Read a recipe from TOML text, strictly.

    Raises
    ------
    ParameterError
        If it is not TOML, or has keys, types, methods or options that do not exist.
    """
    try:
        table = tomllib.loads(text)
    # Plain ValueError: numbers of thousands of digits.
    except (ValueError, RecursionError) as error:
        raise ParameterError(f"'{name}' is not TOML: {error}; correct that place.") from None
    table = {key.replace("-", "_"): value for key, value in table.items()}
    steps = table.pop("steps", [])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ParameterError(f"'{name}': 'steps' must be tables; write [[steps]] before each step.")
    expected = {"seed": int, "bad_bands": str, "keep_observed": bool, "tile": int, "scale": int,
                "psf_fwhm": float}  # fmt: skip
    _check_types(table, expected, name)
    if table.get("bad_bands", "keep") not in ("keep", "restore"):
        raise ParameterError(f"'{name}': bad-bands is '{table['bad_bands']}'; write \"keep\" or \"restore\".")
    for key, least in (("seed", 0), ("tile", 1)):
        if table.get(key, least) < least:
            raise ParameterError(f"'{name}': {key} is {table[key]}; it must be at least {least}.")
    return Recipe(tuple(_step(step, f"{name}, step {n}") for n, step in enumerate(steps, 1)), **table)


def _check_types(table: Mapping[str, Any], expected: Mapping[str, type], name: str) -> None:
    for key, value in table.items():
        if key not in expected:
            known = ", ".join(k.replace("_", "-") for k in expected)
            raise ParameterError(f"'{name}' has the unknown key '{key}'; there are: {known}.")
        # True is an int to Python, and nobody means seed = true; a width of 4 px is one of 4.0.
        fits = isinstance(value, int | float if expected[key] is float else expected[key])
        if not fits or (expected[key] in (int, float) and isinstance(value, bool)):
            raise ParameterError(f"'{name}': {key} is {value!r}; it needs {expected[key].__name__}.")


def _step(table: Mapping[str, Any], name: str) -> Step:
    _check_types(table, {"method": str, "task": str, "params": dict}, name)
    if "method" not in table:
        raise ParameterError(f"'{name}' names no method; add method = \"lowrank\".")
    return Step(table["method"], table.get("task"), dict(table.get("params", {})))


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe file.

    Raises
    ------
    FormatError
        If the file cannot be read as text.
    ParameterError
        If its content is no valid recipe.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FormatError(f"no recipe '{path}'; check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"recipe '{path}' cannot be read: {error}.") from None
    return parse_recipe(text, Path(path).name)


def write_recipe(recipe: Recipe, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a recipe file, whole or not at all; OutputError if that is impossible or it exists."""
    return write_text(path, recipe.to_toml(), overwrite=overwrite)


def run_recipe(
    cube: Cube,
    recipe: Recipe,
    *,
    device: str = "auto",
    memory: int | None = None,
    mask: np.ndarray | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    job: Job | None = None,
    checkpoint: str | Path | None = None,
    program: int | None = None,
) -> Result:
    """Apply the steps of a recipe one after the other.

    Parameters
    ----------
    cube : observed cube, never changed
    device, memory, mask, out, overwrite, job, checkpoint : as in ``runner.restore``; the mask describes the input,
        so only the first step sees it (what it leaves missing stays marked in the values)
    program : as in ``runner.Settings``

    Returns
    -------
    Result from the input to the last step; of several steps, ``record['steps']`` holds each one's record.

    Raises
    ------
    As ``runner.restore``.
    """
    from hsi_app.checkpoint import claimed
    from hsi_app.jobs import Job
    from hsi_app.runner import restore

    job = job or Job(seed=recipe.seed)
    count, current, records = len(recipe.steps), cube, []
    # Of several steps the first ones' state is needed until the last is done. Each checks all that decides its numbers.
    names = {"method": ", then ".join(step.method for step in recipe.steps)}
    with (
        claimed(checkpoint if count > 1 else None, lambda: names, job) as kept,
        tempfile.TemporaryDirectory(prefix="hsi-app-", dir=_scratch(cube, recipe, out, memory)) as folder,
    ):
        for n, step in enumerate(recipe.steps):
            is_last = n == count - 1
            between = Path(folder) / f"step{n + 1}.hdr" if _streams(cube, recipe, memory) else None
            result = restore(
                current, step.method, step.params,
                step_settings(recipe, step, device=device, memory=memory, seed=job.seed, program=program),
                mask=mask if n == 0 else None, out=out if is_last else between, overwrite=overwrite,
                job=job.part(n / count, 1 / count), checkpoint=checkpoint if kept is None else kept.step(n + 1),
            )  # fmt: skip
            current = result.cube
            records.append(dict(result.record))
    if count == 1:
        return result
    record = {**records[-1], "input": records[0]["input"], "steps": records, "keep_observed": recipe.keep_observed}
    record["notes"] = list(job.notes)
    scale = result.cube.shape[1] // cube.shape[1]
    if scale > 1:
        from hsi_app.physics.resample import interpolated

        cube = interpolated(cube, scale)
    return replace(result, observed=cube, record=record, scale=scale)


def step_settings(
    recipe: Recipe, step: Step, *, device: str, memory: int | None, seed: int, program: int | None = None
) -> Settings:
    """How a step of a recipe runs; the other arguments are as in ``runner.Settings``."""
    from hsi_app.runner import Settings

    task = find_method(step.method, "restore").check_task(step.task)
    # Keeping what was observed means nothing but where gaps are filled.
    keep = recipe.keep_observed if task == "inpaint" else None
    return Settings(
        device=device, memory=memory, seed=seed, bad_bands=recipe.bad_bands, tile=recipe.tile, program=program,
        task=task, keep_observed=keep, **recipe.optics(task),
    )  # fmt: skip


def _streams(cube: Cube, recipe: Recipe, memory: int | None) -> bool:
    """True where a result between two steps should rest in a file: it would take over a quarter of the memory."""
    from hsi_app.device import default_memory

    bands, height, width = cube.shape
    finer = 1
    for step in recipe.steps[:-1]:
        task = find_method(step.method, "restore").check_task(step.task)
        finer *= optics_of(task, **recipe.optics(task)).scale
    return 4 * bands * height * width * finer**2 > (default_memory() if memory is None else memory) // 4


def _scratch(cube: Cube, recipe: Recipe, out: str | Path | None, memory: int | None) -> Path | None:
    """Folder for intermediate files: beside the output, where there is room for cubes; else the system's."""
    is_beside = len(recipe.steps) > 1 and out is not None and _streams(cube, recipe, memory)
    return Path(out).absolute().parent if is_beside and out is not None else None
