"""Degradations of batches: the published ranges, twins written apart in NumPy, and what a batch must not change."""

import collections
import math

import numpy as np
import pytest
import torch

from hsi_app.cube import Cube
from hsi_app.errors import ParameterError
from hsi_app.physics import noise
from hsi_app.physics.degrade import blur_std, degrade, list_degradations, parse_degradation
from hsi_app.physics.degrade_batch import degrade_batch
from hsi_app.physics.spatial import gaussian_profile, gaussian_psf, motion_psf

SAME_GRID = [name for name in list_degradations() if name not in ("sr-x4", "thin-x4")]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat(samples: int, bands: int, height: int, width: int, value: float = 0.5) -> torch.Tensor:
    return torch.full((samples, bands, height, width), value)


def textured(samples: int, bands: int, height: int, width: int) -> torch.Tensor:
    return torch.rand((samples, bands, height, width), generator=rng(99)) * 0.9 + 0.05


def spoilt(name: str, cubes: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return degrade_batch(cubes, [name] * len(cubes), rng(seed)).observed


# What was published, each with its own number for every sample of the batch.


@pytest.mark.parametrize("sigmas", [(30, 50, 70), (5, 37.4, 75)])
def test_sigma_is_recovered_for_each_sample(sigmas):
    cubes = textured(3, 31, 64, 64)
    found = degrade_batch(cubes, [f"gauss-{sigma}" for sigma in sigmas], rng()).observed - cubes
    np.testing.assert_allclose(found.std(dim=(1, 2, 3)) * 255, sigmas, rtol=0.02)
    # Five standard errors of a mean.
    assert (found.mean(dim=(1, 2, 3)).abs() * 255 < 5 * torch.tensor(sigmas) / math.sqrt(31 * 64 * 64)).all()


def test_band_noise_takes_each_level_alike_and_nothing_else():
    found = spoilt("mixed-1", flat(8, 60, 40, 40)).std(dim=(2, 3)) * 255
    levels = np.array(noise.BAND_LEVELS)
    nearest = np.abs(found.numpy()[..., None] - levels).argmin(axis=-1)
    # 1600 samples a band: a standard error of 1.8 %.
    np.testing.assert_allclose(found, levels[nearest], rtol=0.08)
    # 480 bands, 120 expected of each level with a standard error of 9.5.
    assert np.abs(np.bincount(nearest.ravel(), minlength=4) - 120).max() < 40


@pytest.mark.parametrize(
    "model", [noise.Stripes(), noise.DeadLines(), noise.Impulses()], ids=lambda m: type(m).__name__
)
@pytest.mark.parametrize("bands", [9, 31, 100])
def test_floor_of_a_third_of_the_bands_is_hit(model, bands):
    cubes = flat(6, bands, 16, 64)
    hit = (model.apply(cubes, rng()) != cubes).any(dim=3).any(dim=2)
    assert hit.sum(dim=1).tolist() == [bands // 3] * 6
    assert len({tuple(row) for row in hit.tolist()}) > 1


@pytest.mark.parametrize("width", [20, 40, 64, 100, 145])
@pytest.mark.parametrize(
    ("model", "rounded"), [(noise.Stripes(), math.floor), (noise.DeadLines(), math.ceil)], ids=["stripes", "dead"]
)
def test_column_counts_fill_their_half_open_range(model, rounded, width):
    low, high = rounded(0.05 * width), rounded(0.15 * width)
    seen = set()
    for seed in range(20):
        cubes = flat(4, 30, 3, width)
        columns = (model.apply(cubes, rng(seed)) != cubes).all(dim=2).sum(dim=2)
        seen |= set(columns[columns > 0].tolist())
    # 800 draws of at most 15 counts: one is missed with a probability below 1e-22.
    assert seen == set(range(max(low, 1), high))


@pytest.mark.parametrize("width", [1, 2, 5, 13])
def test_a_narrow_image_loses_one_column(width):
    cubes = flat(2, 6, 3, width)
    for model in (noise.Stripes(), noise.DeadLines()):
        hit = (model.apply(cubes, rng()) != cubes).all(dim=2).sum(dim=2)
        assert hit.sum(dim=1).tolist() == [2, 2]
        assert hit.max() == 1


def test_stripes_are_constant_along_a_column_and_uniform_over_their_range():
    offsets = (noise.Stripes().apply(flat(8, 90, 5, 100, 0.0), rng())).flatten(0, 1)
    assert torch.equal(offsets[:, :1].expand_as(offsets), offsets)
    drawn = offsets[:, 0][offsets[:, 0] != 0]
    # About 2300 columns: the standard errors are 0.003 of the mean and 0.0014 of the spread of U(-1/4, 1/4).
    assert drawn.abs().max() <= 0.25
    assert drawn.mean() == pytest.approx(0, abs=0.015)
    assert drawn.std() == pytest.approx(0.5 / math.sqrt(12), abs=0.007)


def test_impulses_are_half_salt_half_pepper_of_one_share_a_cube():
    cubes = flat(40, 9, 64, 64)
    found = noise.Impulses().apply(cubes, rng())
    shares = set()
    for sample in found:
        hit = sample[(sample != 0.5).any(dim=2).any(dim=1)]
        share = (hit != 0.5).float().mean(dim=(1, 2)).numpy()
        nearest = np.array(noise.IMPULSE_SHARES)[np.abs(share[0] - np.array(noise.IMPULSE_SHARES)).argmin()]
        # 4096 samples a band: a standard error of at most 0.008.
        np.testing.assert_allclose(share, nearest, atol=0.04)
        shares.add(float(nearest))
        assert (hit == 1).sum() / (hit != 0.5).sum() == pytest.approx(0.5, abs=0.07)
        assert set(hit.unique().tolist()) == {0.0, 0.5, 1.0}
    assert shares == set(noise.IMPULSE_SHARES)


def test_extras_can_be_asked_for_on_all_bands():
    cubes = flat(2, 9, 16, 64, 0.0)
    zeros = (spoilt("mixed-3@1", cubes) == 0).all(dim=2).any(dim=2)
    assert zeros.all()
    assert (spoilt("mixed-3", cubes) == 0).all(dim=2).any(dim=2).sum(dim=1).tolist() == [3, 3]


@pytest.mark.parametrize(("side", "std"), [(7, 1.4), (9, 1.7), (11, 2.0), (15, 2.6), (21, 3.5)])
def test_blur_has_the_published_width(side, std):
    assert blur_std(side) == pytest.approx(std)
    point = torch.zeros(1, 1, 63, 63)
    point[..., 31, 31] = 1
    profile = spoilt(f"blur-{side}", point)[0, 0].sum(dim=0)
    np.testing.assert_allclose(profile[31 - side // 2 : 32 + side // 2], gaussian_profile(side, std), atol=1e-6)
    assert profile[: 31 - side // 2].abs().max() == 0


@pytest.mark.parametrize("name", ["blur-15", "blur-21@0.4@30", "motion-15", "motion-8@110", "sr-x4+enlarge-x4"])
def test_edges_do_not_darken(name):
    np.testing.assert_allclose(spoilt(name, flat(2, 3, 32, 40)), 0.5, rtol=1e-6)


@pytest.mark.parametrize("angle", [0, 30, 135])
def test_a_tilted_blur_has_both_its_widths(angle):
    # Sides far beyond the long axis, so that the cut does not narrow it.
    kernel = gaussian_psf(41, 3.0, 0.5, angle)
    place = torch.arange(41.0, dtype=torch.float64) - 20
    up, right = -place[:, None], place[None]
    turn = math.radians(angle)
    along, across = right * math.cos(turn) + up * math.sin(turn), up * math.cos(turn) - right * math.sin(turn)
    assert float(kernel.sum()) == pytest.approx(1)
    assert float((kernel * along**2).sum().sqrt()) == pytest.approx(3.0, rel=1e-3)
    assert float((kernel * across**2).sum().sqrt()) == pytest.approx(1.5, rel=1e-3)


def test_tilt_means_the_same_for_blur_and_motion():
    place = torch.arange(21.0, dtype=torch.float64) - 10
    for kernel in (gaussian_psf(21, 3.5, 0.2, 30), motion_psf(21, 30)):
        mixed = float((kernel * -place[:, None] * place[None]).sum())
        assert mixed > 1  # up and to the right


@pytest.mark.parametrize("share", [0.7, 0.8, 0.9])
@pytest.mark.parametrize("kind", ["inpaint", "pixels"])
def test_that_share_of_each_sample_is_missing(kind, share):
    found = degrade_batch(textured(2, 31, 128, 128), [f"{kind}-{share}"] * 2, rng())
    np.testing.assert_allclose(1 - found.mask.float().mean(dim=(1, 2, 3)), share, atol=0.01)
    assert (found.observed[~found.mask] == 0).all()


def test_blocks_are_squares_missing_in_all_bands():
    found = degrade_batch(textured(8, 3, 160, 160), ["blocks-0.3@8"] * 8, rng())
    assert (found.mask == found.mask[:, :1]).all()
    # 8 samples of 20 x 20 squares: a standard error of 0.008.
    assert 1 - float(found.mask.float().mean()) == pytest.approx(0.3, abs=0.04)
    # Along a row, gaps that touch no edge are whole squares.
    for row in (~found.mask[:, 0]).flatten(0, 1).numpy():
        changes = np.flatnonzero(np.diff(row.astype(int)))
        assert (np.diff(changes) % 8 == 0).all()


@pytest.mark.parametrize("kind", ["bandloss", "bandrun"])
def test_int_of_the_share_of_the_bands_is_lost(kind):
    shares, bands = (0.1, 0.2, 0.3, 0.29), 100
    found = degrade_batch(textured(4, bands, 8, 8), [f"{kind}-{share}" for share in shares], rng())
    lost = ~found.mask[:, :, 0, 0]
    assert (found.mask == found.mask[:, :, :1, :1]).all()
    assert lost.sum(dim=1).tolist() == [int(share * bands) for share in shares]
    if kind == "bandrun":
        assert [int(np.ptp(np.flatnonzero(row))) + 1 for row in lost.numpy()] == lost.sum(dim=1).tolist()


def test_a_run_of_bands_begins_anywhere():
    lost = ~degrade_batch(flat(400, 10, 2, 2), ["bandrun-0.3"] * 400, rng()).mask[:, :, 0, 0]
    begins = collections.Counter(lost.int().argmax(dim=1).tolist())
    # 50 expected at each of 8 places, with a standard error of 6.6.
    assert set(begins) == set(range(8))
    assert max(abs(count - 50) for count in begins.values()) < 27


def transmission_of(name: str, bands: int, centres: np.ndarray | None) -> np.ndarray:
    """(N, B, H, W): with one black image under airlight 1, haze shows its transmission."""
    cubes = torch.zeros(3, bands, 40, 40)
    cubes[:, :, 0, 0] = 1  # the brightest 0.01 %, at least one pixel: the airlight
    hazy = degrade_batch(cubes, [name] * 3, rng(), centres).observed.numpy().astype(float)
    return np.delete(1 - hazy.reshape(3, bands, -1), 0, axis=2)


@pytest.mark.parametrize("omega", [0.5, 0.75, 1.0])
def test_haze_fades_with_wavelength(omega):
    through = transmission_of(f"haze-{omega}", 20, None)
    assert (np.diff(through, axis=1) >= -1e-6).all()


@pytest.mark.parametrize(("omega", "gamma"), [(0.5, 1.0), (1.0, 1.0), (0.7, 1.6)])
def test_haze_follows_its_formula(omega, gamma):
    centres = np.array([450.0, 700.0, 900.0, 2200.0])
    name = f"haze-{omega}@{gamma}"
    first = transmission_of("haze-0.01", 4, centres)[:, 0]  # the same draw, with a known strength
    cirrus = (1 - first) / 0.01
    through = transmission_of(name, 4, centres)
    np.testing.assert_allclose(through[:, 0], 1 - omega * cirrus, atol=2e-5)
    thinnest = np.broadcast_to(np.maximum(1 - omega * cirrus, 1e-10)[:, None], through.shape)
    expected = thinnest ** ((450.0 / centres) ** gamma)[:, None]
    clear = thinnest > 0.05  # where it is nearly opaque, float32 does not tell the cirrus well enough
    np.testing.assert_allclose(through[clear], expected[clear], atol=2e-4)


def test_haze_is_thickest_at_the_shortest_wavelength_in_whatever_order():
    centres = np.linspace(400.0, 1000.0, 10)
    up = transmission_of("haze-0.8", 10, centres)
    down = transmission_of("haze-0.8", 10, centres[::-1])
    np.testing.assert_allclose(up, down[:, ::-1], atol=1e-6)


@pytest.mark.parametrize("scale", [5.0, 10.0, 60.0])
def test_photon_noise_keeps_the_mean_and_has_the_variance_of_its_level(scale):
    levels = torch.linspace(0.1, 0.9, 9)
    cubes = levels[None, :, None, None].expand(2, 9, 100, 100)
    found = degrade_batch(cubes, [f"poisson-{scale}"] * 2, rng()).observed
    # Five standard errors of 20 000 samples.
    error = 5 * (levels / scale / 20_000).sqrt()
    assert ((found.mean(dim=(0, 2, 3)) - levels).abs() < error).all()
    np.testing.assert_allclose(found.transpose(0, 1).flatten(1).var(dim=1), levels / scale, rtol=0.07)
    np.testing.assert_allclose(found * scale, (found * scale).round(), atol=1e-4)


def test_photon_noise_has_a_scale_for_each_sample():
    scales = [5.0, 20.0, 60.0]
    found = degrade_batch(flat(3, 4, 100, 100), [f"poisson-{scale}" for scale in scales], rng()).observed
    np.testing.assert_allclose(found.var(dim=(1, 2, 3)), 0.5 / np.array(scales), rtol=0.05)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_published_super_resolution_repeats_bicubic_samples_on_the_full_grid(scale):
    cubes = textured(2, 3, 32, 48)
    found = spoilt(f"thin-x{scale}+repeat-x{scale}", cubes)
    size = (32 // scale, 48 // scale)
    coarse = torch.nn.functional.interpolate(cubes, size=size, mode="bicubic", align_corners=True)
    expected = coarse.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    np.testing.assert_allclose(found, expected, atol=1e-5)  # torch works the weights out in float32


# Twins in NumPy, sample by sample, band by band, with the same draws.


def twin_bands(samples: int, bands: int, one_in: int, generator: torch.Generator) -> list[list[int]]:
    return [torch.randperm(bands, generator=generator).tolist()[: max(bands // one_in, 1)] for _ in range(samples)]


def twin_columns(shape, low, high, generator):
    counts = torch.randint(max(low, 1), max(high, max(low, 1) + 1), shape[:2], generator=generator).numpy()
    ranks = torch.rand(shape, generator=generator).numpy()
    return [[np.argsort(ranks[n, k])[: counts[n, k]] for k in range(shape[1])] for n in range(shape[0])]


def twin_gauss(cubes, sigmas, generator):
    drawn = torch.randn(cubes.shape, generator=generator).numpy()
    return np.stack([cube + sigma / 255 * own for cube, sigma, own in zip(cubes, sigmas, drawn, strict=True)])


def twin_bandwise(cubes, generator):
    levels = torch.randint(4, cubes.shape[:2], generator=generator).numpy()
    drawn = torch.randn(cubes.shape, generator=generator).numpy()
    out = cubes.copy()
    for n, b in np.ndindex(*cubes.shape[:2]):
        out[n, b] += (10, 30, 50, 70)[levels[n, b]] / 255 * drawn[n, b]
    return out


def twin_stripes(cubes, generator):
    samples, bands, _, width = cubes.shape
    chosen = twin_bands(samples, bands, 3, generator)
    shape = (samples, len(chosen[0]), width)
    columns = twin_columns(shape, math.floor(0.05 * width), math.floor(0.15 * width), generator)
    drawn = torch.rand(shape, generator=generator).numpy()
    out = cubes.copy()
    for n in range(samples):
        for k, band in enumerate(chosen[n]):
            for column in columns[n][k]:
                out[n, band, :, column] += (2 * drawn[n, k, column] - 1) * 0.25
    return out


def twin_dead(cubes, generator):
    samples, bands, _, width = cubes.shape
    chosen = twin_bands(samples, bands, 3, generator)
    shape = (samples, len(chosen[0]), width)
    columns = twin_columns(shape, math.ceil(0.05 * width), math.ceil(0.15 * width), generator)
    out = cubes.copy()
    for n in range(samples):
        for k, band in enumerate(chosen[n]):
            out[n, band][:, columns[n][k]] = 0
    return out


def twin_impulses(cubes, generator):
    samples, bands, height, width = cubes.shape
    shares = [(0.1, 0.3, 0.5, 0.7)[i] for i in torch.randint(4, (samples,), generator=generator).tolist()]
    chosen = twin_bands(samples, bands, 3, generator)
    out = cubes.copy()
    for n in range(samples):
        for band in chosen[n]:
            hit = torch.rand((height, width), generator=generator).numpy()
            salt = torch.rand((height, width), generator=generator).numpy()
            for row, column in np.ndindex(height, width):
                if hit[row, column] < shares[n]:
                    out[n, band, row, column] = 1 if salt[row, column] < 0.5 else 0
    return out


def twin_inpaint(cubes, shares, generator):
    drawn = torch.rand(cubes.shape, generator=generator).numpy()
    out = cubes.copy()
    for n, share in enumerate(shares):
        out[n][drawn[n] < np.float32(share)] = 0
    return out


def twin_bandloss(cubes, shares, generator):
    out = cubes.copy()
    for n, share in enumerate(shares):
        lost = torch.randperm(cubes.shape[1], generator=generator).numpy()
        out[n, lost[: int(share * cubes.shape[1])]] = 0
    return out


def twin_haze(cubes, omegas, gammas, generator):
    samples, bands, height, width = cubes.shape
    drawn = torch.randn((samples, height, width), generator=generator).numpy().astype(float)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency = np.maximum(frequency, 1 / max(height, width))
    lambdas = np.linspace(400, 1000, bands)
    out = cubes.copy()
    for n in range(samples):
        cirrus = np.fft.ifft2(np.fft.fft2(drawn[n]) / frequency**1.5).real
        cirrus = (cirrus - cirrus.min()) / np.ptp(cirrus)
        for b in range(bands):
            through = np.maximum(1 - omegas[n] * cirrus, 1e-10) ** ((lambdas[0] / lambdas[b]) ** gammas[n])
            brightest = np.sort(cubes[n, b].ravel())[::-1][: max(1, height * width // 10_000)].mean()
            out[n, b] = cubes[n, b] * through + brightest * (1 - through)
    return out


def twin_filter(cubes, kernel):
    """Correlation with the edges mirrored, pixel by pixel; all kernels here are symmetric about their centre."""
    reach = len(kernel) // 2
    padded = np.pad(cubes, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="reflect")
    out = np.empty_like(cubes)
    for row, column in np.ndindex(*cubes.shape[2:]):
        window = padded[:, :, row : row + len(kernel), column : column + len(kernel)]
        out[:, :, row, column] = (window * kernel).sum(axis=(2, 3))
    return out


def twin_blur(cubes, side):
    place = np.arange(side) - side // 2
    profile = np.exp(-(place**2) / (2 * (0.3 * ((side - 1) / 2 - 1) + 0.8) ** 2))
    return twin_filter(cubes, np.outer(profile, profile) / profile.sum() ** 2)


TWINS = {
    ("gauss-30", "gauss-50", "gauss-70"): lambda x, g: twin_gauss(x, (30, 50, 70), g),
    ("mixed-1",) * 3: twin_bandwise,
    ("mixed-2",) * 3: lambda x, g: twin_stripes(twin_bandwise(x, g), g),
    ("mixed-3",) * 3: lambda x, g: twin_dead(twin_bandwise(x, g), g),
    ("mixed-4",) * 3: lambda x, g: twin_impulses(twin_bandwise(x, g), g),
    ("inpaint-0.7", "inpaint-0.8", "inpaint-0.9"): lambda x, g: twin_inpaint(x, (0.7, 0.8, 0.9), g),
    ("bandloss-0.1", "bandloss-0.2", "bandloss-0.3"): lambda x, g: twin_bandloss(x, (0.1, 0.2, 0.3), g),
    ("haze-0.5", "haze-0.75@1.5", "haze-1"): lambda x, g: twin_haze(x, (0.5, 0.75, 1.0), (1.0, 1.5, 1.0), g),
    ("blur-7",) * 3: lambda x, g: twin_filter(x, np.outer(*[gaussian_profile(7, 1.4).numpy()] * 2)),
    ("blur-15",) * 3: lambda x, g: twin_blur(x, 15),
    ("motion-7@45",) * 3: lambda x, g: twin_filter(x, motion_psf(7, 45).numpy()),
    ("blur-9@0.5@30",) * 3: lambda x, g: twin_filter(x, gaussian_psf(9, 1.7, 0.5, 30).numpy()),
}


@pytest.mark.parametrize("names", TWINS, ids=lambda names: names[-1])
def test_a_batch_equals_its_slow_twin(names):
    cubes = textured(3, 20, 24, 40)
    expected = TWINS[names](cubes.numpy().astype(float), rng(5))
    np.testing.assert_allclose(degrade_batch(cubes, names, rng(5)).observed, expected, atol=2e-5)


# What a batch must not change.


@pytest.mark.parametrize("name", [*list_degradations(), "mixed-5@1", "blur-15@0.5@30", "motion-8@110", "haze-0.4@2"])
def test_a_batch_of_one_equals_the_cube_alone(name):
    cube = textured(1, 24, 48, 40)
    cube /= np.float32(np.percentile(cube, 99.9))
    alone = degrade(Cube(cube[0].numpy()), name, seed=3)
    # The cube is divided by its own percentile, 1 but for rounding.
    assert alone.record["scale"] == pytest.approx(1, rel=1e-6)
    found = degrade_batch(cube / np.float32(alone.record["scale"]), [name], rng(3))
    expected = np.nan_to_num(alone.observed.values / np.float32(alone.record["scale"]), nan=0.0)
    np.testing.assert_allclose(found.observed[0], expected, rtol=2e-6, atol=1e-7)
    if alone.mask is not None:
        np.testing.assert_array_equal(found.mask[0], alone.mask)


@pytest.mark.parametrize(
    "model",
    [noise.Gaussian(0.1), noise.BandwiseGaussian(), noise.Stripes(), noise.DeadLines(), noise.Impulses(),
     noise.Poisson(10)],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_of_a_cube_is_that_of_a_batch_of_one(model, dtype):
    cube = textured(1, 9, 16, 24).to(dtype)
    alone = model.apply(cube[0], rng())
    assert alone.dtype == dtype
    assert torch.equal(alone, model.apply(cube, rng())[0])
    with pytest.raises(ParameterError, match="needs"):
        model.apply(cube[0, 0], rng())


@pytest.mark.parametrize("name", SAME_GRID)
def test_the_input_is_not_edited(name):
    cubes = textured(2, 12, 32, 40)
    before = cubes.clone()
    found = degrade_batch(cubes, [name, "gauss-10"], rng())
    assert torch.equal(cubes, before)
    assert found.observed.data_ptr() != cubes.data_ptr()
    assert found.observed.shape == cubes.shape == found.mask.shape
    assert torch.isfinite(found.observed).all()


@pytest.mark.parametrize("name", SAME_GRID)
def test_draws_depend_on_the_generator_only(name):
    cubes, names = textured(2, 12, 32, 40), [name, "gauss-10"]
    states = torch.random.get_rng_state().clone(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = degrade_batch(cubes, names, rng(1))
    torch.rand(3)
    again, other = degrade_batch(cubes, names, rng(1)), degrade_batch(cubes, names, rng(2))
    assert torch.equal(first.observed, again.observed)
    assert not torch.equal(first.observed, other.observed)
    torch.random.set_rng_state(states[0])
    degrade_batch(cubes, names, rng(1))
    assert torch.equal(torch.random.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002


def test_samples_of_a_batch_differ():
    found = spoilt("mixed-5", flat(4, 12, 32, 40))
    assert len({float(sample.sum()) for sample in found}) == 4


def test_each_sample_gets_its_own_degradation_in_whatever_order():
    cubes = textured(6, 10, 32, 40)
    names = ["inpaint-0.5", "gauss-10", "blur-7", "inpaint-0.9", "gauss-70", "bandloss-0.2"]
    found = degrade_batch(cubes, names, rng())
    missing = 1 - found.mask.float().mean(dim=(1, 2, 3))
    np.testing.assert_allclose(missing, [0.5, 0, 0, 0.9, 0, 0.2], atol=0.02)
    np.testing.assert_allclose((found.observed - cubes).std(dim=(1, 2, 3))[[1, 4]] * 255, [10, 70], rtol=0.03)
    np.testing.assert_allclose(found.observed[2], spoilt("blur-7", cubes[2:3])[0], atol=1e-6)
    assert torch.equal(found.observed[0][found.mask[0]], cubes[0][found.mask[0]])
    assert found.record == {"names": names, "grid_ratio": 1}


def test_one_scale_for_all_gives_a_coarse_grid():
    found = degrade_batch(textured(2, 3, 32, 40), ["sr-x4", "sr-x4+gauss-10"], rng())
    assert found.observed.shape == found.mask.shape == (2, 3, 8, 10)
    assert found.record["grid_ratio"] == 4


def test_scales_that_do_not_stack_are_refused():
    with pytest.raises(ParameterError, match="8 x 10 and 16 x 20 px, which do not stack"):
        degrade_batch(textured(2, 3, 32, 40), ["sr-x4", "sr-x2"], rng())


def test_different_scales_stack_once_back_on_the_full_grid():
    names = ["sr-x2+repeat-x2", "thin-x4+repeat-x4", "sr-x8+enlarge-x8", "gauss-20"]
    found = degrade_batch(textured(4, 3, 32, 40), names, rng())
    assert found.observed.shape == (4, 3, 32, 40)


def test_a_finer_grid_than_the_cube_has_is_refused():
    with pytest.raises(ParameterError, match="as in sr-x4"):
        spoilt("repeat-x4", flat(1, 3, 32, 40))


def test_gaps_survive_a_coarser_grid_and_the_way_back():
    found = degrade_batch(textured(1, 4, 32, 32), ["bandloss-0.5+sr-x4+repeat-x4"], rng())
    assert found.mask.float().mean() == 0.5
    assert (found.mask == found.mask[:, :, :1, :1]).all()


@pytest.mark.parametrize(
    ("cubes", "names", "centres", "word"),
    [
        (torch.zeros(3, 8, 8), ["gauss-5"] * 3, None, "floats"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int32), ["gauss-5"], None, "floats"),
        (torch.zeros(0, 3, 8, 8), [], None, "floats"),
        (torch.zeros(2, 3, 8, 8), ["gauss-5"], None, "1 names for 2 cubes"),
        (torch.zeros(1, 3, 8, 8), ["haze-0.5"], [400.0, 500.0], "2 wavelengths for 3 bands"),
        (torch.zeros(1, 3, 8, 8), ["blur-21@0.5"], None, "'blur-21@0.5' does not suit this cube"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(cubes, names, centres, word):
    with pytest.raises(ParameterError, match=word) as caught:
        degrade_batch(cubes, names, rng(), centres)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["motion-15@x", "motion-15@30@2", "blur-15@0", "blur-15@1.5", "haze-0.5@0", "mixed-4@0", "mixed-2.5", "gauss-nan",
     "gauss-inf", "blocks-0.2@0", "bandrun-2", "sr-x1", "thin-x2.5", "repeat-4", "motion-15@"],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(name):
    with pytest.raises(ParameterError) as caught:
        parse_degradation(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("short", "full"), [("motion-15", "motion-15@45"), ("haze-0.5", "haze-0.5@1"),
                                             ("blur-15", "blur-15@1@0"), ("mixed-4", "mixed-4@3")])  # fmt: skip
def test_numbers_left_out_have_the_published_values(short, full):
    cubes = textured(2, 9, 32, 40)
    assert torch.equal(spoilt(short, cubes), spoilt(full, cubes))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_batch_stays_on_its_device_whichever_the_generator_is_on():
    cubes = textured(len(SAME_GRID), 12, 32, 40).cuda()
    on_host = degrade_batch(cubes, SAME_GRID, rng())
    assert on_host.observed.device == on_host.mask.device == cubes.device
    here = degrade_batch(cubes.cpu(), SAME_GRID, rng())
    assert torch.equal(on_host.mask.cpu(), here.mask)
    # Photon noise apart: a rate that rounds differently may count another photon.
    same = [i for i, name in enumerate(SAME_GRID) if not name.startswith("poisson")]
    np.testing.assert_allclose(on_host.observed.cpu()[same], here.observed[same], atol=1e-4)
    there = degrade_batch(cubes, SAME_GRID, torch.Generator("cuda").manual_seed(0))
    assert there.observed.device == cubes.device
    assert torch.isfinite(there.observed).all()
