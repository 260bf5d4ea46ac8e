"""What the documents say is so: commands run, links lead somewhere, tables list what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/**/README.md")])
DOCUMENTS = [path for path in DOCUMENTS if not {".venv", "venv", "build"} & set(path.parts)]


def code_blocks(text: str, language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """Lines of plain code blocks that call the program, without the remark after them."""
    lines = [line for block in code_blocks(text) for line in block.splitlines()]
    return [re.split(r"\s{3,}", line.strip())[0] for line in lines if line.strip().startswith("hsi-app ")]


def test_the_python_example_runs_as_printed(tmp_path: Path) -> None:
    (example,) = code_blocks(README, "python")
    out = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:hsi_app", "-c", example],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr[-2000:]
    assert out.stdout.startswith("(90, 96, 80) 55 (1421.0 nm)\n")
    before, after = map(float, out.stdout.splitlines()[-1].split(" -> "))
    assert after > before
    assert (tmp_path / "restored.tif").exists()


def test_the_two_commands_of_the_readme_are_one_line_each() -> None:
    lines = [line for block in code_blocks(README) for line in block.splitlines()]
    assert sum(line.startswith("python -m venv") and line.endswith("hsi-app demo") for line in lines) == 1
    assert sum(line.startswith('pip install -e ".[test]" && pytest') for line in lines) == 1


def test_ci_runs_the_test_command_of_the_readme_and_knows_no_other() -> None:
    pattern = re.search(r"grep -m1 -E '(.+?)' README\.md", CI)
    assert pattern is not None
    found = [line for line in README.splitlines() if re.match(pattern[1], line)]
    assert found == ['pip install -e ".[test]" && pytest']
    assert not re.search(r"^\s*(python -m )?pytest\b", CI, re.MULTILINE)


@pytest.mark.parametrize("line", commands(README), ids=lambda line: " ".join(line.split()[:3]))
def test_every_command_shown_exists_with_its_options(line: str) -> None:
    from click.testing import CliRunner

    from hsi_app.cli import main as cli
    from hsi_app.methods.registry import methods

    words = line.split()[1:]
    path = words[:1]
    if words[0] == "restore":
        # A recipe is a file that need not be there to be described; it takes the options of 'auto'.
        path = [words[0], words[1] if words[1] in methods() else "auto"]
    elif words[0] in ("unmix", "fuse"):
        path = words[:2]
    shown = CliRunner().invoke(cli.cli, [*path, "--help"])
    assert shown.exit_code == 0, shown.output
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"(^|[\s,/]){option}\b", shown.output), f"{option} in: {line}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_to_files_and_headings_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        place = path.parent / file if file else path
        assert place.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


def test_the_table_of_methods_lists_the_registry_and_what_it_can() -> None:
    from hsi_savgol.spec import SPEC

    from hsi_app.methods.registry import TASKS, methods

    section = README.split("\n## Methods\n")[1]
    head = next(line for line in section.splitlines() if line.startswith("| method |"))
    columns = [cell.strip() for cell in head.strip("|").split("|")]
    listed = set(columns) & set(TASKS)
    table = {row[0]: row for row in rows_after("## Methods")}
    for spec in [*methods().values(), SPEC]:
        assert set(spec.tasks) <= listed
        row = next(row for name, row in table.items() if f"`{spec.id}`" in name)
        said = {column for column, cell in zip(columns, row, strict=True) if cell.startswith("yes")} & listed
        assert said == set(spec.tasks)


def test_the_table_of_formats_lists_the_registry_and_what_it_can() -> None:
    from hsi_app.io.formats import FORMATS

    rows = rows_after("## Formats")
    for format in FORMATS:
        for extension in filter(None, format.extensions):
            mine = [row for row in rows if f"`{extension}`" in row[1]]
            if not mine:
                assert format.id == "gdal", extension
                continue
            assert mine[0][2].startswith("yes")
            if extension != ".sli":
                assert (mine[0][3] == "yes") is (format.create is not None), extension


def rows_after(heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, its two head lines left out."""
    section = README.split(f"\n{heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_exit_codes_are_those_of_the_errors() -> None:
    from hsi_app import errors

    text = " ".join(README.split("Exit codes:")[1].split("\n\n")[0].split())
    told = {int(code): meaning for code, meaning in re.findall(r"(\d+) ([^·.]+)", text)}
    codes = {c.exit_code for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.HsiError)}
    assert codes <= set(told)
    assert told[errors.FormatError.exit_code].strip() == "unreadable input"


def test_the_steps_of_a_method_in_an_hour_quote_the_example_package() -> None:
    folder = ROOT / "plugins" / "example_method"
    spec, run, project = (
        (folder / name).read_text() for name in ("hsi_savgol/spec.py", "hsi_savgol/run.py", "pyproject.toml")
    )
    for quoted, text in (
        ("class SavitzkyGolayParameters(Parameters):", spec),
        ('run="hsi_savgol.run:restore"', spec),
        ("def restore(problem: Problem, params: SavitzkyGolayParameters, job: Job) -> Restoration:", run),
        ('savgol = "hsi_savgol.spec:SPEC"', project),
    ):
        assert quoted in CONTRIBUTING
        assert quoted in text
