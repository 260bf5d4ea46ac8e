"""The options of a method that undoes a blur, from the command line to the method and back through a recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hsi_app.cli.main import cli
from hsi_app.cube import Cube
from hsi_app.io import open_cube, save_cube
from hsi_app.jobs import Job
from hsi_app.methods import registry
from hsi_app.methods.registry import Extent, MethodSpec
from hsi_app.params import Parameters
from hsi_app.physics.spatial import psf_blur
from hsi_app.problem import Problem, Restoration


class NoOptions(Parameters):
    """Nothing to choose."""


def sharpen(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    """One step of Landweber's iteration."""
    assert problem.operator is not None
    found = problem.observed
    job.step(0.5, "sharpening")
    return Restoration(found + problem.operator.adjoint(problem.observed - problem.operator.forward(found)))


SHARPEN = MethodSpec(
    "sharpen", "Sharpening", "Sharpen.", ("denoise", "deblur"), NoOptions, f"{__name__}:sharpen",
    extent=Extent("tile", margin_px=6),
)  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path, make_cube: Callable[..., Cube], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file, with the method among those that are registered."""
    known, broken = registry._catalogue()
    monkeypatch.setattr(registry, "_catalogue", lambda: (MappingProxyType({**known, "sharpen": SHARPEN}), broken))
    return save_cube(make_cube(4, 20, 30, sigma=0.02), tmp_path / "scene.hdr")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_the_width_reaches_the_method_and_the_recipe(scene: Path, tmp_path: Path) -> None:
    import torch

    out, recipe = tmp_path / "sharp.hdr", tmp_path / "run.toml"
    asked = ("--task", "deblur", "--psf-fwhm", 2, "--save-recipe", recipe)
    outcome = run("restore", "sharpen", scene, out, *asked)
    assert outcome.exit_code == 0, outcome.output
    observed = torch.from_numpy(open_cube(scene).read())
    blur = psf_blur((4, 20, 30), 2.0)
    expected = observed + blur.adjoint(observed - blur.forward(observed))
    np.testing.assert_allclose(open_cube(out).read(), expected.numpy(), atol=1e-5)
    assert "psf-fwhm = 2.0\n" in recipe.read_text()
    assert "scale" not in recipe.read_text()
    assert run("restore", recipe, scene, tmp_path / "again.hdr").exit_code == 0
    np.testing.assert_array_equal(open_cube(tmp_path / "again.hdr").read(), open_cube(out).read())


def test_there_is_no_scale_to_choose(scene: Path) -> None:
    text = run("restore", "sharpen", "--help").stdout
    assert "--psf-fwhm" in text
    assert "--scale" not in text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--task", "deblur"], "needs the width of the blur"),
        (["--task", "deblur", "--psf-fwhm", -1], "psf-fwhm is -1"),
        (["--task", "denoise", "--psf-fwhm", 2], "does not belong to 'denoise'"),
    ],
)
def test_a_width_that_is_missing_or_cannot_be_exits_with_2(
    scene: Path, tmp_path: Path, given: list[object], words: str
) -> None:
    outcome = run("restore", "sharpen", scene, tmp_path / "sharp.hdr", *given)
    assert outcome.exit_code == 2
    assert words in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_recipe_that_lacks_the_width_is_refused(scene: Path, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('[[steps]]\nmethod = "sharpen"\ntask = "deblur"\n')
    outcome = run("restore", tmp_path / "run.toml", scene, tmp_path / "sharp.hdr")
    assert outcome.exit_code == 2
    assert "psf-fwhm" in outcome.stderr
