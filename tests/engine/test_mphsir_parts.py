"""Parts of MP-HSIR: lost bands along the spectrum, patches that blend into one scene, and what the network is shown."""

from __future__ import annotations

import itertools

import pytest
import torch

from hsi_app.methods.mphsir import patches
from hsi_app.methods.mphsir.bands import fill_lost, view_bands
from hsi_app.methods.mphsir.patches import OVERLAP_PX, SIDE_PX, VIEWS, Grid, correct_patches
from hsi_app.methods.mphsir.view import view_components
from hsi_app.tiling import Window

SHAPES = ((300, 260), (33, 47), (64, 64), (5, 17))
# Sums in single precision.
SINGLE = 1e-5


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def known_but(bands: int, *lost: int) -> torch.Tensor:
    known = torch.ones(bands, dtype=torch.bool)
    known[list(lost)] = False
    return known


# ---- lost bands


def test_a_spectrum_linear_in_wavelength_is_filled_exactly() -> None:
    centres = torch.tensor([400.0, 410, 425, 470, 500, 560, 600, 605])
    slope, level = noise(3, 4, seed=1), noise(3, 4, seed=2)
    truth = level + slope * centres[:, None, None] / 100
    known = known_but(8, 1, 3, 4)
    filled = fill_lost(torch.where(known[:, None, None], truth, torch.nan), known, centres)
    torch.testing.assert_close(filled, truth, atol=SINGLE, rtol=SINGLE)


def test_without_wavelengths_the_order_of_the_bands_is_their_place() -> None:
    values = torch.tensor([0.0, torch.nan, torch.nan, 3.0])
    assert fill_lost(values, ~values.isnan()).tolist() == pytest.approx([0, 1, 2, 3])


def test_beyond_the_ends_the_last_known_band_is_repeated() -> None:
    values = torch.tensor([torch.nan, torch.nan, 5.0, 7.0, torch.nan])
    assert fill_lost(values, ~values.isnan(), torch.arange(5.0) ** 2).tolist() == [5, 5, 5, 7, 7]


def test_known_bands_are_not_touched() -> None:
    values, known = noise(9, 5, 6), known_but(9, 0, 4, 5, 8)
    assert torch.equal(fill_lost(values, known)[known], values[known])


def test_what_is_given_is_not_changed() -> None:
    values, known = noise(9, 5, 6), known_but(9, 0, 4)
    kept = values.clone()
    fill_lost(values, known)
    assert torch.equal(values, kept)


@pytest.mark.parametrize("stored", [1.0, 1e30, float("inf"), float("nan")])
def test_what_is_stored_in_a_lost_band_has_no_influence_on_what_is_shown(stored: float) -> None:
    values, known, centres = noise(8, 6, 7), known_but(8, 0, 3, 4), torch.arange(8.0) ** 1.5

    def shown(filler: float) -> tuple[torch.Tensor, ...]:
        filled = torch.where(known[:, None, None], values, filler)
        return view_bands(filled, known, centres)

    for ours, zeros in zip(shown(stored), shown(0.0), strict=True):
        assert bool(zeros.isfinite().all())
        assert torch.equal(ours, zeros)


def test_a_gain_and_an_offset_of_the_bands_change_the_unit_and_not_what_is_shown() -> None:
    values, known = noise(8, 6, 7), known_but(8, 2, 3)
    seen, _, unit = view_bands(values, known)
    other, _, larger = view_bands(50 + 200 * values, known)
    # Offsets of 50 leave 1e-5 of single precision.
    torch.testing.assert_close(other, seen, atol=2e-3, rtol=1e-3)
    assert float(larger / unit) == pytest.approx(200, rel=1e-4)


# ---- patches


@pytest.mark.parametrize("overlap", [0, OVERLAP_PX, 32])
@pytest.mark.parametrize("shape", SHAPES)
def test_patches_blend_back_to_the_scene_they_were_cut_from(shape: tuple[int, int], overlap: int) -> None:
    maps = noise(2, *shape)
    found = correct_patches(maps, Window(0, 0, *shape), lambda cut: cut, overlap=overlap)
    # Weights that add to one leave rounding only.
    torch.testing.assert_close(found, maps, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_constant_answer_gives_a_constant_image(shape: tuple[int, int]) -> None:
    found = correct_patches(noise(2, *shape), Window(0, 0, *shape), lambda cut: torch.full_like(cut[:, :1], 0.25))
    torch.testing.assert_close(found, torch.full((1, *shape), 0.25), atol=1e-6, rtol=0)


def neighbourly(cut: torch.Tensor) -> torch.Tensor:
    """An answer that looks at its whole patch and at where in the patch a pixel lies."""
    place = torch.linspace(-1, 1, SIDE_PX)
    return cut + cut.mean((2, 3), keepdim=True) + cut.std((2, 3), keepdim=True) * place[:, None] * place**2


@pytest.mark.parametrize("place", [Window(48, 96, 150, 110), Window(96, 0, 204, 130), Window(144, 144, 156, 116)])
def test_a_window_gets_the_answer_of_the_whole_scene_away_from_its_cut_edges(place: Window) -> None:
    maps = noise(2, 300, 260)
    whole = correct_patches(maps, Window(0, 0, 300, 260), neighbourly)
    rows, cols = place.slices
    part = correct_patches(maps[:, rows, cols], place, neighbourly)
    # A patch reaches 63 px over a cut edge; the edges of the scene are no cut.
    inner = [
        slice(63 if first else 0, length if first + length == size else length - 63)
        for first, length, size in ((place.row, place.height, 300), (place.col, place.width, 260))
    ]
    torch.testing.assert_close(
        part[:, inner[0], inner[1]], whole[:, rows, cols][:, inner[0], inner[1]], atol=SINGLE, rtol=SINGLE
    )


@pytest.mark.parametrize(("first", "length"), [(0, 300), (48, 100), (17, 90), (47, 1), (200, 5)])
@pytest.mark.parametrize("overlap", [0, OVERLAP_PX, 32])
def test_patches_lie_on_the_grid_of_the_scene_and_cover_the_window(first: int, length: int, overlap: int) -> None:
    grid = Grid.of(Window(first, first, length, length), overlap)
    step = SIDE_PX - overlap
    assert len(grid) == len(list(grid.patches())) == len(grid.rows) ** 2
    assert all((row + first) % step == 0 for row in grid.rows)
    assert grid.rows[0] <= 0
    assert grid.rows[-1] + SIDE_PX >= length
    assert all(later - earlier == step for earlier, later in itertools.pairwise(grid.rows))


@pytest.mark.parametrize("view", range(len(VIEWS)))
def test_a_view_turned_there_and_back_is_the_patch(view: int) -> None:
    maps = noise(2, 70, 90)
    found = correct_patches(maps, Window(0, 0, 70, 90), lambda cut: cut, view=view)
    torch.testing.assert_close(found, maps, atol=1e-6, rtol=1e-6)


def test_beyond_the_edges_a_patch_is_the_scene_mirrored() -> None:
    maps, shown = noise(1, 40, 50), []

    def look(cut: torch.Tensor) -> torch.Tensor:
        shown.append(cut)
        return cut

    correct_patches(maps, Window(0, 0, 40, 50), look, overlap=0)
    wide = torch.cat([maps, maps.flip(2)], 2)
    mirrored = torch.cat([wide, wide.flip(1)], 1)[:, :SIDE_PX, :SIDE_PX]
    assert torch.equal(shown[0][0], mirrored)


def test_every_view_shows_another_patch() -> None:
    shown: list[torch.Tensor] = []

    def look(cut: torch.Tensor) -> torch.Tensor:
        shown.append(cut.clone())
        return cut

    for view in range(len(VIEWS)):
        correct_patches(noise(1, 64, 64), Window(0, 0, 64, 64), look, view=view)
    assert len(shown) == 8
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(shown, 2))


def test_how_many_patches_go_at_a_time_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, found = noise(2, 150, 170), []
    for count in (1, 3, 64):
        monkeypatch.setitem(patches.AT_A_TIME, "cpu", count)
        found.append(correct_patches(maps, Window(0, 0, 150, 170), neighbourly))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], atol=SINGLE, rtol=SINGLE)


def test_progress_rises_to_one() -> None:
    told: list[float] = []
    correct_patches(noise(1, 150, 170), Window(0, 0, 150, 170), lambda cut: cut, told.append)
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(told) > 1


def seam_index(overlap: int) -> float:
    """Mean step across the lines where patches begin and end, over the mean step elsewhere."""
    height = width = 300
    levels = iter(noise(200, seed=5).tolist())

    def answer(cut: torch.Tensor) -> torch.Tensor:
        # Each patch is off by an amount of its own: what seams come from.
        return cut + torch.tensor([next(levels) for _ in cut])[:, None, None, None]

    texture = 0.3 * noise(1, height, width)
    found = correct_patches(texture, Window(0, 0, height, width), answer, overlap=overlap)[0]
    steps = found.diff(dim=0).abs().mean(1)
    step = SIDE_PX - overlap
    border = torch.zeros(height - 1, dtype=torch.bool)
    # Where a patch begins, and where the one before it ends.
    for line in (0, overlap):
        border[torch.arange(step + line, height, step) - 1] = True
    return float(steps[border].mean() / steps[~border].mean())


def test_without_an_overlap_patches_that_differ_show_their_edges() -> None:
    # Levels of unit variance differ by 1.1 on average, neighbouring texture by 0.34.
    assert seam_index(0) > 2


def test_with_an_overlap_the_edges_do_not_show() -> None:
    assert seam_index(OVERLAP_PX) == pytest.approx(1, abs=0.03)


# ---- what the network is shown


def patch_maps(count: int = 2, components: int = 3, side: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images = 20 * noise(count, components, side, side, seed=1).cumsum(2)
    return images, images + noise(*images.shape, seed=2), torch.ones(count, 2, side, side)


def test_the_sign_of_a_component_turns_what_is_shown_and_not_how_large_it_is() -> None:
    images, solved, share = patch_maps()
    plain, turned = view_components(images, solved, share), view_components(-images, -solved, share)
    torch.testing.assert_close(turned.seen[:, :-2], -plain.seen[:, :-2])
    torch.testing.assert_close(turned.unit, plain.unit)
    torch.testing.assert_close(turned.level, plain.level)


def test_the_mean_of_a_component_does_not_matter() -> None:
    images, solved, share = patch_maps()
    plain, lifted = view_components(images, solved, share), view_components(images + 30, solved + 30, share)
    torch.testing.assert_close(lifted.seen, plain.seen, atol=1e-4, rtol=1e-4)


def test_components_that_are_not_there_are_shown_as_zeros() -> None:
    images, solved, share = patch_maps()
    images[:, 2], solved[:, 2] = 0, 0
    view = view_components(images, solved, share)
    assert not bool(view.seen[:, [2, 5, 8]].any())
    assert bool(view.seen.isfinite().all())
    assert bool((view.unit > 0).all())


def test_the_shares_are_shown_as_they_are() -> None:
    images, solved, _ = patch_maps()
    share = torch.rand(2, 2, 16, 16, generator=torch.Generator().manual_seed(3))
    assert torch.equal(view_components(images, solved, share).seen[:, -2:], share)


def test_the_unit_grows_with_what_was_removed() -> None:
    images, _, share = patch_maps()
    units = [view_components(images, images + size * noise(*images.shape), share).unit for size in (0, 1, 10)]
    assert bool((units[0] < units[1]).all())
    assert bool((units[1] < units[2]).all())
    # Where nothing was removed what is left is a share of the noise, whose variance is 1.
    torch.testing.assert_close(units[0], torch.full_like(units[0], 0.1**0.5))


def test_the_unit_is_the_root_of_a_tenth_of_the_noise_and_a_fifth_of_what_was_removed() -> None:
    images, _, share = patch_maps()
    unit = view_components(images, images + 10, share).unit
    torch.testing.assert_close(unit, torch.full_like(unit, (0.1 + 0.2 * 10**2) ** 0.5), atol=1e-4, rtol=1e-4)


def test_a_strong_component_is_shown_with_unit_variance_and_a_weak_one_as_weak_as_it_is() -> None:
    strong = noise(1, 2, 32, 32)
    strong = (strong - strong.mean((2, 3), keepdim=True)) / strong.std((2, 3), keepdim=True) * 50
    share = torch.ones(1, 2, 32, 32)
    shown = view_components(strong, strong, share).seen[:, :2]
    torch.testing.assert_close(shown.std((2, 3)), torch.ones(1, 2), atol=1e-3, rtol=0)
    weak = view_components(strong / 5000, strong / 5000, share).seen[:, :2]
    assert float(weak.std()) < 0.05


def test_an_estimate_that_is_soft_is_expected_to_err_by_the_detail_it_shows() -> None:
    images, solved, share = patch_maps()
    sharp, soft = (view_components(images, solved, share, is_soft=is_soft) for is_soft in (False, True))
    assert bool((soft.unit > sharp.unit).all())
    flat = torch.zeros_like(images)
    torch.testing.assert_close(
        view_components(flat, flat, share, is_soft=True).unit, view_components(flat, flat, share).unit
    )


def test_patches_of_a_batch_do_not_see_each_other() -> None:
    images, solved, share = patch_maps(3)
    together, alone = view_components(images, solved, share), view_components(images[:1], solved[:1], share[:1])
    torch.testing.assert_close(together.seen[:1], alone.seen)
    torch.testing.assert_close(together.level[:1], alone.level)
