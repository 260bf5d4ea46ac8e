"""``hsi-app unmix``: a subcommand for each unmixing method."""

from __future__ import annotations

from typing import Any

import click

from hsi_app.cli.method_options import given_options, method_help, method_options
from hsi_app.cli.progress import running_job
from hsi_app.cli.run_options import MASK, RECORD, TILE, RunOptions, processing_options
from hsi_app.device import format_bytes
from hsi_app.files import to_json
from hsi_app.methods.registry import method as find_method
from hsi_app.methods.registry import methods


class UnmixGroup(click.Group):
    """Finds subcommands in the method registry."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The methods that unmix, the recommended one first."""
        known = list(methods("unmix"))
        return sorted(known, key=lambda name: (name != "rrlbs", known.index(name)))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a method; ParameterError, with the nearest name, if there is none."""
        return _method_command(cmd_name)


@click.group(
    cls=UnmixGroup, subcommand_metavar="METHOD [OPTIONS] IN OUTDIR", short_help="Find materials and their fractions."
)
def unmix() -> None:
    """Find the materials of a cube and their fractions in every pixel.

    OUTDIR is made and holds abundances.hdr (one band a material), endmembers.csv and .sli, error.hdr, channels.csv,
    report.html and report.json; rrlbs adds guidance.hdr. 'hsi-app unmix METHOD --help' shows a method's options with
    ranges, units and sources.
    """


def _method_command(name: str) -> click.Command:
    spec = find_method(name, "unmix")

    def body(
        source: str, outdir: str, mask: str | None, bad_bands: Any, tile: int | None, as_json: bool, run: RunOptions,
        **values: Any,
    ) -> None:  # fmt: skip
        from hsi_app.io import open_cube, read_mask
        from hsi_app.runner import Settings
        from hsi_app.unmixing.result import check_folder
        from hsi_app.unmixing.runner import unmix as unmix_cube

        # Before any work: minutes of computing must not end in a name that is taken.
        check_folder(outdir, overwrite=run.overwrite)
        cube = open_cube(source)
        settings = Settings(device=run.device, memory=run.memory, seed=run.seed or 0, bad_bands=bad_bands, tile=tile)
        with running_job(run) as (job, log):
            result = unmix_cube(
                cube, spec, given_options(values), settings, mask=None if mask is None else read_mask(mask),
                out=outdir, overwrite=run.overwrite, job=job,
            )  # fmt: skip
            for note in result.record["notes"]:
                log.say(f"note: {note}", level="warning")
        _tell(result.record, outdir, as_json)

    body = processing_options(body)
    for option in reversed(
        (
            click.argument("source", type=click.Path(), metavar="IN"),
            click.argument("outdir", type=click.Path(), metavar="OUTDIR"),
            MASK,
            click.option("--bad-bands", type=click.Choice(["keep", "restore"]), default="keep", show_default=True,
                         help="Leave bands marked bad out, or use them too."),
            TILE,
            RECORD,
        )
    ):  # fmt: skip
        body = option(body)
    command = click.command(spec.id, short_help=spec.summary, help=method_help(spec))(body)
    command.params[2:2] = method_options(spec)
    return command


def _tell(record: Any, outdir: str, as_json: bool) -> None:
    if as_json:
        click.echo(to_json(record))
        return
    trace = record["trace"]
    for material in trace["materials"]:
        click.echo(
            f"{material['name']:<24} {material['mean_abundance']:>7.1%} of the scene,"
            f" prevails in {material['prevails_in_pixels']} pixels"
        )
    error = "" if trace["relative_error"] is None else f", {trace['relative_error']:.1%} of the signal not explained"
    click.echo(
        f"{outdir}: {len(trace['materials'])} materials with {record['method']} ({trace['normalise']} normalisation)"
        f"{error}, {record['seconds']:.1f} s on {record['device']},"
        f" peak memory {format_bytes(record['peak_memory_bytes'])}"
    )
