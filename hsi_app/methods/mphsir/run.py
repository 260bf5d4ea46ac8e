"""MP-HSIR on one cube or tile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from hsi_models.mphsir import MPHSIR
from hsi_models.prompted import PromptedNet

from hsi_app.jobs import Job
from hsi_app.methods.lowrank.observation import Whitened, whiten
from hsi_app.methods.mphsir import haze
from hsi_app.methods.mphsir.bands import view_bands
from hsi_app.methods.mphsir.measure import haze_prompt, lost_bands_prompt, measured_prompt
from hsi_app.methods.mphsir.names import DEGRADATIONS
from hsi_app.methods.mphsir.network import Prompted, load
from hsi_app.methods.mphsir.official import restore_officially
from hsi_app.methods.mphsir.patches import correct_patches, in_views, spread_of
from hsi_app.methods.mphsir.spec import MpHsirParameters
from hsi_app.methods.mphsir.start import classical_start, explained
from hsi_app.methods.mphsir.veil import filled
from hsi_app.optics import Optics
from hsi_app.physics.resample import interpolate
from hsi_app.physics.spatial import FWHM_TO_STD, Separable, psf_blur
from hsi_app.problem import Problem, Restoration

# Standard deviations of the noise that a sample may come out below black.
BLACK_NOISE = 2.0
# Share of the network's correction of a thickness that is believed. All of it gained 0.3 dB on one of the two scenes
# kept aside in training and lost 0.5 dB on the other; a quarter was best on both together.
VEIL_SHARE = 0.25
# What is mended in component images; the others are seen in the spectrum.
OF_COMPONENTS = ("gauss", "complex", "blur", "sr", "inpaint", "motion", "poisson")


@dataclass(eq=False)
class _State:
    """Values (B, H, W) on the grid of the result as they come along, and further images."""

    values: torch.Tensor
    extras: dict[str, torch.Tensor] = field(default_factory=dict)
    plain: dict[str, torch.Tensor] = field(default_factory=dict)
    trace: dict[str, Any] = field(default_factory=dict)


def restore(problem: Problem, params: MpHsirParameters, job: Job) -> Restoration:
    """Correct the component images, then fill lost bands, then take the haze away.

    Parameters
    ----------
    problem : see Problem
    params : options of the method
    job : told the progress; may raise Cancelled

    Returns
    -------
    Restoration with the extra images 'spread' (B, H, W), the standard deviation over views where there are several,
    and 'haze' (H, W), the optical thickness taken away at the shortest wavelength
    """
    network, card = load(params.weights, problem.device)
    told = torch.as_tensor(problem.shared["weights"], dtype=torch.float32, device=problem.device)
    if isinstance(network, MPHSIR) and card is not None:
        return restore_officially(problem, params, network, card, told, job)
    weights = dict(zip(DEGRADATIONS, told.tolist(), strict=True))
    assert isinstance(network, PromptedNet)
    problem = _with_blur(problem)
    state, untouched = _State(problem.observed), None
    if any(weights[name] > 0 for name in OF_COMPONENTS):
        data = whiten(problem, lambda fraction: job.step(0.1 * fraction, "projection"))
        _mend_components(problem, params, data, _prompted(network, problem, told, OF_COMPONENTS), state, job)
        if problem.task == "destripe":
            untouched = data.ok if data.stripes is None else data.ok & (data.stripes == 0)
            state.values = torch.where(data.ok, data.values * data.std + data.mean, state.values)
        state.values = _blended(problem, state.values, float(problem.shared["strength"]))
    if weights["bandloss"] > 0:
        _fill_bands(problem, params, _prompted(network, problem, told, ("bandloss",)), state, job.part(0.8, 0.1))
    if weights["haze"] > 0:
        _clear_haze(problem, params, _prompted(network, problem, told, ("haze", "gauss")), state, job.part(0.85, 0.15))
    job.step(1.0, "done")
    trace = {"prompts": {name: round(weight, 3) for name, weight in weights.items() if weight > 0}, **state.trace}
    lowest, highest = (torch.as_tensor(problem.shared[key], dtype=torch.float32, device=problem.device)[:, None, None]
                       for key in ("lowest", "highest"))  # fmt: skip
    values = state.values.clamp(lowest, highest)
    return Restoration(values, untouched, state.extras, state.plain, trace=trace)


def _with_blur(problem: Problem) -> Problem:
    """With the blur that was found, where none was told."""
    fwhm = float(problem.shared.get("fwhm", 0.0))
    if problem.operator is not None or fwhm == 0.0:
        return problem
    bands, height, width = problem.observed.shape
    return replace(problem, operator=psf_blur((bands, height, width), fwhm))


def _width(problem: Problem) -> float | None:
    """Full width at half maximum of the blur in px of the result, None for none: from its second moments."""
    if not isinstance(problem.operator, Separable):
        return None
    spread = 0.0
    for matrix in (problem.operator.rows, problem.operator.cols):
        middle = matrix[len(matrix) // 2].double()
        place = torch.arange(len(middle), dtype=middle.dtype, device=middle.device)
        centre = (middle * place).sum() / middle.sum()
        # An image of one row shows nothing of a blur across rows.
        spread = max(spread, float((middle * (place - centre).square()).sum() / middle.sum()))
    return spread**0.5 / FWHM_TO_STD or None


def _prompted(network: PromptedNet, problem: Problem, told: torch.Tensor, names: tuple[str, ...]) -> Prompted:
    """What the network is told in one pass: the weights of these names, and the numbers that belong to them."""
    chosen = told * torch.tensor([name in names for name in DEGRADATIONS], device=told.device)
    chosen = chosen / chosen.sum().clamp_min(1e-9)
    if "haze" in names:
        numbers = haze_prompt(problem.shared, is_noisy=bool(chosen[list(DEGRADATIONS).index("gauss")] > 0))
    elif "bandloss" in names:
        numbers = lost_bands_prompt(float(problem.shared["lost"].mean()))
    else:
        numbers = measured_prompt(problem.shared, Optics(problem.scale, _width(problem)))
    is_soft = problem.operator is None and bool(chosen[list(DEGRADATIONS).index("motion")] > 0)
    return Prompted(network, chosen, numbers.to(told.device), is_soft)


def _mend_components(
    problem: Problem, params: MpHsirParameters, data: Whitened, prompted: Prompted, state: _State, job: Job
) -> None:
    start = classical_start(problem, data, _width(problem), lambda f: job.step(0.1 + 0.3 * f, "first estimate"))
    images, known = start.images, start.images.isfinite().all(0)
    images = images.nan_to_num(0.0)
    count = min(prompted.network.components, len(images))
    empty = images.new_zeros(prompted.network.components - count, *images.shape[1:])
    maps = torch.cat([images[:count], empty, start.solved.nan_to_num(0.0)[:count], empty, start.share.to(images)])
    place = problem.place.scaled(problem.scale)
    looking = job.part(0.4, 0.4)
    found = in_views(maps, place, prompted.components, params, looking, "looking at component images")
    answers = [torch.cat([images[:count] + change[:count], images[count:]]) for change in found]
    if start.reach is not None:
        # What the samples settle they settle after the network too.
        answers = [explained(problem, data, one, start.reach) for one in answers]
    images = torch.stack(answers).mean(0)
    lift = data.basis * data.std[:, :, 0]
    values = (lift @ images.flatten(1)).reshape(problem.shape_out).add_(data.mean)
    state.values = torch.where(known, values, torch.nan)
    if params.views > 1:
        state.extras["spread"] = spread_of(answers, lift, images)
    state.trace |= {"rank": data.basis.shape[1], "views": params.views}


def _blended(problem: Problem, restored: torch.Tensor, strength: float) -> torch.Tensor:
    if strength >= 1.0:
        return restored
    if problem.scale > 1:
        observed = interpolate(problem.observed, problem.valid, problem.scale)
    else:
        observed = torch.where(problem.valid, problem.observed, torch.nan)
    return torch.where(observed.isnan(), restored, observed + strength * (restored - observed))


def _fill_bands(problem: Problem, params: MpHsirParameters, prompted: Prompted, state: _State, job: Job) -> None:
    """Fill bands without any sample from their neighbours, group by group."""
    values = state.values.clone()
    bands, group = len(values), prompted.network.group
    known = torch.as_tensor(~problem.shared["lost"], device=values.device)
    centres = None
    if problem.wavelengths_nm is not None:
        centres = torch.as_tensor(problem.wavelengths_nm, dtype=values.dtype, device=values.device)
    total, mass = torch.zeros_like(values), values.new_zeros(bands)
    groups = _groups(bands, group)
    for number, index in enumerate(groups):
        place = torch.as_tensor(index, device=values.device)
        if bool(known[place].all()) or int(known[place].sum()) < 3:
            continue
        some_known, some_centres = known[place], None if centres is None else centres[place]

        def answer(
            patches: torch.Tensor, known: torch.Tensor = some_known, centres: torch.Tensor | None = some_centres
        ) -> torch.Tensor:
            views = [view_bands(patch, known, centres) for patch in patches]
            change, _ = prompted.bands(torch.stack([seen for seen, _, _ in views]))
            units = torch.stack([unit for _, _, unit in views])[:, None, None, None]
            return torch.stack([estimate for _, estimate, _ in views]) + change * units

        def told(fraction: float, number: int = number) -> None:
            job.step((number + fraction) / len(groups), "filling lost bands")

        shown = values[place].nan_to_num(0.0)
        found = correct_patches(shown, problem.place.scaled(problem.scale), answer, told, overlap=params.overlap)
        # Bands in the middle of a group have neighbours on both sides.
        weight = 1 - (torch.arange(group, device=values.device) - (group - 1) / 2).abs() / (group / 2 + 1)
        total.index_add_(0, place, found * weight[:, None, None])
        mass.index_add_(0, place, weight)
    filled = ~known & (mass > 0)
    values[filled] = total[filled] / mass[filled][:, None, None]
    state.values = values
    state.trace["lost_bands"] = int((~known).sum())


def _groups(bands: int, size: int) -> list[list[int]]:
    """Runs of ``size`` neighbouring bands, half of each in the next; few bands are mirrored."""
    if bands <= size:
        period = max(2 * (bands - 1), 1)
        places = [number % period for number in range(size)]
        return [[place if place < bands else period - place for place in places]]
    starts = [*range(0, bands - size, size // 2), bands - size]
    return [list(range(start, start + size)) for start in starts]


def _clear_haze(problem: Problem, params: MpHsirParameters, prompted: Prompted, state: _State, job: Job) -> None:
    """Find the optical thickness of the veil and take it away from every band."""
    values = state.values
    if values is problem.observed:
        values = filled(values, problem.valid, problem.shared)
    light, dark, noise = (torch.as_tensor(problem.shared[key], dtype=values.dtype, device=values.device)
                          for key in ("airlight", "black", "noise_std"))  # fmt: skip
    picks = torch.as_tensor(problem.shared["shows_haze"], device=values.device)
    falls = haze.exponents(problem.wavelengths_nm, len(values)).to(values)
    edges = haze.bin_edges(int(picks.sum()), prompted.network.group)
    binned = haze.in_bins(falls[picks], edges)
    relative = haze.veiled(values.nan_to_num(0.0), light)
    bins = haze.in_bins(relative[picks], edges)
    rows, cols = problem.place.slices
    black = (dark - BLACK_NOISE * noise) / light
    most = haze.most_thickness(relative[picks], falls[picks], black[picks])
    first = torch.as_tensor(problem.shared["thickness"][rows, cols], dtype=values.dtype, device=values.device)
    first = torch.minimum(first, most)

    def answer(patches: torch.Tensor) -> torch.Tensor:
        thickness = patches[:, -1:]
        start = haze.clear(patches[:, :-1], thickness[:, 0], binned.expand(len(patches), -1))
        seen = torch.cat([patches[:, :-1], start, torch.exp(-thickness * binned[:, None, None])], 1)
        return prompted.bands(seen)[1]

    maps, place = torch.cat([bins, first[None]]), problem.place.scaled(problem.scale)
    veil = torch.stack(in_views(maps, place, answer, params, job, "clearing haze")).mean(0)[0]
    change = VEIL_SHARE * veil * float(problem.shared["thickness_error"])
    thickness = torch.minimum((first + change).clamp(0, haze.THICKEST), most) * float(problem.shared["strength"])
    state.values = haze.clear(relative, thickness, falls) * light[:, None, None]
    state.plain["haze"] = thickness
    state.trace["haze_thickness"] = round(float(thickness.mean()), 4)
