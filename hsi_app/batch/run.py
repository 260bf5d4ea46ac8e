"""A whole batch, from what was asked to the page that tells how it went."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hsi_app.batch.driver import Listener, Rules, Tally, clear_left_overs, drive, opened
from hsi_app.batch.estimate import Estimate, estimated
from hsi_app.batch.executors import Kind, open_backend
from hsi_app.batch.items import DEFAULT_NAME, HIDDEN, Item, gather, recipe_for
from hsi_app.batch.journal import Entry, read_journals
from hsi_app.batch.lease import Shard
from hsi_app.batch.page import NAME, write_summary
from hsi_app.batch.planning import Existing, Planned, plan
from hsi_app.device import gpu_count
from hsi_app.errors import OutputError, ParameterError
from hsi_app.jobs import Progress
from hsi_app.methods.registry import method
from hsi_app.recipe import Recipe, write_recipe

# What the driver takes beside its workers, and the least a worker can begin with.
DRIVER_BYTES, LEAST_BYTES = 320 * 2**20, 2**30
# What a worker is given of more than that, if its method works in tiles.
USUAL_BYTES = 2 * 2**30
# Without --memory: this share of all memory, whatever is free now, so that tiles are the same tomorrow.
MEMORY_SHARE = 0.6


@dataclass(frozen=True)
class Batch:
    """What is asked of a batch; see the options of ``hsi-app batch``.

    workers : scenes at a time; None: one for each GPU or core, as far as memory goes
    kind : None: 'inline' for one worker, 'processes' for more
    threads : of each worker; None means 1. The last bits of a result depend on them, and on nothing else of the machine
    memory : bytes for all workers of this machine and the driver together; of a cluster, for each scene; None: a share
        of all there is
    """

    steps: Recipe
    inputs: tuple[str, ...]
    folder: Path
    recipe: str = "recipe"
    name: str = DEFAULT_NAME
    recursive: bool = False
    patterns: tuple[str, ...] = ()
    existing: Existing = "skip"
    workers: int | None = None
    kind: Kind | None = None
    scheduler: str | None = None
    threads: int | None = None
    shard: tuple[int, int] = (1, 1)
    retries: int = 1
    timeout_s: float | None = None
    fail_fast: bool = False
    device: str = "auto"
    memory: int | None = None

    @property
    def at_a_time(self) -> int:
        """Workers."""
        if self.workers is not None:
            return self.workers
        if self.scheduler is not None:
            return 1
        places = len(self.devices) if self.devices[0] != self.device else os.cpu_count() or 1
        return max(1, min(places, (self.all_memory - DRIVER_BYTES) // USUAL_BYTES))

    @property
    def executor(self) -> Kind:
        """Where the work is done."""
        if self.scheduler is not None:
            return "dask"
        return self.kind or ("inline" if self.at_a_time == 1 else "processes")

    @property
    def devices(self) -> tuple[str, ...]:
        """What the workers of this machine compute on, in turn."""
        count = gpu_count() if self.device in ("auto", "cuda") and self.scheduler is None else 0
        return tuple(f"cuda:{number}" for number in range(count)) or (self.device,)

    @property
    def all_memory(self) -> int:
        """Bytes for all workers of this machine and the driver together."""
        import psutil

        return int(MEMORY_SHARE * psutil.virtual_memory().total) if self.memory is None else self.memory

    @property
    def unit_memory(self) -> int:
        """Bytes that one scene may take, the worker itself included.

        Raises ParameterError if that is too little to begin with.
        """
        memory = self.all_memory
        if self.scheduler is None and self.executor != "inline":
            memory = (memory - DRIVER_BYTES) // self.at_a_time
        if memory < LEAST_BYTES:
            raise ParameterError(
                f"{memory / 2**30:.2f} GiB for each worker ({self.at_a_time}); they need 1 GiB: give more"
                " --memory, or fewer --workers."
            )
        # No more than usual where tiles do: they are then the same whatever the workers and the memory.
        extents = (method(step.method, "restore").extent.kind for step in self.steps.steps)
        return min(memory, USUAL_BYTES) if all(kind == "tile" for kind in extents) else memory

    @property
    def page(self) -> Path:
        """Where the summary lies at the end."""
        return self.folder / f"{NAME}{Shard(*self.shard).suffix}.html"

    @property
    def rules(self) -> Rules:
        """For the driver."""
        return Rules(
            self.retries, self.timeout_s, self.fail_fast, self.devices, self.unit_memory, self.threads or 1
        )  # fmt: skip


def _gathered(asked: Batch) -> tuple[Item, ...]:
    return gather(
        asked.inputs, asked.folder, recipe=asked.recipe, name=asked.name, recursive=asked.recursive,
        patterns=asked.patterns,
    )  # fmt: skip


def _planned(
    asked: Batch, items: tuple[Item, ...], known: Mapping[str, Entry], is_stopped: Callable[[], bool] = lambda: False
) -> list[Planned]:
    number, count = asked.shard
    return plan(
        items[number - 1 :: count], asked.steps, asked.folder, known, memory=asked.unit_memory,
        existing=asked.existing, is_stopped=is_stopped,
    )  # fmt: skip


def prepare_batch(asked: Batch, *, estimate: bool) -> tuple[list[Planned], Estimate]:
    """What would be done, without doing it; ``estimate`` may restore a small piece of a scene, in memory.

    Raises ParameterError as ``gather`` does.
    """
    known = read_journals(asked.folder / HIDDEN)
    planned = _planned(asked, _gathered(asked), known)
    return planned, estimated(planned, known, asked.folder, asked.at_a_time, measure=estimate)


def carry_out_batch(
    asked: Batch,
    *,
    tell: Listener = lambda name, event, facts: None,
    say: Callable[[str], object] = lambda line: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> tuple[list[Planned], Tally]:
    """Do it, and write the summary.

    Parameters
    ----------
    tell : what happens to each scene, see ``drive``; before, ('', 'plan', {'scenes': [...]})
    say : told a line now and then
    is_stopped : asked twice a second

    Returns
    -------
    The plan, and what became of it.

    Raises
    ------
    Cancelled
        If it was stopped before it began.
    ParameterError, CapabilityError, OutputError
        If the inputs, the recipe, the cluster or the output folder are not as they must be.
    """
    unit_memory = asked.unit_memory  # too little is said before anything is made
    items = _gathered(asked)
    for item in items:
        recipe_for(asked.steps, item)
    shard, hidden = Shard(*asked.shard), asked.folder / HIDDEN
    with opened(asked.folder, shard) as (lease, journal):
        planned = _planned(asked, items, read_journals(hidden), is_stopped)
        scenes = [{"source": one.item.source, "out": one.item.out, "state": one.state, "samples": one.samples}
                  for one in planned]  # fmt: skip
        tell("", "plan", {"scenes": scenes, "memory": unit_memory})
        clear_left_overs(asked.folder, planned)
        with suppress(OSError):
            write_recipe(asked.steps, hidden / f"{asked.recipe}.toml", overwrite=True)
        waiting = sum(one.waits for one in planned)
        # No pool is begun for nothing.
        kind = asked.executor if waiting else "inline"
        with open_backend(kind, asked.at_a_time, asked.scheduler if waiting else None) as backend:
            if backend.told:
                say(backend.told)
            tally = drive(
                planned, asked.folder, lease, journal, backend, asked.rules, tell=tell, is_stopped=is_stopped
            )  # fmt: skip
        with suppress(OSError):
            (hidden / "work").rmdir()
        try:
            write_summary(
                asked.folder, planned, read_journals(hidden), asked.steps.to_toml(), tally.why, shard.suffix
            )  # fmt: skip
        except OutputError:
            if not tally.code:  # else what ended the batch, as a full disk, is what must be told
                raise
    return planned, tally


@dataclass
class Progresses:
    """How far a batch is, from what its listener is told."""

    total: int = 1
    finished: int = 0
    failed: int = 0
    shares: dict[str, float] = field(default_factory=dict)

    def begin(self, total: int) -> None:
        """There are so many scenes."""
        self.total = max(total, 1)

    def after(self, name: str, event: str, facts: dict[str, Any]) -> Progress:
        """The progress of all after an event of one."""
        if event in ("done", "same", "failed", "stopped"):
            self.finished += 1
            self.failed += event == "failed"
            self.shares.pop(name, None)
        elif event == "progress":
            with suppress(KeyError, TypeError, ValueError):
                self.shares[name] = float(facts["fraction"])
        fraction = min((self.finished + sum(self.shares.values())) / self.total, 1.0)
        failures = f", {self.failed} failed" if self.failed else ""
        return Progress(fraction, f"{self.finished} of {self.total}{failures}", 0.0, None)
