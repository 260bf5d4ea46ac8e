"""Endmembers of a surveyed scene: found in it, chosen in it, or brought from a library."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from hsi_app.errors import CubeError, ParameterError, SubspaceError
from hsi_app.jobs import Job
from hsi_app.scene import Scene
from hsi_app.tiling import Window
from hsi_app.unmixing.abundances import solve_abundances
from hsi_app.unmixing.archetypes import archetypes
from hsi_app.unmixing.count import MaterialCount, count_materials
from hsi_app.unmixing.survey import Survey, pieces
from hsi_app.unmixing.vertices import nfindr, vca

Source = Literal["edaa", "vca", "nfindr", "pixels", "rois", "library"]

# Eigenvalues below this share of the largest are rounding of the float32 samples.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Endmembers:
    """Spectra of materials.

    spectra : (B, K) float64 tensor on the survey's normalised scale
    names : K strings
    count : what the eigenvalues say about the number of materials
    is_found : True where the program found them, False where the user gave them
    details : how they were found, short arrays (residuals of the starts, places)
    """

    spectra: torch.Tensor
    names: tuple[str, ...]
    count: MaterialCount
    is_found: bool
    details: Mapping[str, np.ndarray] = field(default_factory=dict)


def find_endmembers(survey: Survey, count: int | None, source: Source, job: Job, *, starts: int = 50) -> Endmembers:
    """Find endmembers among the surveyed spectra.

    Parameters
    ----------
    survey : of the scene
    count : number of materials K, or None to estimate it
    source : 'edaa', 'vca' or 'nfindr'
    job : for progress, cancelling, notes and random numbers
    starts : of 'edaa'

    Returns
    -------
    Endmembers; rows of channels that were screened out are filled by least squares

    Raises
    ------
    SubspaceError
        If the spectra do not span ``count`` materials.
    """
    spectra = survey.spectra[survey.normaliser.kept]
    estimate = _count(survey)
    rank = int((estimate.power > _ROUNDING * estimate.power[0]).sum())
    if count is None:
        count = min(estimate.count, rank)
        job.note(
            f"{count} materials, estimated: HySime counts {estimate.hysime} dimensions, the power falls to a third"
            f" after {estimate.gap}; give --endmembers to choose."
        )
    _check_count(count, rank, spectra.shape, estimate, job)
    details: dict[str, np.ndarray] = {}
    if source == "edaa":
        found = archetypes(spectra, count, job, starts=starts)
        endmembers = spectra @ found.mixing.double()
        details = {"residuals": np.array(found.residuals), "chosen": np.array(found.chosen)}
    else:
        job.step(0.0, "looking for pure pixels")
        generator = job.generator("cpu")
        pure, endmembers = vca(spectra, count, generator)
        if source == "nfindr":
            pure = nfindr(spectra, count, pure)
            endmembers = spectra[:, pure]
        details = {"places": survey.places[pure.cpu().numpy()]}
    full = fill_channels(survey, endmembers)
    names = tuple(f"material {k}" for k in range(1, count + 1))
    return Endmembers(full, names, estimate, True, details)


def _check_count(count: int, rank: int, shape: tuple[int, ...], estimate: MaterialCount, job: Job) -> None:
    bands, pixels = shape
    if count > min(bands, pixels):
        raise SubspaceError(
            f"{count} endmembers of {pixels} spectra in {bands} bands; give {min(bands, pixels)} or fewer."
        )
    if count > rank:
        raise SubspaceError(
            f"{count} endmembers were asked for, but the spectra span only {rank} dimensions; give --endmembers"
            f" {rank} or fewer."
        )
    if count > max(estimate.hysime, 1):
        job.note(f"{count} materials, but only {estimate.hysime} dimensions rise above the noise.")


def fill_channels(survey: Survey, endmembers: torch.Tensor) -> torch.Tensor:
    """(B, K) endmembers from their rows in the kept channels: the others by least squares over the survey.

    Negative values are cut where the survey has none.
    """
    kept = survey.normaliser.kept
    full = torch.zeros((len(kept), endmembers.shape[1]), dtype=torch.float64, device=endmembers.device)
    full[kept] = endmembers
    missing = torch.from_numpy(survey.live).to(kept.device) & ~kept
    if bool(missing.any()):
        abundances = solve_abundances(survey.spectra[kept], endmembers)
        rows = survey.spectra[missing] @ torch.linalg.pinv(abundances)
        full[missing] = rows.clamp(min=min(float(survey.spectra[missing].min()), 0.0))
    return full


def endmembers_of_pixels(scene: Scene, survey: Survey, text: str | None) -> Endmembers:
    """Endmembers at given pixels.

    Parameters
    ----------
    text : 'row,col row,col ...', counted from 0

    Raises
    ------
    ParameterError
        If the text is no list of pixels, or one lies outside the image.
    CubeError
        If a pixel is empty or has gaps.
    """
    numbers = re.findall(r"\d+", text or "")
    if not numbers or len(numbers) % 2 or re.sub(r"[\d\s,;()]", "", text or ""):
        raise ParameterError(f"option 'pixels' is {text!r}; give pixels as 'row,col row,col', counted from 0.")
    places = [(int(row), int(col)) for row, col in zip(numbers[::2], numbers[1::2], strict=True)]
    live = torch.from_numpy(survey.live).to(scene.device)
    columns = []
    for row, col in places:
        if row >= scene.shape[1] or col >= scene.shape[2]:
            raise ParameterError(f"pixel {row},{col} lies outside the image of {scene.shape[1]} x {scene.shape[2]}.")
        values, valid = scene.tensors(Window(row, col, 1, 1))
        spectrum = values.reshape(-1, 1).double() * live[:, None]
        if not bool(valid.reshape(-1)[live].all()) or bool(survey.normaliser.is_empty(spectrum)):
            raise CubeError(f"pixel {row},{col} is empty or has gaps; choose another.")
        columns.append(spectrum / survey.normaliser.divisor(spectrum))
    names = tuple(f"pixel {row},{col}" for row, col in places)
    found = np.array([row * scene.shape[2] + col for row, col in places])
    return _given(survey, torch.cat(columns, 1), names, {"places": found})


def endmembers_of_regions(scene: Scene, survey: Survey, path: str | None, job: Job) -> Endmembers:
    """Endmembers as means over regions.

    Parameters
    ----------
    path : label image of the scene's size: 0 = no region, 1, 2, ... = regions

    Raises
    ------
    ParameterError
        If there is no path, or the image has another size or no region.
    CubeError
        If a region has no complete pixel.
    """
    from hsi_app.io import open_cube

    if path is None:
        raise ParameterError("endmembers from regions need a label image; give --rois FILE.")
    image = np.asarray(open_cube(path).read())[0]
    if image.shape != scene.shape[1:]:
        raise ParameterError(
            f"the label image is {image.shape}, the cube {scene.shape[1:]}; give one of the same size."
        )
    labels = np.nan_to_num(image).astype(np.int64).reshape(-1)
    regions = [int(label) for label in np.unique(labels) if label > 0]
    if not regions:
        raise ParameterError(f"the label image '{Path(path).name}' is empty: no pixel is above 0.")
    live = torch.from_numpy(survey.live).to(scene.device)
    sums = torch.zeros((len(live), len(regions)), dtype=torch.float64, device=scene.device)
    counts = np.zeros(len(regions), np.int64)
    for first, flat, seen in pieces(scene):
        job.step(first / labels.size, "averaging the regions")
        here = labels[first : first + flat.shape[1]]
        complete = seen[live].all(0) & ~survey.normaliser.is_empty(flat)
        for k, region in enumerate(regions):
            chosen = torch.from_numpy(here == region).to(scene.device) & complete
            spectra = flat[:, chosen].double() * live[:, None]
            sums[:, k] += (spectra / survey.normaliser.divisor(spectra)).sum(1)
            counts[k] += spectra.shape[1]
    if (counts == 0).any():
        lost = regions[int(np.argmin(counts))]
        raise CubeError(f"region {lost} of the label image has no pixel with all bands; draw it elsewhere.")
    means = sums / torch.from_numpy(counts).to(sums)
    return _given(survey, means, tuple(f"region {region}" for region in regions), {"region_pixels": counts})


def endmembers_of_library(
    scene: Scene, survey: Survey, path: str | None, materials: str | None, job: Job
) -> tuple[Survey, Endmembers]:
    """Endmembers from a spectral library, on the scene's bands and scale; and the survey of the bands it covers.

    Parameters
    ----------
    path : of the library
    materials : names of its spectra with commas between, or None for all

    Raises
    ------
    ParameterError
        If there is no path, or a name is not in the library.
    CubeError
        If the library does not reach the cube's bands.
    """
    from hsi_app.io.spectral_library import read_library

    if path is None:
        raise ParameterError("endmembers from a library need one; give --library FILE.")
    library = read_library(path)
    if materials is not None:
        library = library.select([name.strip() for name in materials.split(",") if name.strip()])
    axis = scene.cube.axis
    if library.bands == axis.count > scene.bands.size and (library.centres_nm is None or axis.centres_nm is None):
        # Measured on all bands of the cube, also on those marked bad.
        library, note = library.on_bands(axis)
        library = replace(library, spectra=library.spectra[scene.bands], centres_nm=None, fwhm_nm=None)
    else:
        library, note = library.on_bands(axis.select(scene.bands))
    if note:
        job.note(note)
    covered = survey.live & np.isfinite(library.spectra).all(axis=1)
    if not (covered & survey.kept).any():
        raise CubeError("the library covers none of the channels that can be trusted; choose another.")
    if not covered[survey.live].all():
        job.note(f"{int((survey.live & ~covered).sum())} bands beyond the library take no part.")
    spectra = torch.from_numpy(np.where(covered[:, None], library.spectra, 0.0)).to(scene.device)
    scaled = spectra / scene.scaling.span
    if survey.normaliser.kind == "none":
        _tell_other_unit(scaled, survey, job)
    survey = survey.restricted(covered)
    return survey, Endmembers(scaled / survey.normaliser.divisor(scaled), library.names, _count(survey), False)


def _tell_other_unit(spectra: torch.Tensor, survey: Survey, job: Job) -> None:
    """A note where the library's numbers cannot be in the cube's unit."""
    theirs, ours = float(spectra.abs().median()), float(survey.spectra.abs().median())
    if theirs > 0 and ours > 0 and not 0.05 < theirs / ours < 20:
        job.note(
            f"the library's values are {theirs / ours:.2g} times those of the cube: different units?"
            " Set the cube's scale, or unmix with --normalise l2."
        )


def _given(
    survey: Survey, spectra: torch.Tensor, names: tuple[str, ...], details: Mapping[str, np.ndarray]
) -> Endmembers:
    return Endmembers(spectra, names, _count(survey), False, details)


def _count(survey: Survey) -> MaterialCount:
    return count_materials(survey.spectra[survey.normaliser.kept].cpu().numpy())
