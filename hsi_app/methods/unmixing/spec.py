"""Descriptions of the unmixing methods; imports no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from hsi_app.methods.registry import Extent, MethodSpec, Reference
from hsi_app.params import Parameters, parameter


class MixtureParameters(Parameters):
    """Options of every unmixing method."""

    normalise: Literal["none", "l1", "l2", "l2-cutoff", "max"] = parameter(
        "l2",
        "What each spectrum is divided by: removes light and shade, but makes fractions those of equally bright"
        " materials. 'none' keeps physical proportions.",
        source="benchmark truths of Samson and Jasper Ridge hold for l2, that of Moffett for none",
    )
    screen: bool = parameter(
        True,
        "Leave out channels that do not go with their neighbours when materials are sought.",
        source="mean of the two best correlations with three neighbours on each side at least 0.7",
    )


class EndmemberParameters(MixtureParameters):
    """Where the endmembers come from."""

    endmembers: int | None = parameter(
        None,
        "Number of materials; estimated from the eigenvalues when not given.",
        unit="materials",
        source="last eigenvalue, within the dimension of HySime, after which the power falls to a third",
        ge=1,
        le=64,
    )
    endmembers_from: Literal["edaa", "vca", "nfindr", "pixels", "rois", "library"] = parameter(
        "edaa",
        "How endmembers are found: archetypes of many starts (best), vertex component analysis or largest simplex"
        " (fast, need pure pixels), chosen pixels, regions, or a spectral library.",
        source="table of measured methods in the README",
    )
    starts: int = parameter(
        50,
        "Random starts of the archetypal analysis.",
        unit="starts",
        source="arXiv 2209.11002: 50",
        ge=1,
        le=1000,
        advanced=True,
    )
    pixels: str | None = parameter(
        None,
        "Pure pixels as 'row,col row,col ...', counted from 0.",
        source="chosen by the user",
    )
    rois: str | None = parameter(
        None,
        "Label image of the same size: the mean of the pixels with value 1, 2, ... is an endmember each.",
        source="chosen by the user",
    )
    library: str | None = parameter(
        None,
        "Spectral library (.sli, .csv, .npz); brought to the bands of the cube.",
        source="measured in the field or the laboratory",
    )
    materials: str | None = parameter(
        None,
        "Names of the library's spectra to use, with commas between; all when not given.",
        source="chosen by the user",
    )


class FclsParameters(EndmemberParameters):
    """Options of exact least squares."""

    nonnegative: bool = parameter(True, "No negative abundances.", source="Heinz and Chang 2001")
    sum_to_one: bool = parameter(True, "Abundances of a pixel add to one.", source="Heinz and Chang 2001")


class FactorParameters(EndmemberParameters):
    """Options of every factorisation."""

    sum_weight: float = parameter(
        15.0,
        "How firmly the abundances of a pixel must add to one while the materials are refined.",
        unit="times the rms of the data",
        source="measured on brightness-normalised scenes",
        ge=0.0,
        le=1000.0,
        advanced=True,
    )
    iterations: int = parameter(
        250,
        "Most iterations of the factorisation.",
        unit="iterations",
        source="objective settles within 100 to 250",
        ge=1,
        le=10000,
    )
    tolerance: float = parameter(
        1e-5,
        "Ends when the objective changes by less than this share in 10 iterations.",
        source="below it the abundances change in the third digit",
        ge=0.0,
        le=0.1,
        advanced=True,
    )


class NmfParameters(FactorParameters):
    """Options of plain non-negative factorisation."""


class HalfNmfParameters(FactorParameters):
    """Options of l1/2-NMF."""

    sparsity: float | None = parameter(
        None,
        "Weight of the sum of square roots of the abundances; from the sparseness of the channels when not given.",
        unit="times the mean square of the data",
        source="Qian et al. 2011, eq. 17",
        ge=0.0,
        le=1000.0,
    )


class RrlbsParameters(FactorParameters):
    """Options of the robust factorisation."""

    sparsity: float = parameter(
        0.003,
        "How strongly few materials in a pixel are preferred.",
        unit="times bands x mean square of the data",
        source="0.03 gives better spectra, worse fractions",
        ge=0.0,
        le=1.0,
    )
    least_exponent: float = parameter(
        0.3,
        "Smallest exponent that the guidance map may give a pure pixel; 1 turns learning off.",
        source="p_n = 1 - h_n, h clipped to 1 - this",
        gt=0.0,
        le=1.0,
        advanced=True,
    )


class SunsalParameters(MixtureParameters):
    """Options of sparse unmixing."""

    normalise: Literal["none", "l1", "l2", "l2-cutoff", "max"] = parameter(
        "none",
        "What each spectrum is divided by, the library's too; 'none' where cube and library share a unit.",
        source="a library carries brightness of its own",
    )
    library: str = parameter(
        ...,
        "Spectral library (.sli, .csv, .npz); brought to the bands of the cube.",
        source="measured in the field or the laboratory",
    )
    materials: str | None = parameter(
        None,
        "Names of the library's spectra to use, with commas between; all when not given.",
        source="chosen by the user",
    )
    sparsity: float = parameter(
        0.01,
        "Weight of the sum of the abundances: larger leaves fewer materials.",
        unit="squared data units",
        source="0.01 at a signal-to-noise ratio of 30 dB, less for cleaner data",
        ge=0.0,
        le=100.0,
    )
    nonnegative: bool = parameter(True, "No negative abundances.", source="Bioucas-Dias and Figueiredo 2010")
    sum_to_one: bool = parameter(
        False,
        "Abundances of a pixel add to one; sparsity then does nothing.",
        source="Bioucas-Dias and Figueiredo 2010",
    )
    iterations: int = parameter(300, "Most iterations.", unit="iterations", source="settles within 300", ge=1, le=10000)
    tolerance: float = parameter(
        1e-4,
        "A pixel is done when both residuals fall below this share.",
        source="HySUPP: 1e-4",
        ge=0.0,
        le=0.1,
        advanced=True,
    )


_FINDING = (
    Reference(
        "A. Zouaoui, G. Muhawenayo, B. Rasti, J. Chanussot and J. Mairal, Entropic descent archetypal analysis for"
        " blind hyperspectral unmixing, IEEE Trans. Image Processing 32, 2023.",
        "arXiv:2209.11002",
    ),
    Reference(
        "J. M. Bioucas-Dias and J. M. P. Nascimento, Hyperspectral subspace identification,"
        " IEEE Trans. Geosci. Remote Sens. 46(8), 2008.",
        "doi:10.1109/TGRS.2008.918089",
    ),
)
_FOUND = (
    "Endmembers found in the scene are mixtures of its pixels: a material that is pure nowhere, and not spanned by"
    " others, is missed.",
    "Fractions of normalised spectra are not areas; a dark material counts for more than it covers.",
)
_TILE = Extent("tile", memory_factor=14.0)

FCLS = MethodSpec(
    id="fcls",
    title="Exact least-squares unmixing",
    summary="Find endmembers, then solve each pixel's abundances exactly, non-negative and adding to one.",
    tasks=("unmix",),
    parameters=FclsParameters,
    run="hsi_app.methods.unmixing.linear:unmix_tile",
    prepare="hsi_app.methods.unmixing.linear:prepare",
    extent=_TILE,
    is_stochastic=True,
    references=(
        Reference(
            "D. C. Heinz and C.-I Chang, Fully constrained least squares linear spectral mixture analysis method for"
            " material quantification in hyperspectral imagery, IEEE Trans. Geosci. Remote Sens. 39(3), 2001.",
            "doi:10.1109/36.911111",
        ),
        *_FINDING,
    ),
    limits=_FOUND,
)

NMF = MethodSpec(
    id="nmf",
    title="Non-negative matrix factorisation",
    summary="Refine endmembers and abundances together, least squares, all channels alike.",
    tasks=("unmix",),
    parameters=NmfParameters,
    run="hsi_app.methods.unmixing.factors:unmix_tile",
    prepare="hsi_app.methods.unmixing.factors:prepare",
    extent=_TILE,
    is_stochastic=True,
    references=(
        Reference(
            "D. D. Lee and H. S. Seung, Learning the parts of objects by non-negative matrix factorization,"
            " Nature 401, 1999.",
            "doi:10.1038/44565",
        ),
        *_FINDING,
    ),
    limits=(*_FOUND, "A channel full of noise that screening misses pulls the abundances with it; rrlbs does not."),
)

L12_NMF = replace(
    NMF,
    id="l12-nmf",
    title="Sparse factorisation (l1/2-NMF)",
    summary="Factorise with a penalty on the square roots of the abundances, so that few materials share a pixel.",
    parameters=HalfNmfParameters,
    references=(
        Reference(
            "Y. Qian, S. Jia, J. Zhou and A. Robles-Kelly, Hyperspectral unmixing via L1/2 sparsity-constrained"
            " nonnegative matrix factorization, IEEE Trans. Geosci. Remote Sens. 49(11), 2011.",
            "doi:10.1109/TGRS.2011.2144605",
        ),
        *_FINDING,
    ),
    limits=(*_FOUND, "Small fractions are taken to zero first; look at the abundances where much is mixed."),
)

RRLBS = replace(
    NMF,
    id="rrlbs",
    title="Robust factorisation with learned sparsity (RRLbS)",
    summary="Factorise so that a bad channel counts linearly, with a sparsity that each pixel learns.",
    parameters=RrlbsParameters,
    references=(
        Reference(
            "F. Zhu, Y. Wang, B. Fan, G. Meng and C. Pan, Effective spectral unmixing via robust representation and"
            " learning-based sparsity, 2014.",
            "arXiv:1409.0685",
        ),
        *_FINDING,
    ),
    limits=(
        *_FOUND,
        "The guidance map is Hoyer's sparsity of the abundances; the paper's own formula was not available.",
    ),
)

SUNSAL = MethodSpec(
    id="sunsal",
    title="Sparse unmixing with a library (SUnSAL)",
    summary="Explain each pixel by few spectra of a library.",
    tasks=("unmix",),
    parameters=SunsalParameters,
    run="hsi_app.methods.unmixing.sparse:unmix_tile",
    prepare="hsi_app.methods.unmixing.sparse:prepare",
    extent=Extent("tile", memory_factor=30.0),
    references=(
        Reference(
            "J. M. Bioucas-Dias and M. A. T. Figueiredo, Alternating direction algorithms for constrained sparse"
            " regression: application to hyperspectral unmixing, WHISPERS, 2010.",
            "doi:10.1109/WHISPERS.2010.5594963",
        ),
    ),
    limits=(
        "Library and cube must be in the same quantity and unit (reflectance with reflectance) unless normalised.",
        "Library spectra that look alike share their abundance.",
    ),
)
