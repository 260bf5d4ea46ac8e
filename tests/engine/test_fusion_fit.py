"""The fit of u2-MDN and what joint makes of it, on small planted pairs."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled
from hsi_app.fusion.choice import choose, signal_to_noise
from hsi_app.fusion.pair import Pair
from hsi_app.fusion.pairing import PairSettings, make_pair
from hsi_app.fusion.runner import FusionSettings, fuse
from hsi_app.jobs import Job, Progress
from hsi_app.methods.fusion.dirichlet import Fit, fit_dirichlet, l21, squared
from hsi_app.methods.fusion.doubt import find_doubt
from hsi_app.methods.fusion.spec import U2mdnParameters
from hsi_app.methods.registry import methods
from hsi_app.physics.spectral import gaussian_response
from hsi_app.scene import Scene
from tests.conftest import mixed_scene

CENTRES, WIDTHS = np.array([500.0, 700.0, 1100.0, 1900.0]), np.array([120.0, 150.0, 300.0, 400.0])


def texture(height: int, width: int) -> np.ndarray:
    """Blocks of ten pixels: what a camera sees and a coarse image does not."""
    rng = np.random.default_rng(5)
    drawn = rng.uniform(0.6, 1.0, (-(-height // 5), -(-width // 5)))
    return np.kron(drawn, np.ones((5, 5)))[:height, :width]


@cache
def planted(bands: int = 24, height: int = 48, width: int = 40) -> tuple[Cube, Cube, Cube]:
    """Coarse, sharp and true cube: four materials, ratio 4, four broad bands."""
    values, centres = mixed_scene(bands, height, width, rank=4)
    truth = (values * texture(height, width)).astype(np.float32)
    matrix = gaussian_response(CENTRES, WIDTHS, centres)
    coarse = truth.reshape(bands, height // 4, 4, width // 4, 4).mean((2, 4))
    msi = np.tensordot(matrix, truth, 1).astype(np.float32)
    axis = BandAxis(bands, centres)
    return Cube(coarse, axis), Cube(msi, BandAxis(4, CENTRES, WIDTHS)), Cube(truth, axis)


def pair_of(hsi: Cube, msi: Cube, registration: str = "frame") -> Pair:
    scenes = (Scene(cube, np.arange(cube.shape[0]), torch.device("cpu"), physical=True) for cube in (hsi, msi))
    return make_pair(*scenes, PairSettings(registration=registration), Job()).pair  # type: ignore[arg-type]


@cache
def fitted(**options: float) -> Fit:
    return fit_dirichlet(pair_of(*planted()[:2]), U2mdnParameters(steps=300, **options), Job())


def rms(result: Cube, truth: Cube) -> float:
    return float(np.sqrt(np.nanmean((np.asarray(result.read(), float) - truth.read()) ** 2)))


def test_l21_is_the_mean_length_over_the_named_axis() -> None:
    misfit = torch.tensor([[3.0, 0.0, 4.0], [0.0, 1.0, 0.0]])
    assert float(l21(misfit, "pixel")) == pytest.approx((5 + 1) / 2, rel=1e-3)
    assert float(l21(misfit, "band")) == pytest.approx((3 + 1 + 4) / 3, rel=1e-3)
    assert float(squared(misfit)) == pytest.approx((25 + 1) / 2)


def test_l21_has_a_slope_at_a_perfect_fit() -> None:
    misfit = torch.zeros(4, 3, requires_grad=True)
    l21(misfit).backward()
    assert misfit.grad is not None
    assert bool((misfit.grad == 0).all())


def test_codes_of_both_images_and_far_outside_lie_on_the_simplex() -> None:
    model, pair = fitted().model, pair_of(*planted()[:2])
    guide, _ = pair.guide()
    for pixels in (model.mixed @ pair.spectra, guide.reshape(4, -1), 100 * guide.reshape(4, -1), -guide.reshape(4, -1)):
        codes = model.codes(pixels)
        assert float(codes.min()) >= 0
        assert float((codes.sum(0) - 1).abs().max()) <= 1e-5


def test_the_result_is_codes_times_spectra_that_are_never_negative() -> None:
    hsi, msi, _ = planted()
    found = fuse(hsi, msi, "u2mdn", {"steps": 300}, FusionSettings(registration="frame"))
    pair, model = pair_of(hsi, msi), fitted().model
    guide, _ = pair.guide()
    expected = model.mix(model.codes(guide.reshape(4, -1))) * pair.hsi.scaling.span
    assert float(model.spectra.min()) >= 0
    assert np.allclose(found.cube.read().reshape(24, -1), expected.numpy(), atol=1e-5)


def test_a_fit_comes_near_the_truth_between_the_coarse_pixels() -> None:
    hsi, msi, truth = planted()
    found = fuse(hsi, msi, "u2mdn", {"steps": 600}, FusionSettings(registration="none"))
    blocks = Cube(np.asarray(hsi.read()).repeat(4, 1).repeat(4, 2), truth.axis)
    assert rms(found.cube, truth) < 0.4 * rms(blocks, truth)


def test_both_images_are_centred_by_the_mean_of_the_hyperspectral_one() -> None:
    # The multispectral image shows other ground; what its own mean does to quality: test_fusion_quality.py.
    hsi, msi, _ = planted()
    model = fit_dirichlet(
        pair_of(Cube(hsi.read()[:, :6], hsi.axis), msi, "none"), U2mdnParameters(steps=1), Job()
    ).model
    pair = pair_of(Cube(hsi.read()[:, :6], hsi.axis), msi, "none")
    assert torch.allclose(model.centre, pair.mixed_bands() @ pair.spectra.mean(1), atol=1e-6)
    guide, _ = pair.guide()
    assert not torch.allclose(model.centre, guide.mean((1, 2)), rtol=0.01)


def test_the_critic_sees_that_codes_follow_from_pixels() -> None:
    assert fitted().information >= 0.3
    assert np.isnan(fitted(information=0.0).information)


def test_a_flat_loss_ends_the_fit() -> None:
    found = fit_dirichlet(pair_of(*planted()[:2]), U2mdnParameters(steps=4000, rate=1e-9), Job())
    assert found.stopped == 500
    assert "fell by less" in found.reason
    assert fitted().reason == "the last step was reached"


def test_a_fit_is_stopped_within_a_few_steps() -> None:
    def listen(progress: Progress) -> None:
        if progress.fraction > 0.0005:
            job.cancel()

    job = Job(on_progress=listen)
    with pytest.raises(Cancelled):
        fit_dirichlet(pair_of(*planted()[:2]), U2mdnParameters(steps=100000), job)
    assert job.elapsed_s < 10


def test_no_fusion_method_is_told_the_truth() -> None:
    for spec in methods("fuse").values():
        for function in (spec.load_run(), spec.load_prepare()):
            assert function is not None
            assert not {"truth", "reference", "target"} & set(inspect.signature(function).parameters)
    assert not {"truth", "reference", "target"} & set(inspect.signature(fuse).parameters)


def test_joint_is_better_than_its_mixtures_and_better_still_where_images_line_up() -> None:
    hsi, msi, truth = planted()
    error = {
        (name, how): rms(fuse(hsi, msi, name, {"steps": 300}, FusionSettings(registration=how)).cube, truth)
        for name, how in (("u2mdn", "none"), ("joint", "none"), ("joint", "frame"))
    }
    assert error["joint", "none"] < error["u2mdn", "none"]
    assert error["joint", "frame"] < error["joint", "none"]


def test_the_result_agrees_with_the_coarse_image_where_they_line_up() -> None:
    hsi, msi, _ = planted()
    apart = {}
    for how in ("none", "frame"):
        found = fuse(hsi, msi, "joint", {"steps": 300}, FusionSettings(registration=how)).cube.read()
        apart[how] = np.abs(found.reshape(24, 12, 4, 10, 4).mean((2, 4)) - hsi.read()).mean()
    assert apart["frame"] < 0.5 * apart["none"]


def test_few_or_noisy_bands_call_for_joint_and_many_clean_ones_for_ridge() -> None:
    hsi, msi, truth = planted()
    centres = truth.axis.centres_nm
    assert centres is not None
    at, wide = np.linspace(450, 2300, 6), np.full(6, 200.0)
    six = Cube(np.tensordot(gaussian_response(at, wide, centres), truth.read(), 1), BandAxis(6, at, wide))
    noise = 0.01 * np.random.default_rng(0).standard_normal(six.shape)
    assert choose(pair_of(hsi, msi, "none")).method == "joint"
    assert choose(pair_of(hsi, six, "none")).method == "ridge"
    assert choose(pair_of(hsi, six)).method == "joint"
    noisy = pair_of(hsi, replace(six, values=(six.read() + noise).astype(np.float32)), "none")
    assert choose(noisy).method == "joint"
    assert all(reason.endswith(".") for reason in choose(noisy).reasons)


@pytest.mark.parametrize("level_db", [30.0, 40.0])
def test_noise_of_the_sharp_image_is_measured_within_two_decibels(level_db: float) -> None:
    hsi, msi, _ = planted(24, 96, 80)
    values = np.asarray(msi.read(), float)
    level = np.sqrt((values**2).mean((1, 2), keepdims=True)) * 10 ** (-level_db / 20)
    noisy = values + level * np.random.default_rng(1).standard_normal(values.shape)
    pair = pair_of(hsi, replace(msi, values=noisy.astype(np.float32)))
    assert signal_to_noise(pair) == pytest.approx(level_db, abs=2.0)


def test_doubt_is_one_where_a_hundredth_of_the_own_pixels_lie() -> None:
    pixels = torch.randn(3, 5000, generator=torch.Generator().manual_seed(0))
    ordinary = find_doubt(pixels, 0.1 * pixels)
    assert float((ordinary.of(pixels) > 1).float().mean()) == pytest.approx(0.01, abs=0.002)
    assert float(ordinary.of(torch.full((3, 1), 20.0))) > 4
    # What the mixtures leave counts where the colour is ordinary.
    assert float(ordinary.of(torch.zeros(3, 1), torch.ones(3, 1))) > 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", sorted(methods("fuse")))
def test_a_gpu_gives_what_the_processor_gives(method: str) -> None:
    hsi, msi, truth = planted()
    options = {"steps": 300} if method in ("u2mdn", "joint") else {}
    here, there = (
        fuse(hsi, msi, method, options, FusionSettings(registration="frame", device=device)).cube
        for device in ("cpu", "cuda")
    )
    # A fit of many steps amplifies the last bits; the results must be equally good.
    assert rms(there, truth) == pytest.approx(rms(here, truth), rel=0.1)
