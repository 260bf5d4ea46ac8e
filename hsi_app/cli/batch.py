"""``hsi-app batch``: many scenes with one recipe."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from hsi_app.cli.progress import Log, stopped_by_signals
from hsi_app.cli.run_options import RunOptions, processing_options
from hsi_app.device import format_bytes
from hsi_app.errors import ParameterError
from hsi_app.files import to_json

if TYPE_CHECKING:
    from hsi_app.batch.driver import Tally
    from hsi_app.batch.estimate import Estimate
    from hsi_app.batch.planning import Planned
    from hsi_app.batch.run import Batch


def _shard(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) <= 9999):
        raise ParameterError(f"--shard '{text}': write i/n with i from 1 to n, such as 3/10.")
    return int(number), int(count)


@click.command(short_help="Restore many scenes with one recipe; goes on where it was interrupted.")
@click.argument("recipe", type=click.Path(), metavar="RECIPE.toml")
@click.argument("inputs", nargs=-1, required=True, metavar="IN...")
@click.option("-o", "--out", "folder", required=True, metavar="FOLDER", help="Folder of the results; made if absent.")
@click.option(
    "--name",
    default="{stem}{ext}",
    show_default=True,
    metavar="TEMPLATE",
    help="Names of the results: {stem}, {recipe}, {folder}, {number}, {ext}; its extension is the format.",
)
@click.option("--recursive", is_flag=True, help="Look in folders of folders; results keep them.")
@click.option("--pattern", "patterns", multiple=True, metavar="GLOB", help="Files to take from folders, as '*.tif'.")
@click.option(
    "--existing",
    type=click.Choice(["skip", "redo", "fail"]),
    default="skip",
    show_default=True,
    help="Results that are there: pass over those that would come out the same, do all again, or call them"
    " failures. What no batch made is replaced by 'redo' alone.",
)
@click.option(
    "--workers", type=click.IntRange(1), metavar="N",
    help="Scenes at a time; a large one is shared out.  [default: one a GPU or core, with 2 GiB each]",
)  # fmt: skip
@click.option(
    "--executor",
    type=click.Choice(["auto", "inline", "processes", "dask"]),
    default="auto",
    show_default=True,
    help="Where: in this process, in others, or on a dask cluster of --workers with its"
    " dashboard; auto is inline for one worker and processes for more.",
)
@click.option("--scheduler", metavar="ADDRESS", help="Use the dask cluster that runs there, as tcp://host:8786.")
@click.option(
    "--threads", type=click.IntRange(1), metavar="N",
    help="Threads of each worker. They decide the last bits of a result; workers do not.  [default: 1]",
)  # fmt: skip
@click.option(
    "--shard",
    callback=_shard,
    metavar="I/N",
    help="Do every Nth scene from the Ith on: one job of an array, all with the same output folder.",
)
@click.option(
    "--retries",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Further tries after a failure that may have been an accident.",
)
@click.option(
    "--timeout-per-item",
    "--timeout",
    "timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="For each scene.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option("--dry-run", is_flag=True, help="Show scenes, time, memory, disk and the biggest risk; do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan or the outcome as JSON.")
@processing_options
def batch(
    recipe: str, inputs: Sequence[str], folder: str, name: str, recursive: bool, patterns: Sequence[str],
    existing: Any, workers: int | None, executor: str, scheduler: str | None, threads: int | None,
    shard: tuple[int, int], retries: int, timeout: float | None, fail_fast: bool, dry_run: bool, as_json: bool,
    run: RunOptions,
) -> None:  # fmt: skip
    """Restore every scene of IN with RECIPE.toml, at night and unwatched.

    IN are files, folders, patterns ('flight*.hdr'), lists (.txt, a file a line) and tables (.csv with the column
    'file' and, as wanted, 'out', 'mask' and options of the recipe; '2.rank' is that of step 2).

    \b
    One bad scene stops nothing: it is named with its reason, and the command ends with 3.
    The same command goes on where it was interrupted, scene by scene and tile by tile, with any number of workers.
    --memory is for all workers of this machine together; of a cluster, for each scene.
    FOLDER/batch.html tells how it went; beside each result lies its origin (.json).
    """
    from dataclasses import replace

    from hsi_app.batch.run import Batch, carry_out_batch, prepare_batch
    from hsi_app.recipe import read_recipe

    steps = read_recipe(recipe)
    if run.seed is not None:
        steps = replace(steps, seed=run.seed)
    asked = Batch(
        steps, tuple(inputs), Path(folder), recipe=Path(recipe).stem, name=name, recursive=recursive,
        patterns=tuple(patterns), existing="redo" if run.overwrite else existing, workers=workers,
        kind=None if executor == "auto" else cast(Any, executor), scheduler=scheduler, threads=threads, shard=shard,
        retries=retries, timeout_s=timeout, fail_fast=fail_fast, device=run.device, memory=run.memory,
    )  # fmt: skip
    log = Log(run)
    if dry_run:
        _tell_plan(*prepare_batch(asked, estimate=True), as_json)
        return
    stop = threading.Event()

    def ask() -> None:
        stop.set()
        log.event({"event": "stopping"})
        log.say("stopping at the next step of each worker; press Ctrl-C again to break off.", level="warning")

    with stopped_by_signals(stop.is_set, ask), log.bar() if not as_json else nullcontext():
        planned, tally = carry_out_batch(asked, tell=_teller(log), say=log.say, is_stopped=stop.is_set)
    _tell_outcome(planned, tally, asked, as_json)
    code = tally.code or (3 if tally.count("failed") else 0)
    log.event({"event": "ended", "reason": tally.why, "code": code})
    if code:
        click.get_current_context().exit(code)


def _teller(log: Log) -> Any:
    from hsi_app.batch.run import Progresses
    from hsi_app.batch.unit import encodable

    progresses = Progresses()

    def tell(name: str, event: str, facts: dict[str, Any]) -> None:
        log.event({"event": event, **({"out": name} if name else {}), **facts})
        if event == "plan":
            progresses.begin(len(facts["scenes"]))
            return
        log.on_progress(progresses.after(name, event, facts))
        if event in ("failed", "again"):
            words = f"{name}: {facts['reason']}{'; trying again' if event == 'again' else ''}"
            log.say(encodable(words), level="warning")
        elif event in ("done", "same"):
            took = f" in {facts['seconds']:.1f} s" if event == "done" and "seconds" in facts else ""
            log.say(f"{name}: {'nothing to do' if event == 'same' else 'done'}{took}", detail=1)

    return tell


def _echo(text: str, *, err: bool = False) -> None:
    from hsi_app.batch.unit import encodable

    click.echo(encodable(text), err=err)


def _tell_plan(planned: Sequence[Planned], estimate: Estimate, as_json: bool) -> None:
    rows = [
        {"source": one.item.source, "out": one.item.out, "state": one.state, "reason": one.reason,
         "shape": list(one.shape), "tiles": one.tiles, "peak_bytes": one.peak_bytes, "bytes_out": one.bytes_out,
         "seconds": estimate.of(one)}
        for one in planned
    ]  # fmt: skip
    if as_json:
        _echo(to_json({"scenes": rows, **estimate.plain()}))
        return
    for one, row in zip(planned, rows, strict=True):
        size = " x ".join(map(str, one.shape))
        if one.state == "failed":
            _echo(f"failed  {one.item.where}: {one.reason}")
            continue
        took = "" if row["seconds"] is None else f", about {row['seconds']:.1f} s"
        pieces = f"{one.tiles} tile{'s' if one.tiles > 1 else ''}"
        _echo(f"{one.state:<7} {one.item.where} -> {one.item.out}  {size}, {pieces},"
                   f" {format_bytes(one.peak_bytes)}{took}")  # fmt: skip
    for line in estimate.lines():
        _echo(line)


def _tell_outcome(planned: Sequence[Planned], tally: Tally, asked: Batch, as_json: bool) -> None:
    done, same, failed = tally.count("done"), tally.count("same"), tally.count("failed")
    left = len(planned) - done - same - failed
    if as_json:
        rows = [{"out": name, "state": found.state, "reason": found.reason, **found.facts}
                for name, found in tally.outcomes.items()]  # fmt: skip
        _echo(to_json({
            "done": done, "same": same, "failed": failed, "not_reached": left, "seconds": round(tally.seconds, 3),
            "ended": tally.why, "scenes": rows,
        }))  # fmt: skip
        return
    if tally.why:
        _echo(tally.why, err=True)
    parts = [f"{done} done", f"{same} as before", f"{failed} failed", f"{left} not reached"]
    shown = [part for part in parts if not part.startswith("0 ")]
    if same == len(planned):
        shown = [f"nothing to do: all {same} results are there"]
    _echo(f"{asked.folder}: {', '.join(shown)}, {tally.seconds:.1f} s; see {asked.page}")
