"""What the guide says is so: commands run and print what it shows, pictures are made by the script, links lead on."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import test_contract_documents as documents
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = {str(path.relative_to(DOCS)): path.read_text(encoding="utf-8") for path in PAGES}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Pages with commands that a reader is meant to type, one after the other, and those of them that take minutes.
RUN = [page for page, text in TEXTS.items() if "```sh\n" in text]
SLOW = {"examples/fuse-and-unmix.md"}
# Pictures that something else than a window makes.
OTHERWISE = {"misregistration.png"}
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of the code blocks of a page."""
    return BLOCK.findall(TEXTS[page])


def shown_commands() -> Iterator[str]:
    for page in TEXTS:
        for language, text in blocks(page):
            if language in ("sh", "text", "bash"):
                yield from (line.strip() for line in text.splitlines() if line.strip().startswith("hsi-app "))


def load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    return load(DOCS / "generated.py", "generated")


# ---- commands ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", sorted(set(shown_commands())))
def test_every_command_shown_exists_with_its_options(line: str) -> None:
    documents.test_every_command_shown_exists_with_its_options(line)


@pytest.mark.parametrize("page", [pytest.param(p, marks=[pytest.mark.slow] if p in SLOW else []) for p in RUN])
def test_the_commands_of_a_page_run_and_print_what_it_shows(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scores: list[str] = []
    printed = ""
    for language, text in blocks(page):
        if language == "sh":
            printed = ""
            for line in filter(None, map(str.strip, text.splitlines())):
                out = carry_out(line)
                printed += out
                if line.startswith("hsi-app score"):
                    scores.append(out)
        elif language == "text" and printed and "hsi-app " not in text:
            for line in text.splitlines():
                assert is_printed(line, printed), f"{page} shows: {line}\nprinted: {printed}"
            printed = ""
    check_table(TEXTS[page], scores)
    for first, second in re.findall(r"`(\S+)\.hdr` holds the same numbers as `(\S+)\.hdr`", TEXTS[page]):
        assert Path(f"{first}.bsq").read_bytes() == Path(f"{second}.bsq").read_bytes()


def test_the_python_of_the_guide_runs_as_printed(tmp_path: Path) -> None:
    (example,) = [text for language, text in blocks("python.md") if language == "python"]
    out = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr[-2000:]
    assert out.stdout.startswith("(90, 96, 80) reflectance 7 bad bands\n")
    assert "100%" in out.stdout
    assert (tmp_path / "restored.tif").exists()


def carry_out(line: str) -> str:
    """Run a command as a shell would, and give what it prints."""
    from click.testing import CliRunner

    from hsi_app.cli.main import cli

    if line.startswith("hsi-app "):
        done = CliRunner().invoke(cli, line.split()[1:])
        assert done.exit_code == 0, f"{line}\n{done.output}"
        return done.output
    assert line.startswith("python "), line
    program = subprocess.run(
        line.replace("python", f'"{sys.executable}"', 1), shell=True, capture_output=True, text=True, check=False
    )
    assert program.returncode == 0, program.stderr
    return program.stdout


def is_printed(line: str, printed: str) -> bool:
    """Whether a line was printed, up to '...', with other numbers only where they are nearly the same."""
    begins = " ".join(line.split("...")[0].split())
    for other in printed.splitlines():
        words = " ".join(other.split())
        if NUMBER.sub("#", words).startswith(NUMBER.sub("#", begins)):
            pairs = zip(NUMBER.findall(begins), NUMBER.findall(words), strict=False)
            if all(float(shown) == pytest.approx(float(real), rel=0.05, abs=1) for shown, real in pairs):
                return True
    return not begins


def check_table(text: str, scores: list[str]) -> None:
    """The rows PSNR and SAM of a page's table are what its score commands printed, in their order."""
    for name, tolerance in (("PSNR", 0.3), ("SAM", 0.3)):
        row = re.search(rf"^\| {name} \|(.+)\|$", text, re.MULTILINE)
        if row is None:
            continue
        shown = [float(NUMBER.findall(cell)[0]) for cell in row[1].split("|")]
        printed = [
            float(found[1]) for out in scores if (found := re.search(rf"^{name}\s+({NUMBER.pattern})", out, re.M))
        ]
        assert shown == pytest.approx(printed, abs=tolerance)


def test_a_shown_line_is_recognised_but_no_other() -> None:
    assert is_printed("striped  19: 1-4, ...", "bad none\nstriped       19: 1-4, 20-21\n")
    assert not is_printed("striped  90: 1-4, ...", "striped       19: 1-4, 20-21\n")
    assert not is_printed("chosen: denoise", "chosen: inpaint\n")


# ---- pages ---------------------------------------------------------------------------------------------------------


def test_every_page_stands_in_the_table_of_contents() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    listed = [page for part in nav for pages in part.values() for entry in pages for page in entry.values()]
    assert sorted(listed) == sorted(TEXTS)


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if not target.startswith(("http://", "https://")):
            place = DOCS / page if target.startswith("#") else (DOCS / page).parent / target.partition("#")[0]
            assert place.exists(), target


def test_the_guide_is_built_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra 'docs' is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|link rel="stylesheet")[^>]+(?:src|href)="https?://[^"]+"', html), page


# ---- what is generated ---------------------------------------------------------------------------------------------


def test_every_mark_names_a_part_and_every_part_is_shown(generated: ModuleType) -> None:
    shown = [name for text in TEXTS.values() for name in generated.MARK.findall(text)]
    assert sorted(shown) == sorted(generated.PARTS)


@pytest.mark.parametrize("page", [page for page, text in TEXTS.items() if "<!-- generated" in text])
def test_tables_of_a_page_have_rows_as_wide_as_their_head(generated: ModuleType, page: str) -> None:
    text = generated.on_page_markdown(TEXTS[page])
    assert not generated.MARK.search(text)
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        lines = table.strip().splitlines()
        assert len(lines) > 2
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
        assert len(widths) == 1, table[:400]


def test_the_methods_listed_are_those_of_the_registry(generated: ModuleType) -> None:
    from hsi_app.methods.registry import methods

    for page in ("methods.md", "options.md"):
        text = generated.on_page_markdown(TEXTS[page])
        assert all(spec.id in text for spec in methods().values())
    headings = re.findall(r"^## (.+)$", generated.options(), re.MULTILINE)
    assert headings == list(methods())


def test_every_exit_code_is_told(generated: ModuleType) -> None:
    from hsi_app import errors

    codes = {c.exit_code for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.HsiError)}
    assert codes <= {int(code) for code in re.findall(r"^\| (\d+) \|", generated.exit_codes(), re.MULTILINE)}


def test_docks_stand_with_the_keys_they_have() -> None:
    from hsi_napari.keys import DOCK_KEYS  # noqa: TID251  # a table of the plugin, no viewer

    rows = re.findall(
        r"^\| \[(\w+)\]\(\w+\.md\) \|.*<kbd>(.+)</kbd> \+ <kbd>(.+)</kbd> \|$", TEXTS["viewer/index.md"], re.M
    )
    assert {dock: f"{held}+{key}" for dock, held, key in rows} == dict(DOCK_KEYS)


# ---- pictures ------------------------------------------------------------------------------------------------------


def pictures_shown() -> set[str]:
    readme = re.findall(r"!\[[^\]]*\]\(docs/([^)]+)\)", documents.README)
    guide = [
        str(((DOCS / page).parent / target).resolve().relative_to(DOCS))
        for page, text in TEXTS.items()
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    ]
    return {*readme, *guide} - OTHERWISE


def pictures_made() -> set[str]:
    from plugins.screenshots import joining, looking, restoring  # noqa: F401
    from plugins.screenshots.stage import PICTURES

    return set(PICTURES)


def test_every_picture_shown_is_made_by_the_script_and_every_one_made_is_shown() -> None:
    assert pictures_shown() == pictures_made()


def test_every_picture_is_there() -> None:
    assert {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.png")} == pictures_shown() | OTHERWISE


def test_the_script_of_the_pictures_needs_no_viewer_to_list_them() -> None:
    code = "import sys, plugins.screenshots.__main__\nprint(sorted({'napari', 'qtpy', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
