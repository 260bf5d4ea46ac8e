"""Descriptions of the fusion methods; imports no torch."""

from __future__ import annotations

from typing import Literal

from hsi_app.methods.registry import Extent, MethodSpec, Reference
from hsi_app.params import Parameters, parameter

_PAPER = "arXiv 1904.12175"


class RidgeParameters(Parameters):
    """Options of the regression."""

    degree: int = parameter(
        2,
        "1: spectra are linear in the bands of the multispectral image; 2: squares and products of bands too.",
        source="quadratic is better on the training scenes with 4 and more bands",
        ge=1,
        le=2,
    )
    strength: float | None = parameter(
        None,
        "Weight of the penalty on the coefficients; by leave-one-out when not given.",
        unit="times the variance of each feature",
        source="Hoerl and Kennard 1970; Allen 1974 (PRESS)",
        ge=0.0,
        le=1000.0,
    )
    robust: bool = parameter(
        True,
        "Let pixels that fit badly count less (Huber).",
        source="2 % of foreign spectra cost a plain fit 7 dB",
    )


class GsaParameters(Parameters):
    """Options of component substitution."""

    clean: bool = parameter(
        True,
        "Project the hyperspectral image onto its signal subspace first.",
        source="its noise would go straight into the result",
    )


class CnmfParameters(Parameters):
    """Options of coupled factorisation."""

    endmembers: int | None = parameter(
        None,
        "Number of endmembers; estimated as the dimension of the signal, at most 30, when not given.",
        unit="endmembers",
        source="Yokoya et al. 2012: the dimension found by HySime",
        ge=2,
        le=100,
    )
    rounds: int = parameter(
        3,
        "How often the two factorisations take turns.",
        unit="rounds",
        source="Yokoya et al. 2012: settles within 3",
        ge=1,
        le=20,
    )
    iterations: int = parameter(
        200,
        "Most updates in each turn.",
        unit="updates",
        source="Yokoya et al. 2012",
        ge=1,
        le=5000,
    )
    sum_weight: float = parameter(
        1.0,
        "How firmly the abundances of a pixel must add to one.",
        unit="times the mean spectrum's rms",
        source="Heinz and Chang 2001",
        ge=0.0,
        le=1000.0,
        advanced=True,
    )


class DirichletParameters(Parameters):
    """Options of the mixtures that u2-MDN fits."""

    components: int = parameter(
        20,
        "Entries of a pixel's code: dimensions of the mixture, more than there are materials.",
        unit="components",
        source="measured on the training scenes; 15 to 35 in the released settings",
        ge=2,
        le=100,
    )
    steps: int = parameter(
        4000,
        "Steps of the fit, at most.",
        unit="steps",
        source="5000 in the released settings; the stop rule ends it sooner",
        ge=1,
        le=100000,
    )
    correction: bool = parameter(
        False,
        "Afterwards correct each spectrum by what the code leaves unexplained of its multispectral pixel.",
        source="ridge regression learned on the hyperspectral image",
    )
    norm: Literal["l21", "l2"] = parameter(
        "l21",
        "Misfit of a pixel: its length (l21, a foreign pixel counts linearly) or the square of it (l2).",
        source=_PAPER,
    )
    information: float = parameter(
        0.01,
        "Weight of the mutual information of pixels and codes; 0 turns the critic off.",
        source="measured on the training scenes; 0.1 in the released settings, where the term is dead",
        ge=0.0,
        le=10.0,
    )
    entropy: float = parameter(
        1e-4,
        "Weight of the entropy of the codes: larger leaves fewer components in a pixel.",
        source=_PAPER + "; measured on the training scenes",
        ge=0.0,
        le=10.0,
    )
    msi_pixels: int = parameter(
        1500,
        "Pixels of the multispectral image that take part in the fit.",
        unit="pixels",
        source="more changes nothing and takes longer",
        ge=10,
        le=1000000,
        advanced=True,
    )
    width: int = parameter(
        6,
        "Outputs of the encoder's first layer.",
        unit="outputs",
        source="3 to 8 in the released settings",
        ge=1,
        le=64,
        advanced=True,
    )
    rate: float = parameter(
        0.01,
        "Step size of Adam at the start.",
        source="measured on the training scenes",
        gt=0.0,
        le=1.0,
        advanced=True,
    )
    decay: float = parameter(
        0.9993,
        "What the step size is multiplied with after each step.",
        source=_PAPER + "; the released code states such a decay and does not do it",
        gt=0.9,
        le=1.0,
        advanced=True,
    )
    penalty: float = parameter(
        1e-4,
        "Weight of the squares of the decoder.",
        source=_PAPER,
        ge=0.0,
        le=10.0,
        advanced=True,
    )


class U2mdnParameters(DirichletParameters):
    """Options of u2-MDN."""

    lowpass: bool = parameter(
        False,
        "Afterwards make the result agree with the hyperspectral image, which must lie on the other.",
        source="back-projection, Irani and Peleg 1991",
    )


class JointParameters(DirichletParameters):
    """Options of u2-MDN and regression together."""

    correction: bool = parameter(
        True,
        "Correct each spectrum by what the code leaves unexplained of its multispectral pixel.",
        source="ridge regression learned on the hyperspectral image; measured on the training scenes",
    )
    lowpass: bool | None = parameter(
        None,
        "Make the result agree with the hyperspectral image where one lies on the other; done where that is known when"
        " not given.",
        source="back-projection, Irani and Peleg 1991; measured on the training scenes",
    )


_U2MDN_PAPER = Reference(
    "Y. Qu, H. Qi, C. Kwan, N. Yokoya and J. Chanussot, Unsupervised and unregistered hyperspectral image"
    " super-resolution with mutual Dirichlet-net, IEEE Trans. Geosci. Remote Sens. 60, 2022.",
    "arXiv:1904.12175",
)
_RIDGE_PAPER = Reference(
    "A. E. Hoerl and R. W. Kennard, Ridge regression: biased estimation for nonorthogonal problems,"
    " Technometrics 12(1), 1970.",
    "doi:10.1080/00401706.1970.10488634",
)
_LOWPASS_PAPER = Reference(
    "M. Irani and S. Peleg, Improving resolution by image registration, CVGIP: Graphical Models and Image"
    " Processing 53(3), 1991.",
    "doi:10.1016/1049-9652(91)90045-L",
)
_SAME_SCENE = (
    "The materials of the multispectral image must occur in the hyperspectral one; pixels of which that is not so are"
    " marked in the map of doubt.",
    "What the bands of the multispectral image do not tell apart, no method can.",
)

U2MDN = MethodSpec(
    id="u2mdn",
    title="Unsupervised mutual Dirichlet-net (u2-MDN)",
    summary="Read mixtures off the multispectral pixels with an encoder fitted to both images; they need not line up.",
    tasks=("fuse",),
    parameters=U2mdnParameters,
    run="hsi_app.methods.fusion.u2mdn:fuse_tile",
    prepare="hsi_app.methods.fusion.u2mdn:prepare",
    extent=Extent("tile", coarse_margin_px=4, memory_factor=8.0, pixel_bytes=1200),
    is_stochastic=True,
    references=(_U2MDN_PAPER,),
    limits=(
        *_SAME_SCENE,
        "The components are a code of the spectra, not materials; unmix the result to find those.",
        "With six and more clean bands a regression (ridge) is more accurate; joint has both.",
    ),
)

JOINT = MethodSpec(
    id="joint",
    title="u2-MDN and regression together",
    summary="u2-MDN, corrected by what its mixtures leave of each pixel and, where known, of the coarse one above it.",
    tasks=("fuse",),
    parameters=JointParameters,
    run="hsi_app.methods.fusion.u2mdn:fuse_tile",
    prepare="hsi_app.methods.fusion.u2mdn:prepare",
    extent=U2MDN.extent,
    is_stochastic=True,
    references=(_U2MDN_PAPER, _RIDGE_PAPER, _LOWPASS_PAPER),
    limits=_SAME_SCENE,
)

RIDGE = MethodSpec(
    id="ridge",
    title="Quadratic spectral transfer",
    summary="Learn on the hyperspectral image how spectra follow from its own broad bands; seconds, no registration.",
    tasks=("fuse",),
    parameters=RidgeParameters,
    run="hsi_app.methods.fusion.ridge:fuse_tile",
    prepare="hsi_app.methods.fusion.ridge:prepare",
    extent=Extent("tile", memory_factor=3.0, pixel_bytes=400),
    references=(_RIDGE_PAPER,),
    limits=(
        *_SAME_SCENE,
        "With three or four bands, and with noisy ones, spectra of pixels purer than any in the hyperspectral image"
        " come out wrong in shape; joint holds them to mixtures.",
    ),
)

GSA = MethodSpec(
    id="gsa",
    title="Adaptive component substitution (GSA)",
    summary="Add to each interpolated band the detail of the combination of multispectral bands that fits it best.",
    tasks=("fuse",),
    parameters=GsaParameters,
    run="hsi_app.methods.fusion.gsa:fuse_tile",
    prepare="hsi_app.methods.fusion.gsa:prepare",
    extent=Extent("tile", coarse_margin_px=4, memory_factor=4.0),
    references=(
        Reference(
            "B. Aiazzi, S. Baronti and M. Selva, Improving component substitution pansharpening through multivariate"
            " regression of MS+Pan data, IEEE Trans. Geosci. Remote Sens. 45(10), 2007.",
            "doi:10.1109/TGRS.2007.901007",
        ),
        Reference(
            "M. Selva, B. Aiazzi, F. Butera, L. Chiarantini and S. Baronti, Hyper-sharpening: a first approach on"
            " SIM-GA data, IEEE J. Sel. Top. Appl. Earth Obs. Remote Sens. 8(6), 2015.",
            "doi:10.1109/JSTARS.2015.2440092",
        ),
    ),
    limits=(
        "The images must line up: a shift by half a coarse pixel costs half of the signal-to-noise ratio.",
        "Beyond the edge of the hyperspectral image there is no result.",
    ),
    needs_registration=True,
)

CNMF = MethodSpec(
    id="cnmf",
    title="Coupled non-negative matrix factorisation (CNMF)",
    summary="Unmix both images in turns, with the endmembers of the one and the abundances of the other.",
    tasks=("fuse",),
    parameters=CnmfParameters,
    run="hsi_app.methods.fusion.cnmf:fuse_tile",
    prepare="hsi_app.methods.fusion.cnmf:prepare",
    extent=Extent("tile", coarse_margin_px=4, memory_factor=4.0, pixel_bytes=1200),
    is_stochastic=True,
    references=(
        Reference(
            "N. Yokoya, T. Yairi and A. Iwasaki, Coupled nonnegative matrix factorization unmixing for hyperspectral"
            " and multispectral data fusion, IEEE Trans. Geosci. Remote Sens. 50(2), 2012.",
            "doi:10.1109/TGRS.2011.2161320",
        ),
    ),
    limits=(
        "The images must line up.",
        "Beyond the edge of the hyperspectral image there is no result.",
    ),
    needs_registration=True,
)
