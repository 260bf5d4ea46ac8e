"""Description of the low-rank method; imports no torch."""

from __future__ import annotations

from typing import Literal

from hsi_app.methods.registry import Extent, MethodSpec, Reference
from hsi_app.params import Parameters, parameter


class LowRankParameters(Parameters):
    """Options of the low-rank method."""

    rank: int | None = parameter(
        None,
        "Number of spectral components kept; found from the data when not given.",
        unit="components",
        source="noise-whitened eigenvalues above the Marchenko-Pastur edge",
        ge=1,
        le=128,
    )
    strength: float = parameter(
        1.0,
        "How strongly the component images are smoothed: 1 follows the estimated noise, 0 only projects.",
        source="multiplies the noise standard deviation",
        ge=0.0,
        le=4.0,
    )
    denoiser: Literal["collaborative", "dct", "prior", "none"] = parameter(
        "collaborative",
        "Denoiser of the component images: groups of similar patches, sliding DCT (faster), a trained prior together"
        " with groups of patches, or none (projection).",
        source="Lebrun, Buades, Morel 2013; Yu and Sapiro 2011; models/recipes/triple_prior",
    )
    prior: str = parameter(
        "triple-prior",
        "Network for the denoiser 'prior': a name that 'hsi-app models list' shows, or a folder of diffusers.",
        source="models/recipes/triple_prior",
        advanced=True,
        offers="hsi_app.weights:priors_at_hand",
    )
    outliers: Literal["auto", "on", "off"] = parameter(
        "auto",
        "Split stripes, dead lines and impulses off as a sparse part; 'auto' looks whether there are any.",
        source="robust low-rank + sparse split; see DESIGN",
    )


SPEC = MethodSpec(
    id="lowrank",
    title="Low-rank restoration",
    summary="Whiten by the estimated noise, keep the signal subspace, denoise its few component images.",
    tasks=("denoise", "destripe", "inpaint", "sr"),
    parameters=LowRankParameters,
    run="hsi_app.methods.lowrank.run:restore",
    prepare="hsi_app.methods.lowrank.prepare:prepare",
    # 36 px for the component images, 2 more for 'sr', which enlarges them, on the grid of patches; gaps are filled in
    # rounds, each of which looks around.
    extent=Extent("tile", margin_px=39, filling_px=21, align_px=3, memory_factor=7.0, finer_factor=2.5),
    references=(
        Reference(
            "L. Zhuang and J. M. Bioucas-Dias, Fast hyperspectral image denoising and inpainting based on low-rank"
            " and sparse representations, IEEE J. Sel. Topics Appl. Earth Observ. Remote Sens. 11(3), 2018.",
            "doi:10.1109/JSTARS.2018.2796570",
        ),
        Reference(
            "J. M. Bioucas-Dias and J. M. P. Nascimento, Hyperspectral subspace identification,"
            " IEEE Trans. Geosci. Remote Sens. 46(8), 2008.",
            "doi:10.1109/TGRS.2008.918089",
        ),
        Reference(
            "M. Lebrun, A. Buades and J.-M. Morel, A nonlocal Bayesian image denoising algorithm,"
            " SIAM J. Imaging Sciences 6(3), 2013.",
            "doi:10.1137/120874989",
        ),
    ),
    limits=(
        "Targets of a few pixels whose spectrum lies outside the scene's subspace are weakened;"
        " look at what was removed.",
        "Super-resolution is cubic interpolation of the denoised cube: it adds no detail.",
        "Bands whose noise exceeds their signal are rebuilt from the others.",
    ),
)
