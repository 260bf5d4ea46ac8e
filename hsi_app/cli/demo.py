"""``hsi-app demo``: the main job on the bundled scene."""

from __future__ import annotations

import click

from hsi_app.cli.progress import running_job
from hsi_app.cli.run_options import RunOptions, processing_options
from hsi_app.cli.score import MEASURES
from hsi_app.files import to_json


@click.command(short_help="Restore the bundled scene, score and report it.")
@click.option(
    "--out", "folder", default="hsi-app-demo", show_default=True, metavar="DIR", help="Folder for the results."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@processing_options
def demo(folder: str, as_json: bool, run: RunOptions) -> None:
    """Restore the bundled noisy scene, compare it with its clean twin, and write a report.

    Takes less than two minutes, downloads nothing and opens nothing.
    """
    from hsi_app.demo import run_demo

    with running_job(run) as (job, _log):
        found = run_demo(folder, overwrite=run.overwrite, device=run.device, memory=run.memory, job=job)
    if as_json:
        files = [str(path) for path in found.files]
        click.echo(to_json({"before": found.before, "after": found.after, "reasons": found.reasons, "files": files}))
        return
    for line in found.reasons:
        click.echo(line)
    click.echo(f"\n{'':<8}{'before':>12}{'after':>12}   against the clean scene")
    for key, title, unit, digits, better in MEASURES:
        before, after = found.before[key], found.after[key]
        click.echo(
            f"{title:<8}{before:>12.{digits}f}{after:>12.{digits}f}   {unit}{', ' if unit else ''}{better} is better"
        )
    click.echo("")
    for path in found.files:
        click.echo(str(path))
