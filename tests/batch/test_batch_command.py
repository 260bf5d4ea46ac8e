"""``hsi-app batch`` from end to end."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_batches import (
    PATIENCE_S,
    RECIPE,
    asked,
    begun,
    contents,
    done,
    left_overs,
    run,
    scene,
    scenes,
    start,
    until,
    write_recipe_file,
)  # fmt: skip

from hsi_app.batch.driver import opened
from hsi_app.batch.items import HIDDEN
from hsi_app.batch.lease import Shard
from hsi_app.errors import OutputError


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe_file(tmp_path / "quiet.toml")


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """Six scenes, of which one lost the end of its data and one has a header of nonsense."""
    folder = scenes(tmp_path / "in", 6, bands=8, size=8)
    data = (folder / "s02.bsq").read_bytes()
    (folder / "s02.bsq").write_bytes(data[: len(data) // 3])
    (folder / "s04.hdr").write_text("ENVI\nsamples = many\nlines = -3\nbands = 8\ndata type = 99\n")
    return folder


def test_bad_scenes_are_named_and_the_rest_is_done(tmp_path: Path, recipe: Path, night: Path) -> None:
    out = tmp_path / "out"
    first = run(recipe, night, "-o", out, "--workers", "1")
    assert first.exit_code == 3, first.output
    assert sorted(path.name for path in out.glob("*.bsq")) == ["s00.bsq", "s01.bsq", "s03.bsq", "s05.bsq"]
    lines = [line for line in first.stderr.splitlines() if line.startswith("s0")]
    assert [line.partition(":")[0] for line in lines] == ["s02.hdr", "s04.hdr"]
    assert first.stdout.startswith(f"{out}: 4 done, 2 failed, ")
    rows = json.loads((out / "batch.json").read_text())["scenes"]
    assert [row["state"] for row in rows] == ["done", "done", "failed", "done", "failed", "done"]
    page = (out / "batch.html").read_text()
    for line, row in zip(lines, (rows[2], rows[4]), strict=True):
        assert row["reason"]
        assert row["reason"] in line
        assert row["out"].removesuffix(".hdr") in page
    before = contents(out)
    again = run(recipe, night, "-o", out, "--workers", "1")
    assert again.exit_code == 3
    assert again.stdout.startswith(f"{out}: 4 as before, 2 failed, ")
    assert contents(out) == before
    assert left_overs(out) == []


def test_a_second_run_has_nothing_to_do(tmp_path: Path, recipe: Path) -> None:
    source = scenes(tmp_path / "in", 2, bands=8, size=8)
    assert run(recipe, source, "-o", tmp_path / "out", "--workers", "1").exit_code == 0
    before = contents(tmp_path / "out")
    again = run(recipe, source, "-o", tmp_path / "out", "--workers", "2")
    assert again.exit_code == 0
    assert "nothing to do: all 2 results are there" in again.stdout
    assert again.stderr == ""
    assert contents(tmp_path / "out") == before


def test_a_dry_run_shows_all_and_makes_nothing(tmp_path: Path, recipe: Path, night: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    shown = run(recipe, night, "-o", tmp_path / "out", "--dry-run")
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["to", "to", "failed", "to", "failed", "to"]
    assert [line.partition(":")[0] for line in lines[6:]] == ["time", "memory", "disk", "biggest risk"]
    assert sorted(tmp_path.rglob("*")) == before


def test_json_of_plan_and_outcome_is_json(tmp_path: Path, recipe: Path, night: Path) -> None:
    out = tmp_path / "out"
    plan = json.loads(run(recipe, night, "-o", out, "--dry-run", "--json").stdout)
    assert [row["state"] for row in plan["scenes"]].count("failed") == 2
    assert plan["risk"].startswith("the inputs: 2 of 6 cannot be done")
    assert plan["seconds"] > 0
    found = run(recipe, night, "-o", out, "--workers", "1", "--json")
    assert found.exit_code == 3
    outcome = json.loads(found.stdout)
    assert (outcome["done"], outcome["failed"], outcome["not_reached"], outcome["ended"]) == (4, 2, 0, "")
    assert {row["out"]: row["state"] for row in outcome["scenes"]}["s04.hdr"] == "failed"


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "a/b", "1/", "/3", "-1/3", "1/2/3", "1.0/3", "1/99999"])
def test_a_wrong_shard_is_one_line(tmp_path: Path, recipe: Path, text: str) -> None:
    refused = run(recipe, tmp_path, "-o", tmp_path / "out", f"--shard={text}")
    assert refused.exit_code == 2
    assert refused.stderr == f"error: --shard '{text}': write i/n with i from 1 to n, such as 3/10.\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--name", "{stem.__class__}"], "--name"), (["--workers", "0"], "--workers"),
        (["--timeout", "0"], "--timeout"),
        (["--existing", "maybe"], "--existing"), (["--memory", "1G", "--workers", "4"], "fewer --workers"),
    ],
)  # fmt: skip
def test_wrong_options_are_one_line(tmp_path: Path, recipe: Path, options: list[str], words: str) -> None:
    refused = run(recipe, scene(tmp_path / "a.hdr"), "-o", tmp_path / "out", *options)
    assert refused.exit_code == 2
    last = refused.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert words in last
    assert not (tmp_path / "out").exists()


@pytest.mark.slow  # it is tried for 20 s
def test_a_scheduler_that_is_not_there_is_one_line(tmp_path: Path, recipe: Path) -> None:
    pytest.importorskip("distributed")
    refused = run(recipe, scene(tmp_path / "a.hdr"), "-o", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1")
    assert refused.exit_code == 2
    assert "error: 'tcp://127.0.0.1:1' cannot be reached" in refused.stderr.splitlines()[-1]


def test_an_absent_recipe_and_absent_scenes(tmp_path: Path, recipe: Path) -> None:
    assert run(tmp_path / "no.toml", tmp_path, "-o", tmp_path / "out").exit_code == 4
    (tmp_path / "empty").mkdir()
    refused = run(recipe, tmp_path / "empty", "-o", tmp_path / "out")
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "out").exists()


def test_fail_fast_does_not_reach_the_rest(tmp_path: Path, recipe: Path) -> None:
    folder = scenes(tmp_path / "in", 3, bands=8, size=8)
    (folder / "s01.bsq").write_bytes(np.full(8 * 64, np.nan, "<f4").tobytes())
    stopped = run(recipe, folder, "-o", tmp_path / "out", "--workers", "1", "--fail-fast")
    assert stopped.exit_code == 3
    assert "1 done, 1 failed, 1 not reached" in stopped.stdout
    rows = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert [row["state"] for row in rows["scenes"]] == ["done", "failed", "not reached"]
    assert rows["ended"] == "stopped at the first failure (--fail-fast)."


def test_a_full_disk_ends_with_5_though_the_summary_finds_no_room_either(
    tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OutputError("'x' cannot be written: No space left on device.") from OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("hsi_app.recipe.run_recipe", refuse)
    monkeypatch.setattr("hsi_app.batch.run.write_summary", refuse)
    full = run(recipe, scenes(tmp_path / "in", 2, bands=8, size=8), "-o", tmp_path / "out", "--workers", "1")
    assert full.exit_code == 5
    assert "the disk is full: 'x' cannot be written: No space left on device." in full.stderr
    assert "1 failed, 1 not reached" in full.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_names_that_are_no_text_spoil_nothing(tmp_path: Path, recipe: Path) -> None:
    folder, out = tmp_path / os.fsdecode(b"flight\xff"), tmp_path / "out"
    scene(folder / "a.hdr", bands=8, size=8)
    (folder / "b.hdr").write_text("no cube")
    assert run(recipe, folder, "-o", out, "--dry-run").exit_code == 0
    found = run(recipe, folder, "-o", out, "--workers", "1")
    assert found.exit_code == 3, found.output
    assert "1 done, 1 failed" in found.stdout
    source = str(folder / "a.hdr")
    assert json.loads((out / "batch.json").read_text())["scenes"][0]["source"] == source
    assert json.loads((out / "a.hdr.json").read_text())["source"] == source
    told = json.loads(run(recipe, folder, "-o", out, "--dry-run", "--json").stdout)
    assert told["scenes"][0]["source"] == source


def test_a_table_from_end_to_end(tmp_path: Path, recipe: Path) -> None:
    scenes(tmp_path, 2, bands=8, size=8)
    (tmp_path / "night.csv").write_text("file,out,rank\ns00.hdr,x/one.tif,2\ns01.hdr,,3\n")
    assert run(recipe, tmp_path / "night.csv", "-o", tmp_path / "out", "--workers", "1").exit_code == 0
    assert sorted(contents(tmp_path / "out")) == [
        "s01.bsq", "s01.hdr", "s01.hdr.json", "x/one.tif", "x/one.tif.json",
    ]  # fmt: skip
    record = json.loads((tmp_path / "out" / "x" / "one.tif.json").read_text())
    assert record["steps"][0]["options"]["rank"] == 2


# Workers in other processes


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A folder with scenes, one of several tiles, and the results of a batch in this process."""
    folder = tmp_path_factory.mktemp("inline")
    scenes(folder / "in", 3, bands=8, size=16)
    scene(folder / "in" / "wide.hdr", 9, bands=8, size=48)
    write_recipe_file(folder / "quiet.toml", replace(RECIPE, tile=24))
    assert run(folder / "quiet.toml", folder / "in", "-o", folder / "out", "--workers", "1").exit_code == 0
    return folder, contents(folder / "out")


def test_two_processes_give_the_same_bytes(inline: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    folder, expected = inline
    found = run(folder / "quiet.toml", folder / "in", "-o", tmp_path / "out", "--workers", "2")
    assert found.exit_code == 0, found.output
    assert contents(tmp_path / "out") == expected
    assert left_overs(tmp_path / "out") == []


def test_three_shards_give_the_same_bytes(inline: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    folder, expected = inline
    for number in (3, 1, 2):
        shard = run(
            folder / "quiet.toml", folder / "in", "-o", tmp_path / "out", "--workers", "1", "--shard", f"{number}/3"
        )  # fmt: skip
        assert shard.exit_code == 0, shard.output
        assert (tmp_path / "out" / f"batch-{number}-of-3.html").is_file()
    assert contents(tmp_path / "out") == expected
    assert "nothing to do: all 4" in run(folder / "quiet.toml", folder / "in", "-o", tmp_path / "out").stdout


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_bytes(inline: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    folder, expected = inline
    out = tmp_path / "out"
    found = run(folder / "quiet.toml", folder / "in", "-o", out, "--workers", "2", "--executor", "dask")
    assert found.exit_code == 0, found.output
    assert contents(out) == expected
    assert left_overs(out) == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(
    inline: tuple[Path, dict[str, bytes]], tmp_path: Path, workers: str
) -> None:
    folder, expected = inline
    arguments: list[Path | str] = [folder / "quiet.toml", folder / "in", "-o", tmp_path / "out", "--workers", workers]
    with start(*arguments) as batch:
        assert until(lambda: begun(tmp_path / "out") >= 1)
        batch.send_signal(signal.SIGINT)
        _, told = batch.communicate(timeout=PATIENCE_S)
    assert batch.returncode == 130, told
    assert "stopped on request; the same command goes on from there." in told
    assert "Traceback" not in told
    assert contents(tmp_path / "out").items() <= expected.items()
    assert run(*arguments[:-1], "1").exit_code == 0
    assert contents(tmp_path / "out") == expected
    assert left_overs(tmp_path / "out") == []


def test_a_batch_that_holds_the_folder_is_told_of(tmp_path: Path, recipe: Path) -> None:
    scene(tmp_path / "a.hdr")
    with opened(tmp_path / "out", Shard()):
        refused = run(recipe, tmp_path / "a.hdr", "-o", tmp_path / "out", "--workers", "1")
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert "in use by another batch" in refused.stderr


def test_the_hidden_folder_holds_no_work_at_the_end(tmp_path: Path) -> None:
    assert done(asked(tmp_path / "out", scene(tmp_path / "a.hdr", bands=8, size=8))).count("done") == 1
    assert sorted(path.name for path in (tmp_path / "out" / HIDDEN).iterdir()) == [
        "driver.lock", "journal.jsonl", "lock", "pictures", "recipe.toml",
    ]  # fmt: skip
