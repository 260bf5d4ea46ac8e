"""What a batch takes for scenes, and what it refuses to write to."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tiny_batches import RECIPE, asked, done, scene, scenes

from hsi_app.batch.items import HIDDEN, Item, gather, inside, recipe_for, written_names
from hsi_app.errors import ParameterError
from hsi_app.recipe import Recipe, Step


def sources(items: tuple[Item, ...], folder: Path) -> list[str]:
    return [str(Path(item.source).relative_to(folder)) for item in items]


def outs(items: tuple[Item, ...]) -> list[str]:
    return [item.out for item in items]


def table(folder: Path, text: str) -> Path:
    path = folder / "night.csv"
    path.write_text(text)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three scenes, two of them in folders of the folder; hidden ones beside them."""
    folder = tmp_path / "data"
    for name in ("a.hdr", "north/b.hdr", "north/far/a.hdr", ".hidden.hdr", ".cache/c.hdr"):
        scene(folder / name)
    (folder / "notes.md").write_text("no scene")
    return folder


def test_a_folder_gives_the_header_of_each_pair_once(data: Path, tmp_path: Path) -> None:
    assert sources(gather([str(data)], tmp_path / "out"), data) == ["a.hdr"]


def test_folders_of_folders_keep_their_place(data: Path, tmp_path: Path) -> None:
    items = gather([str(data)], tmp_path / "out", recursive=True)
    assert sources(items, data) == outs(items) == ["a.hdr", "north/b.hdr", "north/far/a.hdr"]


def test_the_output_folder_is_not_looked_into(data: Path) -> None:
    scene(data / "out" / "z.hdr")
    assert "out/z.hdr" not in sources(gather([str(data)], data / "out", recursive=True), data)


def test_a_link_to_the_output_folder_is_not_looked_into(data: Path, tmp_path: Path) -> None:
    scene(tmp_path / "out" / "z.hdr")
    (data / "link").symlink_to(tmp_path / "out")
    assert len(gather([str(data)], tmp_path / "out", recursive=True)) == 3


def test_results_among_the_scenes_are_no_scenes(tmp_path: Path) -> None:
    folder = scenes(tmp_path / "data", 2)
    batch = asked(folder, folder, name="{stem}_clean{ext}")
    assert done(batch).count("done") == 2
    assert done(batch).count("same") == 2
    pattern = gather([f"{folder}/*.hdr"], folder, name="{stem}_clean{ext}")
    assert outs(pattern) == ["s00_clean.hdr", "s01_clean.hdr"]
    # Nor are those that a killed batch was about to do again.
    with open(folder / HIDDEN / "journal.jsonl", "a") as journal:
        journal.write('{"time": 9e9, "item": "s01_clean.hdr", "state": "started"}\n')
    assert sources(gather([str(folder)], folder, name="{stem}_clean{ext}"), folder) == ["s00.hdr", "s01.hdr"]


def test_an_image_beside_a_header_of_its_name_is_a_scene_too(tmp_path: Path) -> None:
    scene(tmp_path / "in" / "a.hdr")
    scene(tmp_path / "in" / "a.tif", 1)
    assert sources(gather([str(tmp_path / "in")], tmp_path), tmp_path / "in") == ["a.hdr", "a.tif"]


def test_a_store_is_one_scene(tmp_path: Path) -> None:
    scene(tmp_path / "in" / "a.zarr")
    items = gather([str(tmp_path / "in")], tmp_path / "out", recursive=True)
    assert outs(items) == ["a.zarr"]
    assert outs(gather([str(tmp_path / "in" / "a.zarr")], tmp_path / "out")) == ["a.zarr"]


def test_pattern_option_narrows_a_folder(data: Path, tmp_path: Path) -> None:
    scene(data / "c.tif")
    items = gather([str(data)], tmp_path / "out", recursive=True, patterns=["*.TIF"])
    assert outs(items) == ["c.tif"]


def test_pattern_takes_headers_only_and_must_fit_something(data: Path, tmp_path: Path) -> None:
    assert outs(gather([f"{data}/a.*"], tmp_path / "out")) == ["a.hdr"]
    with pytest.raises(ParameterError, match=r"no file fits '.*q\*'"):
        gather([f"{data}/q*"], tmp_path / "out")


def test_a_list_names_files_beside_it(data: Path, tmp_path: Path) -> None:
    (data / "night.txt").write_text("# tonight\n\na.hdr\nnorth/b.hdr\nabsent.hdr\n")
    items = gather([str(data / "night.txt")], tmp_path / "out")
    assert outs(items) == ["a.hdr", "b.hdr", "absent.hdr"]
    assert [item.where for item in items] == ["a.hdr", "north/b.hdr", "absent.hdr"]


def test_the_same_scene_is_taken_once(data: Path, tmp_path: Path) -> None:
    os.symlink(data / "a.hdr", tmp_path / "same.hdr")
    items = gather([str(data / "a.hdr"), str(data), f"{data}/a.hdr"], tmp_path / "out")
    assert len(items) == 1


def test_nothing_found_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ParameterError, match=r"no scenes in .*empty"):
        gather([str(tmp_path / "empty")], tmp_path / "out")


@pytest.mark.parametrize("name", ["absent.txt", "absent.csv"])
def test_absent_lists_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError, match=rf"no list '.*{name}'"):
        gather([str(tmp_path / name)], tmp_path / "out")


def test_a_list_of_bytes_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParameterError, match=r"list '.*list.txt' cannot be read") as caught:
        gather([str(tmp_path / "list.txt")], tmp_path / "out")
    assert "\n" not in str(caught.value)


# Tables


def test_a_table_gives_each_scene_its_own(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "file, out, mask, rank, denoiser\na.hdr, x/b.tif, m.npy, 3, dct\nb.hdr, own, , , none\n,,,,\nc.hdr,,,4,\n",
    )
    first, second, third = gather([str(path)], tmp_path / "out")
    assert (first.out, first.mask, first.options) == (
        "x/b.tif", str(tmp_path / "m.npy"), {"rank": 3, "denoiser": "dct"},
    )  # fmt: skip
    assert (second.out, second.mask, second.options) == ("own.hdr", None, {"denoiser": "none"})
    assert (third.out, third.options, third.where) == ("c.hdr", {"rank": 4}, "night.csv, line 5")
    assert recipe_for(RECIPE, first).steps[0].params == {"rank": 3, "denoiser": "dct"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column 'file'"),
        ("name,rank\na,3\n", "no column 'file'"),
        ("file;rank\na;3\n", "no column 'file'"),
        ("file,rank,rank\na,3,4\n", "two of one name"),
        ("file,,rank\na,,4\n", "without a name"),
        ("file,rank\na.hdr\n", r"night.csv, line 2: 1 cells where the first line names 2"),
        ("file,rank\na.hdr,3\nb.hdr,3,4\n", r"night.csv, line 3: 3 cells"),
        ("file,rank\n,3\n", r"night.csv, line 2: no file"),
        ('file,rank\n"a.hdr,3\n', "night.csv' is no CSV"),
        ("file,out\na.hdr,b.v2\n", r"night.csv, line 2: 'b.v2' cannot be written"),
        ("file,out\na.hdr,../b.hdr\n", r"night.csv, line 2: .* would leave"),
        ("file,out\na.hdr,x.hdr\nb.hdr,x.hdr\n", r"'night.csv, line 2' and 'night.csv, line 3' would both"),
    ],
)
def test_a_wrong_table_is_one_clear_error(tmp_path: Path, text: str, words: str) -> None:
    path = table(tmp_path, text)
    with pytest.raises(ParameterError, match=words) as caught:
        gather([str(path)], tmp_path / "out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "cell", "words"),
    [
        ("rank", "three", "rank"), ("rank", "nan", "rank"), ("rank", "2.5", "rank"), ("rank", "-1", "rank"),
        ("rank", "9" * 5000, "rank"), ("ranc", "3", "ranc"), ("denoiser", "best", "denoiser"),
        ("strength", "inf", "strength"), ("2.rank", "3", "no step '2'"), ("0.rank", "3", "no step '0'"),
        ("x.rank", "3", "no step 'x'"), ("1.", "3", "1 has no option|''|option"),
    ],
)  # fmt: skip
def test_a_wrong_option_names_file_and_line(tmp_path: Path, head: str, cell: str, words: str) -> None:
    path = table(tmp_path, f"file,{head}\na.hdr,{cell}\n")
    (item,) = gather([str(path)], tmp_path / "out")
    with pytest.raises(ParameterError, match=words) as caught:
        recipe_for(RECIPE, item)
    assert str(caught.value).startswith("night.csv, line 2: ")
    assert "\n" not in str(caught.value)


def test_an_option_of_several_steps_needs_its_number(tmp_path: Path) -> None:
    two = Recipe((Step("lowrank"), Step("lowrank")))
    path = table(tmp_path, "file,2.rank\na.hdr,5\n")
    (item,) = gather([str(path)], tmp_path / "out")
    assert [dict(step.params) for step in recipe_for(two, item).steps] == [{}, {"rank": 5}]
    with pytest.raises(ParameterError, match=r"line 2: the recipe has 2 steps; name the column '1.rank'"):
        recipe_for(two, Item("a.hdr", "a.hdr", options={"rank": 5}, where="night.csv, line 2"))


def test_a_wrong_option_makes_no_folder(tmp_path: Path) -> None:
    scene(tmp_path / "a.hdr")
    path = table(tmp_path, "file,ranc\na.hdr,3\n")
    with pytest.raises(ParameterError, match="line 2"):
        done(asked(tmp_path / "out", path))
    assert not (tmp_path / "out").exists()


# Names


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{stem}{ext}", "scene.tif"), ("{stem}", "scene.tif"), ("{folder}/{stem}_{recipe}.hdr", "day/scene_quiet.hdr"),
        ("{number}{ext}", "0001.tif"), ("{stem}.npy", "scene.npy"), ("{{{stem}}}{ext}", "{scene}.tif"),
        ("./{stem}//x{ext}", "scene/x.tif"),
    ],
)  # fmt: skip
def test_templates(tmp_path: Path, template: str, name: str) -> None:
    (tmp_path / "day").mkdir()
    items = gather([str(tmp_path / "day" / "scene.tif")], tmp_path / "out", recipe="quiet", name=template)
    assert outs(items) == [name]


@pytest.mark.parametrize(
    "template",
    ["same.hdr", "", "{other}", "{}", "{0}", "{stem.__class__}", "{stem[0]}", "{stem!r}", "{stem:>9}", "{stem:{ext}}",
     "{stem", "stem}", "{{stem}}"],
)  # fmt: skip
def test_other_templates_are_refused(tmp_path: Path, template: str) -> None:
    with pytest.raises(ParameterError, match="--name"):
        gather([str(tmp_path / "a.hdr")], tmp_path / "out", name=template)


def test_a_format_that_can_only_be_read_becomes_envi(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", cube=np.zeros((3, 4, 5)))
    items = gather([f"{tmp_path / 'a.npz'}::cube", str(tmp_path / "b.mat")], tmp_path / "out")
    assert outs(items) == ["a_cube.hdr", "b.hdr"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("x/a.hdr", "y/a.hdr"), ("x/a.tif", "y/A.tif"), ("x/a.img", "y/a.dat"), ("x/a.npz", "y/a.mat")],
)
def test_two_results_of_one_name_are_named(tmp_path: Path, one: str, other: str) -> None:
    with pytest.raises(ParameterError, match=f"'.*{one}' and '.*{other}' would both be written"):
        gather([str(tmp_path / one), str(tmp_path / other)], tmp_path / "out")


def test_a_result_and_the_data_of_another_are_two_of_one_name(tmp_path: Path) -> None:
    path = table(tmp_path, "file,out\na.hdr,x.hdr\nb.hdr,x.bsq\n")
    with pytest.raises(ParameterError, match="would both be written"):
        gather([str(path)], tmp_path / "out")


# The border of the folder


@pytest.mark.parametrize(
    "name",
    ["../a.hdr", "x/../../a.hdr", "x/../a.hdr", "/etc/a.hdr", "//host/a.hdr", "C:a.hdr", "c:\\a.hdr", "..\\a.hdr",
     "x\\..\\..\\a.hdr", "\\a.hdr", "..", "", ".", "/", ".hsi-app/a.hdr", ".HSI-APP/a.hdr", "./.hsi-app/a.hdr",
     ".hsi-app\\a.hdr", "a\n.hdr", "a\x00.hdr", "\x1b[2J.hdr", "a\u202e.hdr", "\ud800.hdr"],
)  # fmt: skip
def test_no_name_leads_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        inside(tmp_path, name, "here")
    assert str(caught.value).startswith("here: ")
    assert "\n" not in str(caught.value)


def test_backslashes_are_slashes_everywhere(tmp_path: Path) -> None:
    scene(tmp_path / "a.hdr")
    batch = asked(tmp_path / "out", table(tmp_path, "file,out\na.hdr,x\\b.hdr\n"))
    assert list(done(batch).outcomes) == ["x/b.hdr"]
    (tmp_path / "out" / "x" / "b.bsq").unlink()
    assert done(batch).count("done") == 1
    assert (tmp_path / "out" / "x" / "b.bsq").is_file()


def test_no_link_leads_out(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    scene(tmp_path / "in" / "sub" / "a.hdr")
    with pytest.raises(ParameterError, match="is a link that leads out"):
        done(asked(tmp_path / "out", tmp_path / "in", recursive=True))
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_ring_of_links_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.hdr").symlink_to(tmp_path / "in" / "a.hdr")
    scene(tmp_path / "in" / "b.hdr")
    tally = done(asked(tmp_path / "out", tmp_path / "in"))
    assert [outcome.state for outcome in tally.outcomes.values()] == ["failed", "done"]


@pytest.mark.parametrize("line", ["a\x00b.hdr", "x" * 300 + ".hdr", "y/" * 3000 + "a.hdr"])
def test_an_impossible_line_of_a_list_stops_nothing_or_is_named(tmp_path: Path, line: str) -> None:
    scene(tmp_path / "good.hdr")
    (tmp_path / "list.txt").write_text(f"{line}\ngood.hdr\n")
    batch = asked(tmp_path / "out", tmp_path / "list.txt")
    if "\x00" in line:
        with pytest.raises(ParameterError, match=r"a\\x00b"):
            done(batch)
        return
    tally = done(batch)
    assert [outcome.state for outcome in tally.outcomes.values()] == ["failed", "done"]
    assert "too long" in next(iter(tally.outcomes.values())).reason


def test_what_is_written_for_a_result() -> None:
    assert written_names("x/a.hdr") == ("x/a.bsq", "x/a.hdr", "x/a.hdr.json")
    assert written_names("a.tif") == ("a.tif", "a.tif.json")
