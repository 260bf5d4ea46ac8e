"""Description of HIR-Diff; imports no torch."""

from __future__ import annotations

from typing import Literal

from hsi_app.methods.registry import Extent, MethodSpec, Reference
from hsi_app.params import Parameters, parameter


class HirDiffParameters(Parameters):
    """Options of HIR-Diff."""

    prior: str = parameter(
        "triple-prior",
        "Network that knows how images look: a name that 'hsi-app models list' shows, a folder with a diffusers"
        " UNet2DModel, 'blur' or 'none'.",
        source="models/recipes/triple_prior",
        offers="hsi_app.weights:priors_at_hand",
    )
    mode: Literal["auto", "single", "chain"] = parameter(
        "auto",
        "One look of the prior at the component images, or a chain of steps that forms a sample; 'auto' takes the"
        " chain where samples are missing, blurred or on a coarser grid.",
        source="measured on the training scenes",
    )
    steps: int = parameter(20, "Steps of the chain.", unit="steps", source="arXiv 2402.15865", ge=1, le=1000)
    samples: int | None = parameter(
        None,
        "Number of results that are averaged and whose spread is shown; 1 for the chain and 8 for a single pass"
        " (turned and mirrored views, at most 8) when not given.",
        source="Timofte et al. 2016 (views)",
        ge=1,
        le=64,
    )
    start: float = parameter(
        0.3,
        "Noise at which the chain starts from a first estimate, in half ranges of the images; 20 or more start from"
        " pure noise.",
        source="measured on the training scenes; as in Meng et al. 2022 (SDEdit)",
        gt=0.0,
        le=30.0,
    )
    guidance: Literal["proximal", "gradient"] = parameter(
        "proximal",
        "How data correct the prior: the exact closest images, or a gradient step through the network (as published,"
        " twice the time).",
        source="Zhu et al. 2023 (DiffPIR); arXiv 2402.15865, alg. 1",
    )
    kappa: float | None = parameter(
        None,
        "Trust in the prior against the data: 1, and less where the data's noise is finer than a prior can follow,"
        " when not given; with gradient guidance, the step in units of the data's curvature, stable below 2.",
        source="kappa = lambda lmax(E^T E) |H|^2 / 2N of arXiv 2402.15865, free of the size and scale of the cube",
        gt=0.0,
        le=100.0,
    )
    rho: float = parameter(
        0.0,
        "Weight of the total variation against the data, for weak priors: 0.05 with 'none'.",
        source="rho = mu / lambda of arXiv 2402.15865",
        ge=0.0,
        le=1.0,
        advanced=True,
    )
    images: Literal["components", "bands"] = parameter(
        "components",
        "What the prior is shown: mixtures of three principal components each, or, as published, bands picked by"
        " strong RRQR.",
        source="arXiv 2402.15865, sec. 3.2; measured on the training scenes",
        advanced=True,
    )
    faint: int = parameter(
        3,
        "Components below the noise edge that are kept in proportion to the signal found in them, where a single pass"
        " denoises and the rank is found from the data.",
        unit="components",
        source="Stein's unbiased risk estimate; number measured on the training scenes",
        ge=0,
        le=32,
        advanced=True,
    )
    rank: int | None = parameter(
        None,
        "Number of images; found from the data and rounded up to triples when not given.",
        unit="images",
        source="noise-whitened eigenvalues above the Marchenko-Pastur edge, in triples",
        ge=1,
        le=128,
    )
    schedule: Literal["exponential", "linear", "cosine"] = parameter(
        "exponential", "How noise falls along the chain.", source="arXiv 2402.15865, sec. 3.4", advanced=True
    )
    rate: float = parameter(
        8.0, "Rate of the exponential schedule.", source="arXiv 2402.15865", gt=0.0, le=50.0, advanced=True
    )
    renewal: float = parameter(
        1.0,
        "Share of the noise drawn anew in each step: 1 forgets early mistakes, 0 is deterministic (DDIM).",
        source="measured on the training scenes; zeta of Zhu et al. 2023",
        ge=0.0,
        le=1.0,
        advanced=True,
    )
    level: Literal["sqrt", "official"] = parameter(
        "sqrt",
        "What a converted SR3 network is told of the noise: sqrt(alpha-bar), as it was trained, or alpha-bar, as the"
        " published sampler does.",
        source="arXiv 2206.11892 (the training of the published network)",
        advanced=True,
    )
    outliers: Literal["auto", "on", "off"] = parameter(
        "auto",
        "Split stripes, dead lines and impulses off first; 'auto' looks whether there are any.",
        source="robust low-rank + sparse split; see DESIGN",
    )


SPEC = MethodSpec(
    id="hirdiff",
    title="HIR-Diff",
    summary="A diffusion prior for images restores the few images that span the scene; the data hold it to them.",
    tasks=("denoise", "inpaint", "sr", "deblur", "destripe"),
    parameters=HirDiffParameters,
    run="hsi_app.methods.hirdiff.run:restore",
    prepare="hsi_app.methods.hirdiff.prepare:prepare",
    # The network looks some 50 px around; 24 keeps its grid of 8 px and that of the patches of 3 px.
    extent=Extent("tile", margin_px=48, overlap_px=24, align_px=24, memory_factor=12.0, pixel_bytes=2600),
    is_stochastic=True,
    weights=("triple-prior",),
    references=(
        Reference(
            "L. Pang, X. Rui, L. Cui, H. Wang, D. Meng and X. Cao, HIR-Diff: unsupervised hyperspectral image"
            " restoration via improved diffusion models, CVPR 2024.",
            "arXiv:2402.15865",
        ),
        Reference("J. Song, C. Meng and S. Ermon, Denoising diffusion implicit models, ICLR 2021.", "arXiv:2010.02502"),
        Reference(
            "Y. Zhu et al., Denoising diffusion models for plug-and-play image restoration, CVPRW 2023.",
            "arXiv:2305.08995",
        ),
        Reference(
            "S. K. Aithal, P. Maini, Z. C. Lipton and J. Z. Kolter, Understanding hallucinations in diffusion models"
            " through mode interpolation, NeurIPS 2024.",
            "arXiv:2406.09358",
        ),
    ),
    limits=(
        "The prior has seen land in visible and infrared bands from 1 to 30 m; on other subjects it is a weaker guide.",
        "Detail that the data do not hold is invented, however likely: look at 'spread' and 'hallucination'.",
        "Spectra outside the scene's subspace are weakened; look at what was removed.",
    ),
)
