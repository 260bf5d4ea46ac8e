"""No damaged file makes a traceback, a crash, a hang, a heap of memory or a file: it opens, or gives one line.

A mutant that fails is made again by ``write_mutant(kind, number, folder)``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.originals import KINDS, write_mutant

ROOT = Path(__file__).resolve().parents[2]
# 14 kinds: 5040 mutants in all.
ALL = 360
FEW = 40


def tried(folder: Path, kind: str, first: int, count: int) -> list[dict[str, Any]]:
    """What came of mutants ``first`` ... of a kind, a crash or a hang being the defect of the one it came with."""
    done: list[dict[str, Any]] = []
    while (at := first + len(done)) < first + count:
        place = folder / f"{kind} {at}"
        place.mkdir()
        run = subprocess.run(
            [sys.executable, "-W", "error", "-m", "tests.fuzz.trial", str(place), f"{kind}:{at}:{first + count - at}"],
            cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=600,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        done += [line for line in lines if "done" in line]
        if run.returncode:
            assert lines, run.stderr
            assert "begun" in lines[-1], run.stderr
            done.append({"done": lines[-1]["begun"], "result": "defect", "message": run.stderr[-2500:]})
    return done


def check(outcomes: list[dict[str, Any]]) -> None:
    """Fail with the first few defects; and where nothing opens, or nothing is refused, for then nothing was tried."""
    defects = [f"{line['done']}: {line['message']}" for line in outcomes if line["result"] == "defect"]
    assert not defects, f"{len(defects)} defects:\n" + "\n\n".join(defects[:5])
    assert {line["result"] for line in outcomes} == {"opened", "refused"}
    assert max(line["grown_mb"] for line in outcomes) < 100


@pytest.mark.parametrize("kind", KINDS)
def test_few_damaged_files_open_or_give_one_line(tmp_path: Path, kind: str) -> None:
    check(tried(tmp_path, kind, 0, FEW))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_five_thousand_damaged_files_open_or_give_one_line(tmp_path: Path, kind: str) -> None:
    check(tried(tmp_path, kind, 0, ALL))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutant_is_made_again_from_its_kind_and_number(tmp_path: Path, kind: str) -> None:
    made = []
    for name in ("once", "again"):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(5):
            (folder / str(number)).mkdir()
            write_mutant(kind, number, folder / str(number))
        made.append({f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()})
    assert made[0] == made[1]
    assert made[0]
