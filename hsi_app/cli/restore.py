"""``hsi-app restore``: a subcommand for each method, for 'auto', and for any recipe file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from hsi_app.cli.method_options import given_options, method_help, method_options
from hsi_app.cli.outputs import check_outputs
from hsi_app.cli.progress import Log, running_job
from hsi_app.cli.run_options import MASK, RECORD, TILE, RunOptions, processing_options
from hsi_app.device import format_bytes
from hsi_app.errors import Cancelled
from hsi_app.files import to_json
from hsi_app.methods.registry import MethodSpec, methods
from hsi_app.methods.registry import method as find_method
from hsi_app.optics import BLURRED_TASKS, DEFAULT_SCALE, SCALED_TASKS, SCALES
from hsi_app.record import steps_of, what_was_done

if TYPE_CHECKING:
    from hsi_app.cube import Cube
    from hsi_app.recipe import Recipe
    from hsi_app.runner import Result


@dataclass(frozen=True)
class Request:
    """What every restoration is asked, whatever the method."""

    source: str
    out: str
    mask: str | None
    report: str | None
    removed: str | None
    save_recipe: str | None
    checkpoint: str | None
    as_json: bool
    run: RunOptions


# What a recipe holds itself is no option of its command.
_RECIPE_SETTINGS = {"bad_bands", "keep_observed", "tile"}

_SHARED: Sequence[Callable[[Any], Any]] = (
    click.argument("source", type=click.Path(), metavar="IN"),
    click.argument("out", type=click.Path(), metavar="OUT"),
    MASK,
    click.option("--report", metavar="FILE.html", help="Write a report (and beside it FILE.json)."),
    click.option(
        "--removed",
        metavar="FILE",
        help="Write what was removed (input - output) as a cube; of sr, interpolated input - output.",
    ),
    click.option("--save-recipe", metavar="FILE.toml", help="Write the recipe that repeats this run."),
    click.option(
        "--checkpoint",
        metavar="FOLDER",
        help="Keep the state of a long run in FOLDER every minute; after an interruption the same command goes on from"
        " there.",
    ),
    RECORD,
)
_SETTINGS: Sequence[Callable[[Any], Any]] = (
    click.option("--bad-bands", type=click.Choice(["keep", "restore"]), default="keep", show_default=True,
                 help="Pass bands marked bad through unchanged, or work on them too."),
    click.option("--keep-observed/--no-keep-observed", default=None,
                 help="Put observed samples back unchanged (inpaint).  [default: yes for inpaint]"),
    TILE,
)  # fmt: skip


class RestoreGroup(click.Group):
    """Finds subcommands in the method registry; a name that ends in .toml is a recipe."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """'auto', then the methods."""
        return ["auto", *methods("restore")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a method or recipe; ParameterError, with the nearest name, if there is none."""
        if cmd_name == "auto":
            return _auto
        if cmd_name.lower().endswith(".toml"):
            return _recipe_command(cmd_name)
        return _method_command(cmd_name)


@click.group(cls=RestoreGroup, subcommand_metavar="METHOD|auto|RECIPE.toml [OPTIONS] IN OUT")
def restore() -> None:
    """Restore a cube: denoise, destripe, fill gaps, or sharpen to a finer grid.

    IN is any cube the program reads ('file.mat::name' picks an array); OUT's extension names the format.
    'hsi-app restore METHOD --help' shows a method's options with ranges, units and sources.
    """


def _command(
    name: str, text: str, function: Callable[..., None], own: Sequence[click.Option], *, settings: bool, help: str
) -> click.Command:
    """A click command with the shared options around ``function(request, **rest)``."""

    def body(run: RunOptions, **values: Any) -> None:
        shared = {key: values.pop(key) for key in Request.__dataclass_fields__ if key in values}
        function(Request(run=run, **shared), values)

    body = processing_options(body)
    for option in reversed([*_SHARED, *(_SETTINGS if settings else ())]):
        body = option(body)
    command = click.command(name, short_help=text, help=help)(body)
    command.params[2:2] = own
    return command


def _method_command(name: str) -> click.Command:
    from hsi_app.recipe import Recipe, Step

    spec = find_method(name, "restore")
    task = click.Option(
        ["--task"], type=click.Choice(spec.tasks), default=spec.tasks[0], show_default=True, help="What to do."
    )

    def body(request: Request, values: dict[str, Any]) -> None:
        step = Step(spec.id, values.pop("task"), given_options(values))
        _carry_out(request, lambda _cube, _log: Recipe((step,), seed=request.run.seed or 0, **values))

    own = [task, *_optics_options(spec), *method_options(spec)]
    return _command(spec.id, spec.summary, body, own, settings=True, help=method_help(spec))


def _optics_options(spec: MethodSpec) -> list[click.Option]:
    """Scale and blur, where one of the method's tasks takes them; their ranges are checked for every face alike."""
    found = []
    if set(spec.tasks) & set(SCALED_TASKS):
        text = f"How many times finer the grid of OUT is (sr).  [{SCALES[0]} to {SCALES[1]}; default {DEFAULT_SCALE}]"
        found.append(click.Option(["--scale"], type=click.INT, help=text))
    if taking := [task for task in spec.tasks if task in BLURRED_TASKS]:
        text = f"Full width at half maximum of the Gaussian blur, in px of OUT ({', '.join(taking)})."
        default = "  [default for sr: the scale]" if set(taking) & set(SCALED_TASKS) else ""
        found.append(click.Option(["--psf-fwhm"], type=click.FLOAT, metavar="PX", help=text + default))
    return found


def _recipe_command(path: str) -> click.Command:
    from hsi_app.recipe import read_recipe

    def body(request: Request, _values: dict[str, Any]) -> None:
        recipe = read_recipe(path)
        _carry_out(request, lambda _cube, _log: recipe, seed=recipe.seed)

    return _command(path, "", body, (), settings=False, help=f"Apply the steps of {path}, with its settings.")


def _choose(
    bad_bands: Literal["keep", "restore"], keep_observed: bool | None, tile: int | None, seed: int, mask: str | None
) -> Callable[[Cube, Log], Recipe]:
    def choice(cube: Cube, log: Log) -> Recipe:
        from dataclasses import replace

        from hsi_app.diagnose import diagnose

        diagnosis = diagnose(cube, has_mask=mask is not None)
        for line in diagnosis.lines():
            log.say(line)
        recipe = replace(diagnosis.recipe, seed=seed, bad_bands=bad_bands, tile=tile)
        return recipe if keep_observed is None else replace(recipe, keep_observed=keep_observed)

    return choice


def _auto_body(request: Request, values: dict[str, Any]) -> None:
    _carry_out(request, _choose(**values, seed=request.run.seed or 0, mask=request.mask))


_auto = _command(
    "auto", "Measure what is wrong with the cube, choose task and method, and say why.", _auto_body, (), settings=True,
    help="Measure noise, stripes, impulses and gaps, choose task and method from that, say why, and restore.",
)  # fmt: skip


def _carry_out(request: Request, choose: Callable[[Cube, Log], Recipe], *, seed: int = 0) -> None:
    """Open, choose, restore, and write everything that was asked for."""
    run = request.run
    check_outputs(
        [request.out, request.removed, request.save_recipe], report=request.report, folder=request.checkpoint,
        overwrite=run.overwrite,
    )  # fmt: skip

    from hsi_app.io import open_cube, read_mask
    from hsi_app.recipe import Recipe, run_recipe, write_recipe

    cube = open_cube(request.source)
    mask = None if request.mask is None else read_mask(request.mask)
    with running_job(run, seed=seed) as (job, log):
        recipe = choose(cube, log)
        try:
            result = run_recipe(
                cube, recipe, device=run.device, memory=run.memory, mask=mask, out=request.out,
                overwrite=run.overwrite, job=job, checkpoint=request.checkpoint,
            )  # fmt: skip
        except Cancelled:
            if request.checkpoint is None:
                raise
            raise Cancelled(f"the same command with --checkpoint {request.checkpoint} goes on from there.") from None
        if request.removed is not None:
            from hsi_app.removed import write_removed

            write_removed(result, request.removed, overwrite=run.overwrite)
        if request.save_recipe is not None:
            write_recipe(Recipe.from_record(result.record), request.save_recipe, overwrite=run.overwrite)
        if request.report is not None:
            from hsi_app.report import write_report

            write_report(result, request.report, overwrite=run.overwrite)
        for note in result.record["notes"]:
            log.say(f"note: {note}", level="warning")
    _tell(result, request)


def _tell(result: Result, request: Request) -> None:
    record = result.record
    if request.as_json:
        click.echo(to_json(record))
        return
    did = ", then ".join(what_was_done(record))
    click.echo(
        f"{request.out}: {did}, {sum(step['seconds'] for step in steps_of(record)):.1f} s on {record['device']},"
        f" peak memory {format_bytes(record['peak_memory_bytes'])}"
    )
