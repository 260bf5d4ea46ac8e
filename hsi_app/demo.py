"""The main job on the bundled scene: restore it, score it, report it. Needs no download and opens nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from hsi_app.errors import OutputError
from hsi_app.files import check_target, write_text
from hsi_app.jobs import Job


@dataclass(frozen=True)
class DemoResult:
    """What the demo found: measures against the clean twin before and after, what it did, and where the files lie."""

    before: dict[str, float]
    after: dict[str, float]
    reasons: tuple[str, ...]
    folder: Path
    files: tuple[Path, ...]


def run_demo(
    folder: str | Path,
    *,
    overwrite: bool = False,
    device: str = "auto",
    memory: int | None = None,
    job: Job | None = None,
) -> DemoResult:
    """Restore the bundled noisy scene into ``folder`` as a user would who knows nothing but the file.

    The steps are chosen by ``diagnose``; the clean twin is opened after the restoration, for the score only.
    Leaves restored.hdr, removed.hdr, recipe.toml, report.html and report.json.

    Raises
    ------
    OutputError
        If the folder cannot be made, or holds results that must not be replaced.
    As ``runner.restore``.
    """
    import hsi_sample_data

    from hsi_app.diagnose import diagnose
    from hsi_app.io import open_cube
    from hsi_app.metrics import score
    from hsi_app.recipe import Recipe, run_recipe
    from hsi_app.removed import write_removed
    from hsi_app.report import write_report

    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"folder '{target}' cannot be made: {error.strerror}; give another --out.") from None
    names = ("restored.hdr", "removed.hdr", "recipe.toml", "report.html", "report.json")
    restored, removed, recipe_file, report, data = (check_target(target / n, overwrite=overwrite) for n in names)
    job = job or Job()

    observed = open_cube(hsi_sample_data.path("scene_noisy"))
    diagnosis = diagnose(observed)
    result = run_recipe(
        observed, diagnosis.recipe, device=device, memory=memory, out=restored, overwrite=overwrite,
        job=job.part(0.0, 0.9),
    )  # fmt: skip
    write_removed(result, removed, overwrite=overwrite)
    write_text(recipe_file, Recipe.from_record(result.record).to_toml(), overwrite=overwrite)
    job.step(0.93, "scoring")
    # Bands marked bad hold no signal to restore and pass through; scoring them would only blur the figure.
    clean = replace(open_cube(hsi_sample_data.path("scene_clean")), bands=observed.axis)
    before, after = score(observed, clean), score(result.cube, clean)
    job.step(0.96, "writing the report")
    write_report(result, report, reference=clean, overwrite=overwrite)
    job.step(1.0, "done")
    return DemoResult(before, after, tuple(diagnosis.lines()), target, (restored, removed, recipe_file, report, data))
