"""Description of MP-HSIR; imports no torch."""

from __future__ import annotations

from typing import Literal

from hsi_app.methods.registry import Extent, MethodSpec, Reference
from hsi_app.params import Parameters, parameter


class MpHsirParameters(Parameters):
    """Options of MP-HSIR."""

    prompt: str = parameter(
        "",
        "What to do, in your own words: 'remove the stripes and a bit of haze'. What was understood is told before it"
        " is done; where that is not sure, it asks.",
        source="hsi_app/methods/mphsir/words.py",
        explains="hsi_app.methods.mphsir.explain:explain",
    )
    degradations: str = parameter(
        "task",
        "What is wrong with the scene: 'task' for what the task says, 'auto' for what is measured, or names joined by"
        " '+', with weights if you like: 'complex+haze:0.5'. There are gauss, complex, blur, sr, inpaint, haze,"
        " bandloss, motion, poisson. Not needed where there is a prompt.",
        source="arXiv 2503.09131, task prompts",
        offers="hsi_app.methods.mphsir.names:offered",
        several="hsi_app.methods.mphsir.names:DEGRADATIONS",
        overruled_by="prompt",
    )
    strength: float = parameter(
        1.0,
        "Share of what was found to be wrong that is taken away; 0 changes nothing.",
        source="linear between the observed and the restored",
        ge=0.0,
        le=1.0,
    )
    views: int = parameter(
        1,
        "Turned and mirrored views whose answers are averaged; from 2 on their spread is shown.",
        unit="views",
        source="Timofte et al. 2016 (self-ensemble)",
        ge=1,
        le=8,
    )
    weights: str = parameter(
        "prompted",
        "The network: a name that 'hsi-app models list' shows or a folder, or 'none' for the classical estimate that it"
        " corrects. That of the paper works too, once 'hsi-app models convert' has checked it.",
        source="models/recipes/prompted",
        offers="hsi_app.methods.mphsir.names:weights_at_hand",
    )
    outliers: Literal["auto", "on", "off"] = parameter(
        "auto",
        "Split stripes, dead lines and impulses off first; 'auto' looks whether there are any.",
        source="robust low-rank + sparse split; see DESIGN",
    )
    overlap: int = parameter(
        16,
        "How far neighbouring patches of 64 px are blended; 0 shows their edges.",
        unit="px",
        source="measured on the training scenes",
        ge=0,
        le=32,
        advanced=True,
    )


SPEC = MethodSpec(
    id="mphsir",
    title="MP-HSIR",
    summary="One prompted network corrects a classical estimate, whatever is wrong with the scene.",
    tasks=("denoise", "destripe", "inpaint", "sr", "deblur", "dehaze"),
    parameters=MpHsirParameters,
    run="hsi_app.methods.mphsir.run:restore",
    prepare="hsi_app.methods.mphsir.prepare:prepare",
    # A patch reaches 63 px, the estimate that it is shown 36 px; tiles begin where patches do.
    extent=Extent("tile", margin_px=96, overlap_px=0, align_px=48, memory_factor=12.0, pixel_bytes=2600),
    weights=("prompted",),
    references=(
        Reference(
            "Z. Wu, Y. Chen, N. Yokoya and W. He, MP-HSIR: a multi-prompt framework for universal hyperspectral image"
            " restoration, 2025.",
            "arXiv:2503.09131",
        ),
        Reference(
            "S. W. Zamir et al., Restormer: efficient transformer for high-resolution image restoration, CVPR 2022.",
            "arXiv:2111.09881",
        ),
        Reference(
            "Z. Liu et al., Swin transformer: hierarchical vision transformer using shifted windows, ICCV 2021.",
            "arXiv:2103.14030",
        ),
        Reference(
            "Y. Zhang, B. Guindon and J. Cihlar, An image transform to characterize and compensate for spatial"
            " variations in thin cloud contamination of Landsat images, Remote Sens. Environ. 82(2-3), 2002.",
            "doi:10.1016/S0034-4257(02)00034-2",
        ),
    ),
    limits=(
        "The network has seen land in visible and infrared bands from 1 to 30 m, and the degradations of its list.",
        "Haze is taken for a veil that thins with the wavelength; the brightest pixels are taken for its colour.",
        "Spectra outside the scene's subspace are weakened; look at what was removed.",
    ),
)
