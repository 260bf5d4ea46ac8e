"""Open mutants one after another under guard: ``python -m tests.fuzz.trial FOLDER KIND:FIRST:COUNT ...``.

A process of its own, for a damaged file may make a C library crash, hang or ask for all memory. Each mutant prints a
line of JSON when it is begun and one when it is done: what came of it, in how long.
"""

from __future__ import annotations

import faulthandler
import json
import os
import platform
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

# Beyond what is there once all is imported.
MEMORY_BYTES = 500 * 2**20
SECONDS = 5
# What a reader has no business with.
_FORBIDDEN = (
    "pickle.find_class", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "os.system", "os.exec", "os.fork", "subprocess.Popen", "shutil.", "socket.connect", "tempfile.",
)  # fmt: skip
_seen: list[str] = []
_watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    writes = event == "open" and (
        (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"))
        or (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    )
    if writes or event.startswith(_FORBIDDEN):
        _seen.append(f"{event} {arguments!r}"[:300])


def _use(kind: str, path: Path, number: int) -> None:
    """What a person would do with the file."""
    if kind == "recipe":
        from hsi_app.recipe import read_recipe

        read_recipe(path)
        return
    if kind == "library":
        from hsi_app.io import read_library

        read_library(path)
        return
    from hsi_app.io import can_read, list_arrays, open_cube
    from hsi_app.tiling import Window

    can_read(path)
    cube = open_cube(path, wavelengths=number % 4 != 0)
    bands, height, width = cube.shape
    cube.axis.label(0), cube.georef and cube.georef.describe(), repr(cube)
    for row, col in ((0, 0), (max(height - 2, 0), max(width - 2, 0))):
        cube.block(Window(row, col, min(2, height), min(2, width)), bands=slice(max(bands - 2, 0), bands))
    list_arrays(path)


def _outcome(kind: str, path: Path, number: int) -> tuple[str, str]:
    """'opened', 'refused' or 'defect', and the message or the trace."""
    from hsi_app.errors import HsiError

    try:
        _use(kind, path, number)
    except HsiError as error:
        message = str(error)
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MemoryError):
                return "defect", f"refused only when {type(cause).__name__} came: {traceback.format_exc()[-2500:]}"
            cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
        if len(message.splitlines()) != 1 or not message.isprintable():
            return "defect", f"not one plain line: {message[:400]!r}"
        if len(message) > 1000:
            return "defect", f"a line of {len(message)} letters: {message[:300]!r}"
        return "refused", message
    except BaseException:
        return "defect", traceback.format_exc()[-2500:]
    return "opened", ""


def _files(folder: Path) -> list[str]:
    return sorted(str(entry.relative_to(folder)) for entry in folder.rglob("*"))


def main(arguments: list[str]) -> None:
    """Run the mutants that the arguments name."""
    global _watching
    from tests.fuzz.originals import write_mutant

    outer = Path(arguments[0])
    platform.processor()  # asked by lazily imported packages, of another program
    sys.addaudithook(_watch)
    for part in arguments[1:]:
        kind, first, count = part.split(":")
        for number in range(int(first), int(first) + int(count)):
            folder = outer / "inside" / "mutant"
            folder.mkdir(parents=True)
            path = write_mutant(kind, number, folder)
            # Lazily imported packages must not count: the first mutant of a kind is opened twice.
            if number == int(first):
                _outcome(kind, path, number)
            os.chdir(folder)
            before = _files(outer)
            print(json.dumps({"begun": [kind, number]}), flush=True)
            with open("/proc/self/statm", "rb") as file:
                pages = int(file.read().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, -1))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            _seen.clear()
            started, _watching = time.monotonic(), True
            result, message = _outcome(kind, path, number)
            _watching, took = False, time.monotonic() - started
            faulthandler.cancel_dump_traceback_later()
            resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
            if _seen:
                result, message = "defect", f"did what no reader does: {_seen[:3]}"
            if _files(outer) != before:
                result, message = "defect", f"left files: {sorted(set(_files(outer)) ^ set(before))}"
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) // 1024
            print(json.dumps({"done": [kind, number], "result": result, "message": message, "seconds": round(took, 3),
                              "grown_mb": grown}), flush=True)  # fmt: skip
            os.chdir(outer)
            shutil.rmtree(outer / "inside")


if __name__ == "__main__":
    main(sys.argv[1:])
