"""Where units are carried out, as concurrent.futures has it: in this process, in others, or on a dask cluster."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any, Literal

from hsi_app.errors import CapabilityError, ParameterError

Kind = Literal["inline", "processes", "dask"]
# How often a worker process looks whether its parent is still there.
ORPHAN_S = 0.5


class InlineExecutor(Executor):
    """Carries out each call when it is submitted."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call it now."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        # As a pool does: what it raised is in the future; but Ctrl-C is meant for who waits for it.
        except Exception as error:
            future.set_exception(error)
        return future


class Backend:
    """An executor that can be begun anew after its workers died.

    Parameters
    ----------
    start : makes the executor, and what closes it
    workers : units at a time
    """

    def __init__(
        self, kind: Kind, workers: int, start: Callable[[], tuple[Executor, Callable[[], None]]], told: str = ""
    ) -> None:
        self.kind, self.workers, self.told = kind, workers, told
        self._start = start
        self._executor, self._stop = start()

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """As an executor does."""
        return self._executor.submit(fn, *args)

    def begin_anew(self) -> None:
        """Replace workers that are broken, or hang; a cluster replaces its own."""
        if self.kind == "dask" and not self.has_gone:
            return
        self.close()
        self._executor, self._stop = self._start()

    @property
    def has_gone(self) -> bool:
        """True where the cluster that does the work cannot be reached any more."""
        client = getattr(self._executor, "_client", None)
        return client is not None and client.status != "running"

    def close(self) -> None:
        """End the workers at once; whatever they do is abandoned."""
        with suppress(Exception):  # a cluster that has gone cannot be closed, and need not be
            self._stop()


@contextmanager
def open_backend(kind: Kind, workers: int, scheduler: str | None = None) -> Iterator[Backend]:
    """Workers, for as long as they are needed.

    Parameters
    ----------
    kind : 'inline', 'processes' or 'dask'
    workers : how many; of a cluster at ``scheduler`` as many units are sent as it has threads
    scheduler : address of a dask cluster that runs already, 'tcp://host:8786'

    Raises
    ------
    CapabilityError
        If dask.distributed is not installed, or the scheduler cannot be reached.
    ParameterError
        If ``workers`` is below 1.
    """
    if workers < 1:
        raise ParameterError(f"{workers} workers; give 1 or more.")
    if kind == "dask":
        backend = _dask(workers, scheduler)
    elif kind == "processes":
        backend = Backend("processes", workers, lambda: _pool(workers))
    else:
        backend = Backend("inline", 1, lambda: (InlineExecutor(), lambda: None))
    try:
        yield backend
    finally:
        backend.close()


def _pool(workers: int) -> tuple[Executor, Callable[[], None]]:
    # Forked, a process inherits threads that have half of everything.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker, (os.getpid(),))

    def stop() -> None:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join(5)

    return pool, stop


def _begin_worker(parent: int) -> None:
    """Ctrl-C is the driver's to answer; and a worker whose driver was killed ends too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(ORPHAN_S)
        os._exit(1)

    if hasattr(os, "getppid") and os.name == "posix":
        threading.Thread(target=watch, name="hsi-orphan", daemon=True).start()


def _dask(workers: int, scheduler: str | None) -> Backend:
    try:
        import distributed
    except ImportError:
        raise CapabilityError(
            "dask.distributed is not installed; 'pip install hsi-app[cluster]' brings it, or use --workers without it."
        ) from None
    told: list[str] = []

    def start() -> tuple[Executor, Callable[[], None]]:
        try:
            if scheduler is None:
                cluster = distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=":0", memory_limit=None,
                )  # fmt: skip
                client = distributed.Client(cluster)
            else:
                cluster, client = None, distributed.Client(scheduler, timeout="20s")
        except (OSError, TimeoutError, ValueError) as error:
            place = "a cluster on this machine" if scheduler is None else f"'{scheduler}'"
            raise CapabilityError(f"{place} cannot be reached: {' '.join(str(error).split())}.") from None
        told[:] = [str(client.dashboard_link)]

        def stop() -> None:
            client.close(timeout=5)
            if cluster is not None:
                cluster.close(timeout=10)

        # A unit whose worker died is sent again by the driver, which counts.
        return client.get_executor(pure=False, retries=0), stop

    backend = Backend("dask", workers, start)
    if scheduler is not None:
        client = backend._executor._client  # type: ignore[attr-defined]
        backend.workers = max(1, sum(client.nthreads().values()))
    if told and find_spec("bokeh") is not None:
        backend.told = f"dashboard: {told[0]}"
    return backend
