"""What the Batch dock is told of scenes, and what it asks of the other process. No toolkit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hsi_napari.batch_request import MANY, PROGRAM, Request, Source
from hsi_napari.batch_scenes import Scenes, left, parsed, span

# ---- scenes --------------------------------------------------------------------------------------------------------


def planned(count: int, state: str = "to do") -> list[dict[str, Any]]:
    return [{"source": f"/in/s{n}.hdr", "out": f"s{n}.hdr", "state": state} for n in range(count)]


def happened(scenes: Scenes, *events: tuple[str, str], now: float = 0.0, **facts: Any) -> None:
    for out, event in events:
        scenes.apply({"level": "event", "event": event, "out": out, **facts}, now)


def test_events_move_scenes_through_their_states() -> None:
    scenes = Scenes()
    scenes.begin([*planned(3), {"source": "b", "out": "b.hdr", "state": "failed"}])
    assert [scene.state for scene in scenes.rows] == ["waiting"] * 3 + ["failed"]
    happened(scenes, ("s0.hdr", "started"), ("s1.hdr", "started"))
    happened(scenes, ("s0.hdr", "progress"), fraction=0.5, message="tile 2 of 4", remaining_s=7.0)
    assert (scenes.rows[0].fraction, scenes.rows[0].message, scenes.rows[0].left_s) == (0.5, "tile 2 of 4", 7.0)
    assert scenes.fraction == pytest.approx((1 + 0.5) / 4)
    happened(scenes, ("s0.hdr", "done"), seconds=3.2, did=["denoise with lowrank"], notes=["dark"])
    happened(scenes, ("s1.hdr", "again"), reason="its worker died")
    assert (scenes.rows[1].state, scenes.rows[1].reason) == ("waiting", "is tried again: its worker died")
    happened(scenes, ("s1.hdr", "started"))
    happened(scenes, ("s1.hdr", "failed"), reason="no spectrum in it")
    happened(scenes, ("s2.hdr", "same"))
    assert [scene.state for scene in scenes.rows] == ["done", "failed", "same", "failed"]
    assert scenes.fraction == 1
    assert scenes.tally() == "1 of 3 done · 1 as before · 2 failed"
    assert (scenes.next_failed(-1), scenes.next_failed(1), scenes.next_failed(3)) == (1, 3, 1)


def test_what_was_stopped_or_cut_off_waits_for_the_next_run() -> None:
    scenes = Scenes()
    scenes.begin(planned(2))
    happened(scenes, ("s0.hdr", "started"), ("s1.hdr", "started"), ("s0.hdr", "stopped"))
    scenes.settle()
    assert [scene.state for scene in scenes.rows] == ["waiting", "waiting"]
    assert all("goes on from there" in scene.reason for scene in scenes.rows)
    assert scenes.fraction == 0


def test_the_time_left_counts_only_what_was_to_be_done() -> None:
    scenes = Scenes()
    scenes.begin([*planned(6, "done"), {"source": "a", "out": "a.hdr", "state": "to do"},
                  {"source": "b", "out": "b.hdr", "state": "check"}])  # fmt: skip
    assert scenes.left_s(50.0) is None
    happened(scenes, ("a.hdr", "started"), now=100.0)
    assert scenes.left_s(101.0) is None
    happened(scenes, ("a.hdr", "progress"), fraction=0.5, now=110.0)
    # Half of one of two in ten seconds leaves thirty.
    assert scenes.left_s(110.0) == pytest.approx(30.0)
    assert (left(30.0), left(200.0), left(None), span(7200)) == ("about 30 s left", "about 3 min left", "", "2.0 h")


@pytest.mark.parametrize(
    "event",
    [{}, {"event": "done"}, {"event": "done", "out": "elsewhere.hdr"}, {"event": "invented", "out": "s0.hdr"},
     {"event": "progress", "out": "s0.hdr", "fraction": "x", "remaining_s": [], "message": None},
     {"event": "done", "out": "s0.hdr", "seconds": "x", "did": 3, "notes": [1]}],
)  # fmt: skip
def test_events_that_are_not_as_they_should_be_harm_nothing(event: dict[str, Any]) -> None:
    scenes = Scenes()
    scenes.begin(planned(1))
    scenes.apply(event, 0.0)
    assert 0 <= scenes.fraction <= 1


def test_lines_that_are_no_entries_are_plain_text() -> None:
    assert parsed('{"level": "event"}') == {"level": "event"}
    assert [parsed(line) for line in ("error: no", "{torn", "[1]", '{"a": ' + "[" * 100_000)] == [None] * 4


# ---- what is asked -------------------------------------------------------------------------------------------------


def asked(tmp_path: Path, **more: Any) -> Request:
    given = {"recipe": str(tmp_path / "quick.toml"), "folder": str(tmp_path / "out")}
    return Request(**{**given, **more})


def test_the_command_is_given_what_the_form_shows(tmp_path: Path) -> None:
    options = {"existing_results": "redo", "recursive": True, "workers": 3, "memory": "8G", "device": "cpu"}
    sources = (Source("-odd.hdr", "file"), Source("/in", "folder"))
    request = asked(tmp_path, sources=sources, name="{stem}_x.tif", options=options)
    given = request.arguments(tmp_path, is_dry=True)
    assert given[: len(PROGRAM)] == list(PROGRAM)
    for pair in (["--existing", "redo"], ["--workers", "3"], ["--memory", "8G"], ["--device", "cpu"],
                 ["--name", "{stem}_x.tif"], ["--out", str(tmp_path / "out")]):  # fmt: skip
        assert given[given.index(pair[0]) + 1] == pair[1]
    assert {"--recursive", "--dry-run", "--json"} <= set(given)
    # Nothing behind the two dashes is taken for an option.
    assert given[given.index("--") :] == ["--", str(tmp_path / "quick.toml"), "-odd.hdr", "/in"]


def test_thousands_of_files_are_handed_over_as_a_list_in_their_order(tmp_path: Path) -> None:
    files = [Source(f"/in/s{n}.hdr", "file") for n in range(MANY + 1)]
    odd = Source("/in/ends in a space.hdr ", "file")
    given = asked(tmp_path, sources=(Source("/a", "folder"), *files, odd)).arguments(tmp_path)
    folder, listed, last = given[given.index("--") + 2 :]
    assert (folder, last) == ("/a", odd.path)
    assert Path(listed).read_text(encoding="utf-8").splitlines() == [source.path for source in files]


# ---- what it costs -------------------------------------------------------------------------------------------------


@pytest.mark.slow  # starts a second napari
def test_the_dock_loads_no_torch() -> None:
    pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")
    code = "import sys, hsi_napari.batch_dock\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
