"""The journal: whatever lies in it, planning and a run after it work, and nothing outside the folder is touched."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tiny_batches import asked, contents, done, scenes

from hsi_app.batch import driver
from hsi_app.batch.driver import Tally
from hsi_app.batch.items import HIDDEN, written_names
from hsi_app.batch.journal import Entry, Journal, read_journals
from hsi_app.batch.run import prepare_batch
from hsi_app.batch.unit import Outcome, Unit
from hsi_app.errors import OutputError


def line(item: str = "a.hdr", state: str = "done", time: object = 1.0, **facts: object) -> str:
    return json.dumps({"time": time, "item": item, "state": state, **facts})


def read(folder: Path, *lines: str | bytes, name: str = "journal.jsonl", end: bytes = b"\n") -> dict[str, Entry]:
    (folder / name).write_bytes(b"\n".join(one if isinstance(one, bytes) else one.encode() for one in lines) + end)
    return read_journals(folder)


def test_an_absent_folder_holds_no_journal(tmp_path: Path) -> None:
    assert read_journals(tmp_path / "absent") == {}


def test_the_last_word_counts(tmp_path: Path) -> None:
    found = read(tmp_path, line(state="started"), line(key="x"), line("b.hdr", "failed", reason="r"))
    assert found == {"a.hdr": Entry("a.hdr", "done", {"key": "x"}), "b.hdr": Entry("b.hdr", "failed", {"reason": "r"})}


def test_lines_count_in_their_order_whatever_the_clock_said(tmp_path: Path) -> None:
    found = read(tmp_path, line(time=5e9, key="old"), line(time=7.0, key="new"))
    assert found["a.hdr"].facts["key"] == "new"


def test_several_journals_merge_by_time(tmp_path: Path) -> None:
    read(tmp_path, line(time=2.0, key="shard"), name="journal-2-of-3.jsonl")
    read(tmp_path, line(time=1.0, key="early"), name="journal-1-of-3.jsonl")
    assert read(tmp_path, line(time=1.5, key="whole"))["a.hdr"].facts["key"] == "shard"
    assert read(tmp_path, line(time=2.5, key="whole"))["a.hdr"].facts["key"] == "whole"


def test_what_was_written_stays_known_through_later_failures(tmp_path: Path) -> None:
    found = read(tmp_path, line(outputs=[["a.hdr", 1]], key="x"), line(state="started"), line(state="failed", code=1))
    assert found["a.hdr"] == Entry("a.hdr", "failed", {"outputs": [["a.hdr", 1]], "code": 1})


@pytest.mark.parametrize("cut", range(1, len(line(key="é")), 7))
def test_a_torn_last_line_is_left_out_and_the_next_is_whole(tmp_path: Path, cut: int) -> None:
    whole = json.dumps({"time": 1.0, "item": "a.hdr", "state": "done", "key": "é"}, ensure_ascii=False).encode()
    path = tmp_path / "journal.jsonl"
    path.write_bytes(line("b.hdr").encode() + b"\n" + whole[:-cut])
    assert set(read_journals(tmp_path)) == {"b.hdr"}
    journal = Journal(path)
    journal.add(Entry("c.hdr", "done", {"key": "y"}))
    journal.close()
    assert set(read_journals(tmp_path)) == {"b.hdr", "c.hdr"}


@pytest.mark.parametrize(
    "bad",
    [
        "", "{", "null", "[]", "3", '"text"', "{}", b"\xff\xfe\x00\x00", "[" * 5000, '{"time":' + "[" * 5000,
        line(time="soon"), line(time=None), line(time=[]), line(time={}), line(state="other"), line(state=""),
        '{"time": 1.0, "item": "a.hdr", "state": []}', '{"time": 1.0, "item": "a.hdr", "state": {"done": 1}}',
        '{"time": 1.0, "item": 3, "state": "done"}', '{"time": 1.0, "item": null, "state": "done"}',
        '{"time": NaN, "item": "a.hdr", "state": "done"}', '{"time": Infinity, "item": "a.hdr", "state": "done"}',
        '{"time": 1e999, "item": "a.hdr", "state": "done"}', '{"item": "a.hdr", "state": "done"}',
        '{"time": ' + "9" * 400 + ', "item": "a.hdr", "state": "done"}', '{"time": 1.0, "state": "done"}',
        '{"time": ' + "9" * 5000 + ', "item": "a.hdr", "state": "done"}', '{"time": 1.0, "item": "a.hdr"}',
        line() + line(), line()[1:], "\r", "\x00" * 50,
    ],
    ids=range(32),
)  # fmt: skip
def test_garbage_is_left_out(tmp_path: Path, bad: str | bytes) -> None:
    assert set(read(tmp_path, line("b.hdr"), bad, line("c.hdr"))) == {"b.hdr", "c.hdr"}


def test_a_folder_or_unreadable_file_in_place_of_a_journal_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "journal-1-of-2.jsonl").mkdir()
    assert set(read(tmp_path, line())) == {"a.hdr"}


def test_a_journal_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        Journal(tmp_path / "journal.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_full_disk_is_told_once_and_closing_is_quiet(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").symlink_to("/dev/full")
    journal = Journal(tmp_path / "journal.jsonl")
    with pytest.raises(OutputError, match="No space left"):
        journal.add(Entry("a.hdr", "started"))
    journal.close()


# Mutated journals

ODD: list[object] = [
    None, True, False, 0, -1, 1e308, float("nan"), float("inf"), 10**400, "", "x", "../../x", "/etc/passwd", [], [[]],
    [None], [["s00.hdr"]], [["s00.hdr", -1]], [["../x", 1], [None, 2], 3], {}, {"a": {"b": []}}, "\ud800", "\x00",
    ["note", 3, None], [[[[[[[[]]]]]]]],
]  # fmt: skip
FACTS = ("time", "item", "state", "key", "recipe_key", "signature", "outputs", "shape", "seconds", "notes", "did",
         "peak_memory_bytes", "reason", "code", "finite_share", "device")  # fmt: skip


def mutated(journal: bytes, rng: random.Random) -> bytes:
    """A journal with a few things wrong: bytes, lines, or values of facts."""
    lines = journal.split(b"\n")
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(lines))
        way = rng.randrange(8)
        if way == 0:
            lines[at] = lines[at][: rng.randint(0, len(lines[at]))]
        elif way == 1:
            lines.insert(at, bytes(rng.randrange(256) for _ in range(rng.randint(1, 60))))
        elif way == 2:
            lines[at : at + 2] = [b"".join(lines[at : at + 2])]
        elif way == 3:
            rng.shuffle(lines)
        elif way == 4:
            lines.insert(at, (b"[" if rng.random() < 0.5 else b'{"a":') * rng.choice((50, 900, 5000)))
        elif way == 5 and lines[at]:
            place = rng.randrange(len(lines[at]))
            lines[at] = lines[at][:place] + bytes([rng.randrange(256)]) + lines[at][place + 1 :]
        else:
            lines[at] = _with_odd_facts(lines[at], rng)
    return b"\n".join(lines)


def _with_odd_facts(text: bytes, rng: random.Random) -> bytes:
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(facts, dict):
        return text
    for name in rng.sample(FACTS, rng.randint(1, 4)):
        facts[name] = rng.choice(ODD)
        if rng.random() < 0.2:
            del facts[name]
    return json.dumps(facts).encode()


def outside(folder: Path, out: Path) -> dict[str, tuple[int, int]]:
    """Size and time of everything beneath a folder but an output folder."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_relative_to(out)
    }


def quick_work(first: Tally, good: Mapping[str, bytes], out: Path) -> Callable[[Unit], Outcome]:
    """A worker that has done it all before."""

    def carry_out(unit: Unit) -> Outcome:
        facts = first.outcomes[unit.out].facts
        if unit.known_key == facts["key"]:
            return Outcome("same", facts={name: facts[name] for name in ("key", "recipe_key", "signature", "outputs")})
        for name in written_names(unit.out):
            (out / name).write_bytes(good[name])
        return Outcome("done", facts=facts)

    return carry_out


def check_mutants(
    tmp_path: Path, count: int, seed: int, every: int, monkeypatch: pytest.MonkeyPatch | None = None
) -> None:
    out = tmp_path / "out"
    batch = asked(out, scenes(tmp_path / "in", 2, bands=6, size=8), existing="skip")
    first = done(batch)
    assert first.count("done") == 2
    if monkeypatch is not None:
        monkeypatch.setattr(driver, "carry_out", quick_work(first, contents(out), out))
    journal, before, good = out / HIDDEN / "journal.jsonl", outside(tmp_path, out), contents(out)
    original = journal.read_bytes()
    rng = random.Random(seed)
    for number in range(count):
        text = mutated(original, rng)
        journal.write_bytes(text)
        try:
            planned, estimate = prepare_batch(batch, estimate=False)
            estimate.lines()
            if number % every:
                continue
            tally = done(batch)
        except Exception as error:
            raise AssertionError(f"mutant {number} of seed {seed}: {text!r}") from error
        assert len(planned) == len(tally.outcomes) == 2, (number, text)
        # A journal that tells of nothing leaves results that nobody's journal tells of, which are not replaced.
        assert tally.count("failed") == sum(one.state == "failed" for one in planned), (number, text)
        assert contents(out) == good, (number, text)
        assert "state" in (out / "batch.json").read_text()
        # Whatever was left out, the next run begins on a line of its own.
        assert all(outcome.state != "done" for outcome in done(batch).outcomes.values()), (number, text)
    assert outside(tmp_path, out) == before


def test_mutated_journals_never_stop_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_mutants(tmp_path, 200, 1, 10, monkeypatch)


@pytest.mark.slow
def test_many_mutated_journals_never_stop_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_mutants(tmp_path, 2000, 2, 1, monkeypatch)


@pytest.mark.slow
def test_scenes_are_restored_again_after_mutated_journals(tmp_path: Path) -> None:
    check_mutants(tmp_path, 40, 3, 1)
