"""What a running command says on stderr, and how Ctrl-C reaches the job."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from hsi_app.cli.run_options import RunOptions
from hsi_app.jobs import Job, Progress

if TYPE_CHECKING:
    import rich.progress

# Off a terminal, progress is a line for each tenth.
_LINES = 10


class Log:
    """Messages and progress on stderr: a bar on a terminal, lines elsewhere, JSON lines where asked for."""

    def __init__(self, run: RunOptions) -> None:
        self._run, self._said = run, 0
        self._bar: rich.progress.Progress | None = None

    def say(self, message: str, *, level: str = "info", detail: int = 0) -> None:
        """Write one line, if the user asked for at least ``detail`` -v."""
        if self._run.verbosity < detail:
            return
        if self._run.log_format == "json":
            self._json({"level": level, "message": message})
        elif self._bar is not None:
            self._bar.console.print(message, markup=False, highlight=False)
        else:
            click.echo(message, err=True)

    def on_progress(self, progress: Progress) -> None:
        """Listener of the job."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=progress.fraction, description=progress.message)
            return
        tenth = int(progress.fraction * _LINES)
        if self._run.log_format == "json" and self._run.verbosity >= 0:
            if tenth > self._said or self._run.verbosity > 0:
                left = None if progress.remaining_s is None else round(progress.remaining_s, 1)
                self._json(
                    {"level": "progress", "message": progress.message, "fraction": round(progress.fraction, 4),
                     "remaining_s": left}
                )  # fmt: skip
        elif tenth > self._said:
            left_text = "" if progress.remaining_s is None else f", {progress.remaining_s:.0f} s left"
            self.say(f"{progress.fraction:4.0%} {progress.message}{left_text}", detail=1)
        self._said = max(self._said, tenth)

    @contextmanager
    def bar(self) -> Iterator[None]:
        """A progress bar with the time left while inside; nothing where stderr is no terminal."""
        if self._run.log_format == "json" or self._run.verbosity < 0 or not sys.stderr.isatty():
            yield
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("{task.description:<28.28}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
            bar.add_task("starting", total=1.0)
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def event(self, facts: dict[str, Any]) -> None:
        """A line for programs that watch; people are told by ``say``."""
        if self._run.log_format == "json":
            self._json({"level": "event", **facts})

    @staticmethod
    def _json(entry: dict[str, Any]) -> None:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        click.echo(json.dumps({"time": stamp, **entry}, default=str), err=True)


@contextmanager
def running_job(run: RunOptions, *, seed: int = 0) -> Iterator[tuple[Job, Log]]:
    """A job shown on stderr, which the first Ctrl-C or SIGTERM asks to stop and the second breaks off.

    ``seed`` is used where the user gave none.
    """
    log = Log(run)
    job = Job(seed=seed if run.seed is None else run.seed, on_progress=log.on_progress)

    def stop() -> None:
        job.cancel()
        log.say("stopping at the next step; press Ctrl-C again to break off.", level="warning", detail=1)

    with stopped_by_signals(lambda: job.is_cancelled, stop), log.bar():
        yield job, log


@contextmanager
def stopped_by_signals(is_stopped: Callable[[], bool], stop: Callable[[], object]) -> Iterator[None]:
    """While inside, the first Ctrl-C or SIGTERM calls ``stop``; one that comes when it ``is_stopped`` breaks off."""

    def answer(_signal: int, _frame: FrameType | None) -> None:
        if is_stopped():
            raise KeyboardInterrupt
        stop()

    # Signal handlers can only be set in the main thread; elsewhere the caller stops the work itself.
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, answer) for number in (signal.SIGINT, signal.SIGTERM)} if is_main else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
