"""``hsi-app qa``: judge a cube, or what was done to it, without a reference."""

from __future__ import annotations

import click

from hsi_app.cli.outputs import check_outputs
from hsi_app.cli.progress import running_job
from hsi_app.cli.run_options import RunOptions
from hsi_app.files import to_json


@click.command(short_help="Judge a cube, or what was done to it, without a reference.")
@click.argument("before", type=click.Path())
@click.argument("after", type=click.Path(), required=False)
@click.option("--html", metavar="FILE.html", help="Write a page with pictures and charts (and beside it FILE.json).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--target", metavar="FILE|ROW,COL",
    help="What must still be found: 'row,col row,col ...' counted from 0, a spectral library ('FILE::name' picks a"
    " spectrum), or an image that marks its pixels with numbers above 0.",
)  # fmt: skip
@click.option(
    "--detector", type=click.Choice(["mf", "ace"]), default="mf", show_default=True,
    help="Matched filter, or adaptive coherence estimator, which demands the target's shape.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace existing outputs.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
def qa(
    before: str, after: str | None, html: str | None, as_json: bool, target: str | None, detector: str, overwrite: bool,
    quiet: bool,
) -> None:  # fmt: skip
    """Judge BEFORE, or what was done to it in AFTER, without a reference.

    Of one cube: noise of each band, stripes, gaps, which bands to mark bad, and what would help. Of two on the same
    grid also: whether what was removed is grain, stripes or scene, which bands are still noisy or became worse, and
    with --target whether a target is still found.

    Noise and what was removed are measured on samples; a target is looked for in every pixel, strip by strip.
    """
    check_outputs([], report=html, overwrite=overwrite, option="--html")
    from hsi_app.io import open_cube
    from hsi_app.trust.assessment import assess
    from hsi_app.trust.choosing import read_target

    first = open_cube(before)
    second = None if after is None else open_cube(after)
    wanted = None if target is None else read_target(target, first)
    run = RunOptions("cpu", None, None, overwrite, "text", -1 if quiet else 0)
    with running_job(run) as (job, log):
        found = assess(first, second, wanted, detector=detector, job=job)  # type: ignore[arg-type]
        for note in found.notes():
            log.say(f"note: {note}", level="warning")
        if html is not None:
            from hsi_app.report.qa import write_qa_report

            write_qa_report(found, html, overwrite=overwrite)
    if as_json:
        click.echo(to_json(found.plain()))
        return
    for line in found.lines():
        click.echo(line)
    if html is not None:
        click.echo(html)
