"""What the method is and what can be chosen; imports no torch."""

from __future__ import annotations

from hsi_app.methods.registry import Extent, MethodSpec, Reference
from hsi_app.params import Parameters, parameter

LARGEST_REACH_PX = 2


class SavitzkyGolayParameters(Parameters):
    """Options of the smoother."""

    half_window: int = parameter(
        3,
        "Bands on each side of the one that is smoothed; more is smoother and blunts narrow absorptions.",
        unit="bands",
        source="Savitzky and Golay 1964; 7 points suit 5-10 nm sampling",
        ge=1,
        le=30,
    )
    order: int = parameter(
        2,
        "Order of the polynomial; 2 keeps the depth of an absorption, 0 is a running mean.",
        source="Savitzky and Golay 1964, tables I-IV",
        ge=0,
        le=5,
    )
    reach: int = parameter(
        0,
        "Pixels on each side that are fitted together; 0 keeps the image as sharp as it is.",
        unit="px",
        source="pooling a neighbourhood before a local fit: Cleveland and Devlin 1988",
        ge=0,
        le=LARGEST_REACH_PX,
        advanced=True,
    )


SPEC = MethodSpec(
    id="savgol",
    title="Savitzky-Golay smoothing",
    summary="Fit a low polynomial to a sliding window of bands; gaps and uneven wavelengths are allowed.",
    tasks=("denoise",),
    parameters=SavitzkyGolayParameters,
    run="hsi_savgol.run:restore",
    # A pixel's result depends on its neighbours within the reach, never on more.
    extent=Extent("tile", margin_px=LARGEST_REACH_PX, memory_factor=3.0),
    references=(
        Reference(
            "A. Savitzky and M. J. E. Golay, Smoothing and differentiation of data by simplified least squares"
            " procedures, Analytical Chemistry 36(8), 1964.",
            "doi:10.1021/ac60214a047",
        ),
        Reference(
            "W. S. Cleveland and S. J. Devlin, Locally weighted regression: an approach to regression analysis by"
            " local fitting, J. American Statistical Association 83(403), 1988.",
            "doi:10.1080/01621459.1988.10478639",
        ),
    ),
    limits=(
        "Noise shared by neighbouring bands is kept; stripes and impulses are spread, not removed.",
        "Absorptions narrower than the window are made shallower.",
    ),
)
