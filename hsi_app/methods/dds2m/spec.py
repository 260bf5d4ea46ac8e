"""Description of DDS2M; imports no torch."""

from __future__ import annotations

from typing import Literal

from hsi_app.methods.registry import Extent, MethodSpec, Reference
from hsi_app.params import Parameters, parameter

_PAPER = "arXiv 2303.06682"


class Dds2mParameters(Parameters):
    """Options of DDS2M."""

    updates: int = parameter(
        500,
        "Steps of the chain, and updates of the network, at most; fewer where the held-out samples say so.",
        unit="updates",
        source="half the length of arXiv 2303.06682 loses nothing in its authors' logs",
        ge=1,
        le=20000,
    )
    generator: Literal["lite", "full"] = parameter(
        "lite",
        "Network of the maps: one small one for all, or, as published, a large one for each.",
        source="measured on the training scenes; " + _PAPER,
    )
    start: Literal["estimate", "cold"] = parameter(
        "estimate",
        "Begin from the low-rank estimate and learn what it lacks, or, as published, from noise.",
        source="measured on the training scenes; " + _PAPER,
    )
    spectra: Literal["subspace", "fitted", "untrained"] = parameter(
        "subspace",
        "Spectra: held to the scene's subspace, begun there and fitted, or, as published, drawn by networks from"
        " noise.",
        source="measured on the training scenes; " + _PAPER,
    )
    rank: int | None = parameter(
        None,
        "Number of maps; found from the data when not given.",
        unit="maps",
        source="noise-whitened eigenvalues above the Marchenko-Pastur edge, or held-out samples where most are"
        " missing; 10 in " + _PAPER,
        ge=1,
        le=64,
    )
    stop: Literal["held-out", "never"] = parameter(
        "held-out",
        "Keep the state that predicts held-out samples best and stop when they are predicted no better, or keep the"
        " last state.",
        source="a run as published peaks, then fits the noise",
    )
    patience: int = parameter(
        200,
        "Updates without a better prediction of held-out samples before the run stops.",
        unit="updates",
        source="measured on the training scenes",
        ge=10,
        le=5000,
    )
    hold_out: float = parameter(
        0.02,
        "Share of the observed samples that the fit never sees, three times as many where whole pixels are missing; of"
        " the bands, where the grid is coarser or blurred.",
        source="more makes the judgement surer and the fit poorer",
        gt=0.0,
        le=0.5,
        advanced=True,
    )
    samples: int = parameter(
        1,
        "Number of runs with other random numbers, which are averaged; their spread is shown.",
        unit="runs",
        source="one run costs as much as another",
        ge=1,
        le=64,
    )
    simplex: bool = parameter(
        False,
        "Maps that are not negative and add to one, spectra no lower than the darkest samples of the scene: abundances"
        " and endmembers.",
        source="linear mixing; not in " + _PAPER,
        advanced=True,
    )
    rate: float | None = parameter(
        None,
        "Learning rate of Adam; 0.003 for the lite network, 0.0005 for the full one when not given.",
        source="measured on the training scenes; " + _PAPER,
        gt=0.0,
        le=0.1,
        advanced=True,
    )
    inner: int = parameter(
        1, "Updates of the network for each step of the chain.", source=_PAPER, ge=1, le=20, advanced=True
    )
    steps: int = parameter(
        1000,
        "Steps of the whole schedule; a cold start begins in the middle.",
        unit="steps",
        source=_PAPER,
        ge=2,
        le=100000,
        advanced=True,
    )
    level: float | None = parameter(
        None,
        "Noise that a start from the estimate begins with, in half ranges of the scene; twice the data's own and at"
        " least 0.05 when not given.",
        source="measured on the training scenes",
        gt=0.0,
        le=10.0,
        advanced=True,
    )
    eta: float = parameter(
        1.0,
        "Share of a state's noise that is drawn anew in each step.",
        source=_PAPER + ": 1 for denoising, 0.95 for completion and super-resolution",
        ge=0.0,
        le=1.0,
        advanced=True,
    )
    eta_b: float = parameter(
        1.0, "Trust in the observation where it is finer than the state.", source=_PAPER, ge=0.0, le=1.0, advanced=True
    )
    average: float = parameter(
        0.98,
        "Share of the last estimate kept in each new one; 0 takes the network's output as it is.",
        source=_PAPER,
        ge=0.0,
        lt=1.0,
        advanced=True,
    )
    sigma: str = parameter(
        "",
        "Standard deviation of the noise in the units of the cube, where it is known: a number, or one for each band"
        " with commas between; measured band by band when empty, or where samples are doubted.",
        source="regression of each band on the others when measured",
    )
    outliers: Literal["auto", "on", "off"] = parameter(
        "auto",
        "Split stripes, dead lines and impulses off first; 'auto' looks whether there are any.",
        source="robust low-rank + sparse split; see DESIGN",
    )


SPEC = MethodSpec(
    id="dds2m",
    title="DDS2M",
    summary="A network fitted to this one scene while a diffusion chain holds it to the data; needs no weights.",
    tasks=("denoise", "inpaint", "sr", "deblur"),
    parameters=Dds2mParameters,
    run="hsi_app.methods.dds2m.run:restore",
    prepare="hsi_app.methods.dds2m.prepare:prepare",
    extent=Extent("tile", margin_px=48, overlap_px=24, align_px=24, memory_factor=28.0, pixel_bytes=24_000),
    is_stochastic=True,
    references=(
        Reference(
            "Y. Miao, L. Zhang, L. Zhang and D. Tao, DDS2M: self-supervised denoising diffusion spatio-spectral model"
            " for hyperspectral image restoration, ICCV 2023.",
            "arXiv:2303.06682",
        ),
        Reference(
            "B. Kawar, M. Elad, S. Ermon and J. Song, Denoising diffusion restoration models, NeurIPS 2022.",
            "arXiv:2201.11793",
        ),
        Reference("D. Ulyanov, A. Vedaldi and V. Lempitsky, Deep image prior, CVPR 2018.", "arXiv:1711.10925"),
        Reference(
            "D. B. Rubin and D. T. Thayer, EM algorithms for ML factor analysis, Psychometrika 47(1), 1982.",
            "doi:10.1007/BF02293851",
        ),
    ),
    limits=(
        "White noise alone it removes as well as 'lowrank', which takes a hundredth of the time: use it for gaps and"
        " sharpening.",
        "Detail that the data do not hold is invented by a network that knows this scene only: look at 'spread'.",
        "Bands without any sample are rebuilt from their neighbours along the wavelength: narrow absorptions are lost.",
        "Spectra outside the scene's subspace are weakened; look at what was removed.",
    ),
)
