"""Drives a batch: hands out units, counts what comes back, begins again what was interrupted, and keeps the journal."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hsi_app.batch.executors import Backend
from hsi_app.batch.items import HIDDEN
from hsi_app.batch.journal import Entry, Journal
from hsi_app.batch.lease import Lease, Shard, ask_to_stop, held
from hsi_app.batch.planning import Planned
from hsi_app.batch.unit import Outcome, Unit, work_folder
from hsi_app.batch.work import PROGRESS, carry_out
from hsi_app.errors import CheckpointError, OutputError

# How often the driver looks up while nothing comes back, and what it waits before a second try.
LOOK_S, AGAIN_S = 0.5, 1.0
# Seconds that a worker has to stop after it was asked to, before it is ended.
GRACE_S = 30.0
# A worker that holds a scene for its old driver has this long to see that it is gone; see ``lease``.
HELD_TRIES = 20
# The share of a scene that only prepares it, and how many others there are: some worker is always the last.
PREPARES, SHARES_PER_WORKER = (0, 0), 4


@dataclass(frozen=True)
class Rules:
    """How a batch goes on when something goes wrong, and with what each scene is done.

    retries : further tries of a scene whose failure may have been an accident
    timeout_s : for one scene
    fail_fast : stop at the first failure
    devices : taken in turn by what is in work at a time; memory, threads : of a unit, see ``Unit``
    """

    retries: int = 1
    timeout_s: float | None = None
    fail_fast: bool = False
    devices: tuple[str, ...] = ("cpu",)
    memory: int = 4 * 2**30
    threads: int = 1


@dataclass
class _Task:
    """A scene, or a share of one, that waits or is in work; ``since`` says from when on it may begin, then when it did.

    share, key : see ``Unit``
    """

    planned: Planned
    share: tuple[int, int] | None = None
    key: str | None = None
    tries: int = 0
    since: float = 0.0
    is_late: bool = False
    device: str = ""


@dataclass
class Tally:
    """What became of the scenes, by name of the result; ``why`` the batch ended early, if it did."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    why: str = ""
    code: int = 0
    seconds: float = 0.0

    def count(self, *states: str) -> int:
        """How many are in these states."""
        return sum(outcome.state in states for outcome in self.outcomes.values())


# What a listener is told: a scene's name, what happened to it, and plain facts.
Listener = Callable[[str, str, dict[str, object]], None]


@contextmanager
def opened(folder: Path, shard: Shard) -> Iterator[tuple[Lease, Journal]]:
    """The output folder held by this process, with its journal.

    Raises OutputError if it cannot be written, or another batch holds it.
    """
    hidden = folder / HIDDEN
    if hidden.is_symlink():
        raise OutputError(f"'{hidden}' is a link; remove it.")
    try:
        hidden.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{folder}' cannot be used: {error.strerror or error}; choose another folder.") from None
    with held(hidden, shard) as lease:
        journal = Journal(hidden / f"journal{shard.suffix}.jsonl")
        try:
            yield lease, journal
        finally:
            journal.close()


def drive(
    planned: Sequence[Planned],
    folder: Path,
    lease: Lease,
    journal: Journal,
    backend: Backend,
    rules: Rules,
    *,
    tell: Listener = lambda name, event, facts: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Tally:
    """Do all that is to be done.

    Parameters
    ----------
    lease, journal : see ``opened``
    tell : called in this thread: 'started', 'progress', 'again', 'done', 'same', 'failed', 'stopped'
    is_stopped : asked twice a second; True lets the workers stop

    Returns
    -------
    Tally with an outcome for every scene that was done or looked at; scenes that were not reached have none.
    """
    run = _Run(folder, lease, journal, backend, rules, tell)
    began = time.monotonic()
    try:
        run.go(planned, is_stopped)
    finally:
        run.tally.seconds = time.monotonic() - began
        if run.flying:  # nobody waits for them any more
            ask_to_stop(lease)
    return run.tally


class _Run:
    def __init__(
        self, folder: Path, lease: Lease, journal: Journal, backend: Backend, rules: Rules, tell: Listener
    ) -> None:
        self.folder, self.lease, self.journal, self.backend = folder, lease, journal, backend
        self.rules, self.tell = rules, tell
        self.tally = Tally()
        self.flying: dict[Future[Outcome], _Task] = {}
        self.waiting: deque[_Task] = deque()
        # Of scenes that were shared out: shares that are not done yet, and how many there were.
        self._shares: dict[str, tuple[int, int]] = {}
        self._asked, self._is_broken = 0.0, False
        self._is_stopped: Callable[[], bool] = lambda: False

    def go(self, planned: Sequence[Planned], is_stopped: Callable[[], bool]) -> None:
        self._is_stopped = is_stopped
        work = sum(one.samples for one in planned if one.waits)
        for one in planned:
            if one.state == "done":
                self._settle(one, Outcome("same"))
            elif one.state == "failed":
                self._settle(one, Outcome("failed", one.reason, one.code), is_planned=True)
            else:
                # One scene that would keep one worker busy while the others have nothing to do is shared out.
                if self.backend.workers > 1 and one.can_share and one.samples * self.backend.workers > work:
                    self.waiting.appendleft(_Task(one, PREPARES))
                else:
                    self.waiting.append(_Task(one))
        while self.waiting or self.flying:
            if not self.tally.why and is_stopped():
                self._end("stopped on request; the same command goes on from there.", 130)
            self._send()
            if self.waiting and not self.flying:  # ``wait`` would not wait
                time.sleep(LOOK_S / 5)
                continue
            done, _ = wait(self.flying, timeout=LOOK_S, return_when=FIRST_COMPLETED)
            for future in done:
                task = self.flying.pop(future, None)
                if task is not None:
                    self._came_back(future, task)
            if not done:
                self._look()

    def _send(self) -> None:
        if self.tally.why:
            self.waiting.clear()
            return
        if self._is_broken:
            if self.flying:
                return  # the others of a broken pool come back first
            self.backend.begin_anew()
            self._is_broken = False
        now, passed = time.monotonic(), 0
        while self.waiting and len(self.flying) < self.backend.workers and passed < len(self.waiting):
            task = self.waiting.popleft()
            if task.since > now:
                self.waiting.append(task)
                passed += 1
                continue
            self._start(task)
            # A pool that broke between two units would refuse all the others too.
            if self.backend.kind == "inline" or self._is_broken:
                return

    def _start(self, task: _Task) -> None:
        planned, name = task.planned, task.planned.item.out
        if name not in self._shares:
            self._write(Entry(name, "started"))
            self.tell(name, "started", {"try": task.tries + 1})
        unit = Unit(
            str(self.folder), name, planned.item.source, planned.item.mask, planned.recipe.to_toml(), self.lease,
            self._device(), self.rules.memory, self.rules.threads, planned.known_key, self.rules.timeout_s,
            task.share, task.key,
        )  # fmt: skip
        task.since, task.device = time.monotonic(), unit.device
        try:
            with self._heard():
                self.flying[self.backend.submit(carry_out, unit)] = task
        # A pool whose worker died between two units says so here.
        except Exception as error:
            self._lost(task, error)

    def _device(self) -> str:
        """The one that the fewest in work have."""
        used = [task.device for task in self.flying.values()]
        return min(self.rules.devices, key=used.count)

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """A unit carried out in this very thread stops on request too."""
        if self.backend.kind != "inline":
            yield
            return
        over = threading.Event()

        def listen() -> None:
            while not over.wait(LOOK_S):
                if self._is_stopped():
                    ask_to_stop(self.lease)
                    return

        thread = threading.Thread(target=listen, name="hsi-stop", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _came_back(self, future: Future[Outcome], task: _Task) -> None:
        error = future.exception() if not future.cancelled() else None
        if future.cancelled() or error is not None:
            self._lost(task, error)
            return
        outcome = future.result()
        is_held = outcome.code == CheckpointError.exit_code and outcome.again
        most = HELD_TRIES if is_held else self.rules.retries
        if outcome.state == "failed" and outcome.again and task.tries < most and not self.tally.why:
            self._again(task, outcome.reason)
        else:
            self._finished(task, outcome)

    def _lost(self, task: _Task, error: BaseException | None) -> None:
        """The worker died; all that were with it are tried again."""
        self._is_broken = True
        what = f"{type(error).__name__}: {error}" if error is not None else "cancelled"
        reason = "it took longer than its time, and did not stop" if task.is_late else f"its worker died ({what})"
        reason = " ".join(reason.split())[:300]
        if self.backend.has_gone:
            self._end("the cluster has gone; the same command goes on from there.", 1)
        # A worker may be ended by what its neighbour did: one try more than asked for.
        if task.tries <= self.rules.retries and not task.is_late and not self.tally.why:
            self._again(task, reason)
        else:  # at the end of a batch that ends early it is not the scene's fault: what it has got so far is kept
            self._finished(task, Outcome("stopped" if self.tally.why else "failed", reason, self.tally.code or 1))

    def _again(self, task: _Task, reason: str) -> None:
        self.tell(task.planned.item.out, "again", {"reason": reason})
        later = time.monotonic() + AGAIN_S
        self.waiting.append(_Task(task.planned, task.share, task.key, task.tries + 1, later))

    def _finished(self, task: _Task, outcome: Outcome) -> None:
        """Settle a scene; but one that was prepared is shared out, and after the last share comes the whole of it."""
        name = task.planned.item.out
        if task.share == PREPARES and outcome.state == "shared":
            count = min(outcome.facts["tiles"], SHARES_PER_WORKER * self.backend.workers)
            self._shares[name] = count, count
            shares = [(number, count) for number in reversed(range(count))]
            self.waiting.extendleft(_Task(task.planned, share, outcome.facts["key"]) for share in shares)
        elif task.share is None or task.share == PREPARES or outcome.state == "stopped":
            self._settle(task.planned, outcome)
        else:  # what a share could not do is done, or fails, with the whole
            left, count = self._shares[name]
            self._shares[name] = left - 1, count
            self.tell(name, "progress", {"fraction": 0.9 * (1 - (left - 1) / count), "message": "shares"})
            if left == 1:
                self.waiting.appendleft(_Task(task.planned, None, task.key))

    def _settle(self, planned: Planned, outcome: Outcome, *, is_planned: bool = False) -> None:
        name = planned.item.out
        # What was found out by planning will be again; in the journal it would hide what became of the result before.
        if outcome.state == "done" or (outcome.state == "failed" and not is_planned):
            facts = outcome.facts if outcome.state == "done" else {"reason": outcome.reason, "code": outcome.code}
            self._write(Entry(name, outcome.state, facts))
        elif outcome.facts:  # looked at again, and the same: next time its files need no reading
            self._write(Entry(name, "done", outcome.facts))
        if outcome.state == "failed":
            shutil.rmtree(work_folder(self.folder, name), ignore_errors=True)
        self.tally.outcomes[name] = outcome
        self.tell(name, outcome.state, {"reason": outcome.reason, **outcome.facts})
        if outcome.is_full:
            self._end(f"the disk is full: {outcome.reason}", 5)
        elif outcome.state == "failed" and self.rules.fail_fast:
            self._end("stopped at the first failure (--fail-fast).", 3)

    def _write(self, entry: Entry) -> None:
        """Into the journal; where that takes no more nothing can go on."""
        try:
            self.journal.add(entry)
        except OutputError as error:
            self._end(str(error), 5)

    def _end(self, why: str, code: int) -> None:
        if not self.tally.why:
            self.tally.why, self.tally.code = why, code
            ask_to_stop(self.lease)
            self._asked = time.monotonic()

    def _look(self) -> None:
        """While nothing comes back: how far are they, and does one hang?"""
        now = time.monotonic()
        limit = None if self.rules.timeout_s is None else self.rules.timeout_s + GRACE_S
        hung = [one for one in self.flying.values() if limit is not None and now - one.since > limit]
        if self.tally.why and now - self._asked > GRACE_S:
            hung = list(self.flying.values())
        if hung:
            for one in hung:
                one.is_late = True
            lost = list(self.flying.values())
            self.flying.clear()
            self.backend.close()
            if not self.tally.why:
                self.backend.begin_anew()  # before anybody asks whether a cluster has gone
            for task in lost:
                self._lost(task, None)
            return
        for one in self.flying.values():
            name = one.planned.item.out
            with suppress(OSError, ValueError):
                text = (work_folder(self.folder, name) / PROGRESS).read_text(encoding="utf-8")
                self.tell(name, "progress", json.loads(text))


def clear_left_overs(folder: Path, planned: Sequence[Planned]) -> None:
    """Remove what killed workers left of scenes that are not to be done again."""
    for one in planned:
        if one.state in ("done", "failed"):
            shutil.rmtree(work_folder(folder, one.item.out), ignore_errors=True)
