"""Bring two images together: where one lies on the other, what its bands see, in which numbers, and how sharply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.errors import ParameterError
from hsi_app.fusion.pair import Pair
from hsi_app.fusion.placement import Placement
from hsi_app.fusion.radiometry import estimate_response, radiometric_match, same_radiometry
from hsi_app.fusion.registration import Registration, correlation_of, register
from hsi_app.fusion.response import Response, response_of
from hsi_app.fusion.unevenness import find_unevenness
from hsi_app.jobs import Job
from hsi_app.scene import Scene
from hsi_app.tiling import Window, strips

if TYPE_CHECKING:
    import torch

How = Literal["auto", "map", "frame", "estimate", "none"]
Radiometry = Literal["auto", "same", "match"]

# Corners further off than this, in hyperspectral pixels, do not line up: half a pixel costs GSA 20 dB.
MISPLACED_PX = 0.1
# The images must agree better by this factor in what they do not share, or what was found is no better than what was
# said: small images are registered to a fifth of a coarse pixel only.
_GAIN = 1.1
# Largest side of the images that are registered, and of the part that the point spread is measured in.
_REGISTERED_PX, _MEASURED_PX = 512, 64
# Widths of the point spread that are tried beside the square of the pixel, hyperspectral pixels.
PSF_WIDTHS = (0.8, 1.0, 1.25, 1.6, 2.0)
# A Gaussian must explain the pair so much better than the square before it is believed.
_BETTER = 0.98
# Sides that differ by more than this in ratio do not show the same ground corner to corner.
_ASPECT = 0.02
_COMPONENTS = 12
# Fewer pixels that both images show tell nothing of their numbers.
_MATCHED_PX = 20
# Correlation of the two from which pixels can be taken one by one.
_ALIKE = 0.97


@dataclass(frozen=True)
class PairSettings:
    """What a user may say of how two images belong together.

    srf : file or sensor of the spectral response, 'estimate', or None for the header of the multispectral image and,
        where that has none, an estimate
    registration : 'auto' believes map frames, or corners that lie on corners, as far as the images bear them out and
        corrects them where it can; 'map' and 'frame' believe them whatever the images say; 'estimate' always corrects;
        'none' uses no registration
    radiometry : 'same' takes both images to be in one unit, 'match' brings the multispectral one to the other, 'auto'
        does so where they differ
    psf_fwhm : of what a hyperspectral pixel sees, in its pixels; measured where None
    """

    srf: str | None = None
    registration: How = "auto"
    radiometry: Radiometry = "auto"
    psf_fwhm: float | None = None

    def __post_init__(self) -> None:
        if self.psf_fwhm is not None and not 0.3 <= self.psf_fwhm <= 3:
            raise ParameterError(
                f"psf-fwhm is {self.psf_fwhm:g}; give the width in hyperspectral pixels, 0.3 to 3, or leave it out."
            )


@dataclass(frozen=True, eq=False)
class Paired:
    """A pair and how it came about.

    facts : plain values for the record: response, registration, radiometry, psf
    """

    pair: Pair
    response: Response
    registration: Registration | None
    facts: Mapping[str, Any] = field(default_factory=dict)


def make_pair(hsi: Scene, msi: Scene, settings: PairSettings, job: Job) -> Paired:
    """Find all that is not told of how two images belong together.

    Raises
    ------
    ParameterError
        If the spectral response is not known and cannot be estimated, or a map frame is asked for that is not there.
    """
    axes, response = _axes(hsi, msi), known_response(hsi, msi, settings.srf)
    job.step(0.1, "seeing whether the images line up")
    placement, registration, how, uneven = None, None, "none, as asked", None
    if settings.registration != "none":
        coarse, fine, factor = images = intensities(hsi, msi, response)
        placement, registration, how = place(hsi, msi, images, settings.registration, job)
        if placement is not None:
            uneven = find_unevenness(coarse, fine, placement.on_averaged(factor))
    bands = msi.shape[0]
    ones, zeros = np.ones(bands), np.zeros(bands)
    blank = np.full((bands, hsi.shape[0]), 1 / hsi.shape[0]) if response is None else response.matrix
    pair = Pair(hsi, msi, blank, ones, zeros, placement, uneven_share=0.0 if uneven is None else uneven.share)
    job.step(0.5, "measuring the point spread")
    if placement is not None:
        pair = replace(pair, psf_fwhm=settings.psf_fwhm or _point_spread(pair))
    job.step(0.6, "comparing the numbers of the two images")
    if response is None:
        if placement is None:
            raise ParameterError(
                "the spectral response of the multispectral image is not known, and to estimate it the images must line"
                " up; name a sensor or a table with --srf (see hsi-app fuse --help), or give --registration frame."
            )
        response, gain, offset = _estimated(pair, axes, settings.radiometry)
        said = "as estimated with the response"
    else:
        gain, offset, said = _radiometry(pair, response, settings.radiometry, job)
    pair = replace(pair, response=response.matrix, gain=gain, offset=offset)
    facts = {
        "response": {
            "origin": response.origin, "bands": list(response.names),
            "centres_nm": _centres(response, axes[0]), "gain": gain.tolist(), "offset": offset.tolist(),
        },
        "registration": {
            "how": how,
            "placement": None if placement is None else placement.describe(),
            "matrix": None if placement is None else list(placement.matrix),
            "measured": None if registration is None else registration.to_plain(),
            "unevenness": None if uneven is None else asdict(uneven),
        },
        "radiometry": said,
        "psf_fwhm": pair.psf_fwhm,
        "ratio": pair.ratio,
    }  # fmt: skip
    job.step(1.0, "comparing the numbers of the two images")
    return Paired(pair, response, registration, facts)


def known_response(hsi: Scene, msi: Scene, srf: str | None) -> Response | None:
    """The spectral response that is told, or that the header tells; None where it must be estimated.

    Raises ParameterError where it cannot be read or has another number of bands.
    """
    response = response_of(srf, *_axes(hsi, msi))
    if response is not None and response.matrix.shape != (msi.shape[0], hsi.shape[0]):
        raise ParameterError(
            f"the response has {response.matrix.shape[0]} bands, the multispectral image {msi.shape[0]}; name the"
            " right ones, as in --srf sentinel-2:B2,B3,B4,B8."
        )
    return response


def _axes(hsi: Scene, msi: Scene) -> tuple[BandAxis, BandAxis]:
    return hsi.cube.axis.select(hsi.bands), msi.cube.axis.select(msi.bands)


def place(
    hsi: Scene, msi: Scene, images: tuple[np.ndarray, np.ndarray, int], how: How, job: Job
) -> tuple[Placement | None, Registration | None, str]:
    """Where the images lie on each other, what was measured of it, and one phrase.

    ``images`` are their ``intensities``. Raises ParameterError if a map frame is asked for that is not there.
    """
    start, said = _nominal(hsi, msi, how)
    if start is None:
        job.note("the sizes of the images do not fit, and they have no common map frame; they are not registered.")
        return None, None, said
    if not start.window(Window(0, 0, *msi.shape[1:]), hsi.shape[1:]).pixels:
        # Nothing to compare, and a search over all the ground between them would take minutes.
        job.note("by their map frames the images show different ground; --registration frame takes no heed of those.")
        return (start if how == "map" else None), None, "apart by the map frames"
    coarse, fine, factor = images
    measured = register(coarse, fine, start.on_averaged(factor)).on_finer(factor)
    apart = start.distance(measured.placement, msi.shape[1:])
    if how in ("map", "frame"):
        if measured.is_trusted and apart > MISPLACED_PX:
            job.note(
                f"the images are {apart:.1f} hyperspectral pixels off where they are said to lie"
                f" ({measured.describe()}); --registration estimate corrects that."
            )
        return start, measured, said
    if not measured.is_trusted:
        if how == "estimate":
            job.note(f"the registration is doubtful: {measured.why}")
            return measured.placement, measured, "estimated, doubtful"
        job.note(
            f"the images do not seem to line up ({measured.why}); only methods that need no registration are used."
        )
        return None, measured, "not found"
    gains = 1 - measured.before > _GAIN * (1 - measured.correlation)
    if how == "auto" and (apart <= MISPLACED_PX or not gains):
        return start, measured, f"{said}, borne out by the images"
    job.note(f"registered by the images: {measured.describe()}.")
    return measured.placement, measured, "estimated from the images"


def _nominal(hsi: Scene, msi: Scene, how: How) -> tuple[Placement | None, str]:
    """Where the images lie by what their files say."""
    coarse, fine = hsi.cube.georef, msi.cube.georef
    if how != "frame" and coarse is not None and fine is not None:
        placement = Placement.from_georefs(coarse, fine)
        if placement is not None:
            return placement, "by the map frames"
    if how == "map":
        raise ParameterError(
            "the images have no map frame in common; give both one in the same reference system, or --registration"
            " frame where they show the same ground from corner to corner."
        )
    sides = [many / few for many, few in zip(msi.shape[1:], hsi.shape[1:], strict=True)]
    if how == "auto" and abs(sides[0] / sides[1] - 1) > _ASPECT:
        return None, "not known"
    return Placement.from_shapes(hsi.shape[1:], msi.shape[1:]), "corner to corner"


def intensities(hsi: Scene, msi: Scene, response: Response | None) -> tuple[np.ndarray, np.ndarray, int]:
    """(h, w) and (H, W) images of the same light, NaN where missing; and by what the second was averaged down."""
    weights = _common_light(_axes(hsi, msi)) if response is None else response.matrix.mean(0)
    coarse = _weighed(hsi, weights, 1)
    # A strip of a few lines cannot be averaged by more than it has.
    factor = max(1, min(-(-max(msi.shape[1:]) // _REGISTERED_PX), *msi.shape[1:]))
    return coarse, _weighed(msi, np.full(msi.shape[0], 1 / msi.shape[0]), factor), factor


def _common_light(axes: tuple[BandAxis, BandAxis]) -> np.ndarray:
    """(B,) weights of hyperspectral bands in what the multispectral image may see."""
    hsi, msi = axes
    chosen = np.ones(hsi.count, bool)
    if hsi.centres_nm is not None:
        low, high = (400.0, 1000.0) if msi.centres_nm is None else (msi.centres_nm.min(), msi.centres_nm.max())
        inside = (hsi.centres_nm >= low - 50) & (hsi.centres_nm <= high + 50)
        chosen = inside if inside.any() else chosen
    return chosen / chosen.sum()


def _weighed(scene: Scene, weights: np.ndarray, factor: int) -> np.ndarray:
    """Weighted mean of a scene's bands, in blocks of factor x factor; NaN where a band is missing."""
    import torch

    column = torch.from_numpy(weights.astype(np.float32)).to(scene.device)
    used = column > 0
    rows = []
    for window in strips(scene.shape[1:], max(scene.strip_rows // factor, 1) * factor):
        values, valid = scene.tensors(window)
        image = torch.tensordot(column, values, 1)
        image[~valid[used].all(0)] = torch.nan
        height, width = (side // factor for side in image.shape)
        if height and width:
            blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor)
            rows.append(blocks.nanmean((1, 3)).cpu().numpy())
    return np.concatenate(rows)


def _point_spread(pair: Pair) -> float | None:
    """Width of the Gaussian that explains the pair best, hyperspectral pixels; None for the square of the pixel.

    What counts is how well the averaged multispectral bands follow from the hyperspectral spectra.
    """
    import torch

    height, width = pair.hsi.shape[1:]
    window = Window(0, 0, height, width)
    if max(height, width) > _MEASURED_PX:
        side = (min(height, _MEASURED_PX), min(width, _MEASURED_PX))
        window = Window((height - side[0]) // 2, (width - side[1]) // 2, *side)
    values, valid = pair.hsi.tensors(window)
    fine = pair.fine_window(window)
    guide, complete = pair.guide(fine)
    errors: dict[float | None, float] = {}
    common: torch.Tensor | None = None
    images = {}
    for psf in (None, *PSF_WIDTHS):
        grids = replace(pair, psf_fwhm=psf).grids(window, fine)
        images[psf] = grids.to_coarse(guide, complete.expand_as(guide))
        seen = torch.isfinite(images[psf]).all(0) & valid.all(0)
        common = seen if common is None else common & seen
    assert common is not None
    if int(common.sum()) < 4 * _COMPONENTS:
        return None
    spectra = values[:, common].double()
    centred = spectra - spectra.mean(1, keepdim=True)
    basis = torch.linalg.eigh(centred @ centred.T).eigenvectors[:, -_COMPONENTS:].T @ centred
    onto = torch.linalg.pinv(basis) @ basis
    for psf, image in images.items():
        target = image[:, common].double()
        target = target - target.mean(1, keepdim=True)
        power = target.square().sum(1).clamp(min=1e-30)
        errors[psf] = float(((target - target @ onto).square().sum(1) / power).mean())
    best = min(PSF_WIDTHS, key=lambda width: errors[width])
    return best if errors[best] < _BETTER * errors[None] else None


def _estimated(
    pair: Pair, axes: tuple[BandAxis, BandAxis], radiometry: Radiometry
) -> tuple[Response, np.ndarray, np.ndarray]:
    """Response, gain and offset from pixels that both images show."""
    hsi, msi = (image.double().cpu().numpy() for image in pair.seen_by_both)
    if hsi.shape[1] < 2 * len(msi):
        raise ParameterError(
            f"{hsi.shape[1]} hyperspectral pixels lie wholly on the multispectral image, too few to estimate a"
            " spectral response; name a sensor or a table with --srf."
        )
    known: dict[str, Any] = {}
    if axes[0].centres_nm is not None and axes[1].centres_nm is not None:
        known = {"centres_nm": axes[1].centres_nm, "at_nm": axes[0].centres_nm}
    matrix, gain, offset = estimate_response(hsi, msi, with_offset=radiometry != "same", **known)
    names = axes[1].names or tuple(axes[1].label(band) for band in range(axes[1].count))
    # msi ~ gain * (matrix @ hsi) + offset, so the other way round:
    return Response(matrix, tuple(names), "estimated from the pair"), 1 / gain, -offset / gain


def _radiometry(pair: Pair, response: Response, wanted: Radiometry, job: Job) -> tuple[np.ndarray, np.ndarray, str]:
    """Gain and offset that bring the multispectral image to the projected spectra, and one phrase."""
    import torch

    # The images are each divided by a number of their own; stored in one unit they differ by its ratio.
    same = np.full(pair.msi.shape[0], pair.msi.scaling.span / pair.hsi.scaling.span), np.zeros(pair.msi.shape[0])
    pair = replace(pair, response=response.matrix, gain=same[0])
    projected = response.matrix @ pair.spectra.double().cpu().numpy()
    pixels = pair.guide_pixels(2**15, torch.Generator().manual_seed(0)).double().cpu().numpy()
    if wanted == "same":
        return *same, "the same numbers"
    is_paired, said = False, "matched by their distributions"
    if pair.placement is not None:
        spectra, seen = (image.double().cpu().numpy() for image in pair.seen_by_both)
        if spectra.shape[1] >= _MATCHED_PX:
            projected, pixels = response.matrix @ spectra, seen
            # A regression over pixels that do not quite lie on each other comes out too flat.
            is_paired = all(correlation_of(x, y) >= _ALIKE for x, y in zip(projected, pixels, strict=True))
            said = "matched over pixels that both images show"
    if wanted == "auto" and same_radiometry(projected, pixels, paired=is_paired):
        return *same, "the same numbers"
    gain, offset = radiometric_match(projected, pixels, paired=is_paired)
    if pair.placement is None:
        job.note(
            "the numbers of the two images differ and were matched by their distributions, which holds where both show"
            " much the same ground; give --radiometry same if they are in one unit."
        )
    return same[0] * gain, offset, said


def _centres(response: Response, axis: BandAxis) -> list[float] | None:
    return None if axis.centres_nm is None else (response.matrix @ axis.centres_nm).tolist()
