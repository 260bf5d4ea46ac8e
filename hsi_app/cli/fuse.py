"""``hsi-app fuse``: a subcommand for each fusion method, and for 'auto'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from hsi_app.cli.method_options import given_options, method_help, method_options
from hsi_app.cli.outputs import check_outputs
from hsi_app.cli.progress import running_job
from hsi_app.cli.run_options import RECORD, TILE, RunOptions, processing_options
from hsi_app.device import format_bytes
from hsi_app.files import to_json
from hsi_app.methods.registry import method as find_method
from hsi_app.methods.registry import methods

if TYPE_CHECKING:
    from hsi_app.fusion.result import Fusion

_OPTIONS: Sequence[Any] = (
    click.argument("hsi", type=click.Path(), metavar="HSI"),
    click.argument("msi", type=click.Path(), metavar="MSI"),
    click.argument("out", type=click.Path(), metavar="OUT"),
    click.option(
        "--srf", metavar="FILE|SENSOR|estimate",
        help="Spectral response of MSI: a sensor such as sentinel-2 or sentinel-2:B2,B3,B4,B8 (hsi-app fuse"
        " --list-sensors), a table of wavelengths and responses (.csv, .sli, .mat, .npz), or 'estimate' to find it"
        " where the images line up.  [default: widths in the header of MSI, else estimate]",
    ),
    click.option(
        "--registration", type=click.Choice(["auto", "map", "frame", "estimate", "none"]), default="auto",
        show_default=True,
        help="Where one image lies on the other: by the map frames, by corners on corners, found from the images, or"
        " not at all; auto believes the files as far as the images bear them out, and corrects them where it can.",
    ),
    click.option(
        "--radiometry", type=click.Choice(["auto", "same", "match"]), default="auto", show_default=True,
        help="Take the numbers of both images to be in one unit, or bring those of MSI to those of HSI.",
    ),
    click.option(
        "--psf-fwhm", type=click.FLOAT, metavar="PX",
        help="Width of what a pixel of HSI sees, in its pixels.  [default: measured where the images line up]",
    ),
    click.option("--mask", metavar="FILE", help="Image of 1 = observed, 0 = missing for HSI; adds to NaN and nodata."),
    click.option("--bad-bands", type=click.Choice(["keep", "restore"]), default="keep", show_default=True,
                 help="Only interpolate bands marked bad, or sharpen them too."),
    click.option(
        "--doubt", metavar="FILE", help="Write the map of doubt: far above 1, HSI does not hold what is seen there."
    ),
    click.option("--report", metavar="FILE.html", help="Write a report (and beside it FILE.json)."),
    TILE,
    RECORD,
)  # fmt: skip


def _list_sensors(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from hsi_app.fusion.sensors import SENSORS

    for name, bands in SENSORS.items():
        click.echo(f"{name:<18}" + ", ".join(f"{band} {centre:g} nm" for band, (centre, _width) in bands.items()))
    ctx.exit()


class FuseGroup(click.Group):
    """Finds subcommands in the method registry."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """'auto', then the methods."""
        return ["auto", *methods("fuse")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a method; ParameterError, with the nearest name, if there is none."""
        return _auto() if cmd_name == "auto" else _method_command(cmd_name)


@click.group(
    cls=FuseGroup, subcommand_metavar="METHOD|auto [OPTIONS] HSI MSI OUT",
    short_help="Sharpen a cube with a finer multispectral image.",
)  # fmt: skip
@click.option(
    "--list-sensors", is_flag=True, is_eager=True, expose_value=False, callback=_list_sensors,
    help="List the sensors that --srf knows, with their bands.",
)  # fmt: skip
def fuse() -> None:
    """Make a sharp hyperspectral cube of a coarse one (HSI) and a sharp multispectral image (MSI).

    OUT has the grid and the map frame of MSI, the bands and the numbers of HSI. The images need not line up for joint,
    u2mdn and ridge; gsa and cnmf need it. 'hsi-app fuse METHOD --help' shows a method's options with ranges, units and
    sources.
    """


def _method_command(name: str) -> click.Command:
    spec = find_method(name, "fuse")
    command = _command(spec.id, spec.summary, method_help(spec))
    command.params[3:3] = method_options(spec)
    return command


def _auto() -> click.Command:
    return _command(
        "auto", "Measure bands, noise and registration, choose the method, and say why.",
        "Choose the method by the number of bands, their noise and whether the images line up, say why, and fuse.",
    )  # fmt: skip


def _command(name: str, short: str, text: str) -> click.Command:
    def body(
        hsi: str, msi: str, out: str, mask: str | None, doubt: str | None, report: str | None, as_json: bool,
        run: RunOptions, **values: Any,
    ) -> None:  # fmt: skip
        check_outputs([out, doubt], report=report, overwrite=run.overwrite)

        from hsi_app.fusion.runner import FusionSettings
        from hsi_app.fusion.runner import fuse as fuse_cubes
        from hsi_app.io import open_cube, read_mask

        options = given_options(values)
        settings = FusionSettings(device=run.device, memory=run.memory, seed=run.seed or 0, **values)
        cubes = open_cube(hsi), open_cube(msi)
        with running_job(run) as (job, log):
            result = fuse_cubes(
                *cubes, name, options, settings, mask=None if mask is None else read_mask(mask), out=out, doubt=doubt,
                overwrite=run.overwrite, job=job,
            )  # fmt: skip
            for reason in result.record["reasons"]:
                log.say(reason)
            if report is not None:
                from hsi_app.report.fusion import write_fusion_report

                write_fusion_report(result, report, overwrite=run.overwrite)
            for note in result.record["notes"]:
                log.say(f"note: {note}", level="warning")
        _tell(result, out, as_json)

    body = processing_options(body)
    for option in reversed(_OPTIONS):
        body = option(body)
    return click.command(name, short_help=short, help=text)(body)


def _tell(result: Fusion, out: str, as_json: bool) -> None:
    record = result.record
    if as_json:
        click.echo(to_json(record))
        return
    bands, height, width = result.cube.shape
    facts = record["pair"]
    click.echo(
        f"{out}: {bands} bands x {height} x {width} with {record['method']}, response {facts['response']['origin']},"
        f" registration {facts['registration']['how']}; {record['trace']['doubted_share']:.1%} of the pixels in doubt,"
        f" {record['seconds']:.1f} s on {record['device']}, peak memory {format_bytes(record['peak_memory_bytes'])}"
    )
