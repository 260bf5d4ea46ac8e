"""The words for each degradation, and the examples that are compared with where no word is known; no torch.

``IDEAS`` gathers words of one meaning; ``ALONE`` and ``TOGETHER`` say what one of them, or two near each other, speak
for, with a certainty in [0, 1]. Source: own collection; the names of degradations as in arXiv 2503.09131.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Certainty of a word that stands for one degradation only.
EXACT = 0.9


def _set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# Meanings and the words for them. '*' ends a stem that takes the endings of ENDING; others stand as they are.
IDEAS: Mapping[str, str] = {
    # what may be wrong
    "noise": "nois* grain* graini* awgn snr static speckl*",
    "stripe": "strip* streak* banding scanlin* linestrip*",
    "impulse": "impuls* spik* salt pepper snp outlier* deadlin* glitch* bpm",
    "photon": "photon* poisson* poissonian underexpos* lowlight",
    "blur": "blur* blurr* blurri* unsharp* defocus* focuss* sharpen* deconv* deconvol* deconvolv* psf mtf fwhm fuzz*"
    " crisp* sharper",
    "shake": "shak* shook jitter* smear* trail* wobbl*",
    "superres": "superres* superresol* superresolv* upscal* upsampl* upsiz* hsr sr hisr enlarg* magnif* pixelat*"
    " pixellat* block* finer lowres hires",
    "resolution": "resol* res resolut*",
    "inpaint": "inpaint* hole* mask* nan* nodata void* occlu* occlud*",
    "haze": "haz* hazi* fog* fogg* cirr* cirrus smok* veil* mist misty smog* aerosol* atmospher*",
    "bandloss": "bandloss",
    # what tells them apart, or counts together with another idea only
    "fill": "fill* infill* gapfill*",
    "gap": "gap* gapp*",
    "band": "band* channel* wavelength* wavelen*",
    "spectrum": "spectr* spectral spectrum",
    "pixel": "pixel* px detector* element*",
    "area": "sampl* valu* data area* region* spot* part* patch* piece* tile*",
    "line": "line* column* row*",
    "grid": "grid* raster*",
    "artefact": "artefact* artifact*",
    "image": "imag* pictur* scene* cube* photo*",
    "lost": "miss* missing los* lost drop* dropp* absent gone empty blank zero* discard* unavailable vanish* cut",
    "dead": "dead bad badly hot stuck defect* faulty broken corrupt* damag*",
    "water": "water vapour vapor absorp* absorption h2o",
    "cloud": "cloud* cloudi*",
    "thin": "thin thinn* wispy transparent semitransparent",
    "thick": "thick opaque dense",
    "shot": "shot* quantum count* counting",
    "light": "light lights illumin* exposure exposed",
    "low": "low lower dim poor weak faint",
    "gaussian": "gauss* thermal readout electronic random",
    "mixed": "mixed mixture complex",
    "motion": "motion* moved moving mov* movement* vibrat*",
    "platform": "camera* aircraft airplane plane drone* platform* sensor* satellite* scanner* flight* uav",
    "focus": "focus",
    "sharp": "sharp",
    "upright": "horizontal* vertical* diagonal* dark bright black white periodic*",
    "coarse": "coars* larg* big bigger small* fine double twice triple quadruple",
    "raise": "rais* increas* high higher improv* better more enhanc* boost*",
    "sigma": "sigma std stddev",
    "removal": "remov* reduc* correct* suppress* cancel* mitigat* filter*",
}
ENDING = re.compile(
    r"(e|s|es|d|ed|en|er|ers|or|ors|y|ies|ier|iest|[nptg]?ing|ings|i?ness|ions?|ian|tions?|utions?|ations?|ate|ated|ating"
    r"|al|ic|ive|ve|ved|ving|ly|e?less|e?free|ish)?"
)
TYPED_ENDINGS = ("", "e", "s", "es", "ed", "er", "y", "ing", "ion", "ution", "ation")

# One idea that is enough: degradation and certainty.
ALONE: Mapping[str, tuple[str, float]] = {
    "noise": ("gauss", EXACT),
    "stripe": ("complex", EXACT),
    "impulse": ("complex", EXACT),
    "photon": ("poisson", EXACT),
    "blur": ("blur", EXACT),
    "shake": ("motion", EXACT),
    "superres": ("sr", EXACT),
    "resolution": ("sr", 0.7),
    "inpaint": ("inpaint", EXACT),
    "gap": ("inpaint", 0.8),
    "fill": ("inpaint", 0.65),
    "haze": ("haze", EXACT),
    "bandloss": ("bandloss", EXACT),
    "sigma": ("gauss", 0.7),
    "gaussian": ("gauss", 0.4),
    "motion": ("motion", 0.65),
    "shot": ("poisson", 0.4),
    "lost": ("inpaint", 0.4),
    "coarse": ("sr", 0.4),
    "sharp": ("blur", 0.55),
    "mixed": ("complex", 0.3),
}
# Clouds hide the ground where they are thick and are a veil where they are thin: alone they are a question.
EITHER: Mapping[str, tuple[str, ...]] = {"cloud": ("haze", "inpaint")}
# Two ideas near each other mean more than each: the nearest pair is taken first.
TOGETHER: Mapping[tuple[str, str], tuple[str, float]] = {
    **{(one, "band"): ("bandloss", EXACT) for one in ("lost", "dead", "gap", "fill", "water")},
    ("water", "water"): ("bandloss", EXACT),
    ("gap", "spectrum"): ("bandloss", EXACT),
    ("inpaint", "spectrum"): ("bandloss", 0.7),
    ("lost", "spectrum"): ("bandloss", 0.8),
    ("upright", "band"): ("complex", 0.8),
    ("upright", "line"): ("complex", EXACT),
    ("line", "noise"): ("complex", EXACT),
    ("line", "artefact"): ("complex", EXACT),
    ("dead", "line"): ("complex", EXACT),
    ("dead", "pixel"): ("complex", EXACT),
    ("stripe", "noise"): ("complex", EXACT),
    ("impulse", "noise"): ("complex", EXACT),
    ("mixed", "noise"): ("complex", EXACT),
    ("lost", "pixel"): ("inpaint", EXACT),
    ("lost", "area"): ("inpaint", EXACT),
    ("dead", "area"): ("inpaint", 0.65),
    ("lost", "line"): ("inpaint", 0.8),
    ("thin", "cloud"): ("haze", EXACT),
    ("haze", "cloud"): ("haze", EXACT),
    ("thick", "cloud"): ("inpaint", EXACT),
    ("inpaint", "cloud"): ("inpaint", EXACT),
    ("gap", "cloud"): ("inpaint", EXACT),
    ("fill", "cloud"): ("inpaint", EXACT),
    ("lost", "cloud"): ("inpaint", EXACT),
    ("shot", "noise"): ("poisson", EXACT),
    ("photon", "noise"): ("poisson", EXACT),
    ("photon", "shot"): ("poisson", EXACT),
    ("low", "light"): ("poisson", EXACT),
    ("low", "shot"): ("poisson", 0.8),
    ("gaussian", "noise"): ("gauss", EXACT),
    ("upright", "noise"): ("gauss", EXACT),
    ("gaussian", "blur"): ("blur", EXACT),
    ("motion", "blur"): ("motion", EXACT),
    ("shake", "blur"): ("motion", EXACT),
    ("platform", "shake"): ("motion", EXACT),
    ("platform", "motion"): ("motion", EXACT),
    ("low", "focus"): ("blur", EXACT),
    ("dead", "focus"): ("blur", EXACT),
    ("low", "resolution"): ("sr", EXACT),
    ("raise", "resolution"): ("sr", EXACT),
    ("coarse", "resolution"): ("sr", EXACT),
    ("coarse", "pixel"): ("sr", 0.8),
    ("coarse", "grid"): ("sr", 0.8),
    ("coarse", "image"): ("sr", 0.65),
    ("superres", "grid"): ("sr", EXACT),
}
# Words between the two, at most.
REACH = 3
# An idea that a nearby more special one explains, unless joined to it by 'and': 'noise' in 'noise of few photons'.
EXPLAINED_BY: Mapping[str, tuple[str, ...]] = {
    "noise": ("poisson", "complex"),
    "blur": ("motion",),
    "motion": ("blur",),
    "fill": ("inpaint", "bandloss", "complex"),
    "gap": ("bandloss",),
    "inpaint": ("bandloss",),
    "sigma": ("blur", "gauss", "poisson", "complex"),
    "resolution": ("blur",),
}

# What joins two things that are both meant, and what ends what a "no" is said of.
JOINING = _set("and plus with also as well then or nor & + , / besides")
BREAKS = _set(". ; ! ? : ( ) but only just instead rather while whereas however though although yet")
# "no haze removal", "keep the stripes", "the haze can stay".
NO = _set(
    "no not never nor neither except excluding without dont doesnt don't doesn't isn't isnt aren't arent didn't wasn't"
    " weren't shouldn't shouldnt mustn't nothing"
)
STAY = _set("keep keeping leave leaving preserve preserving retain skip ignore ignoring spare avoid exclude")
STAYS = _set("stay stays remain remains alone untouched unchanged acceptable tolerable intact")
# Who does "not like" something wants it gone.
WISHES = _set("want like wish")
# What introduces how the scene looks, and what introduces what is to be done.
STATES = _set("is are was were looks look has have had shows show contains contain suffers there seems got")
ACTS = _set(
    "remove removing removed reduce reducing fix fixing correct correcting clean cleaning cleanup repair repairing get"
    " rid take fill filling restore restoring eliminate suppress cancel undo recover reconstruct interpolate cut lift"
    " clear filter improve increase raise enhance boost make give bring subtract strip kill erase drop apply do run"
    " handle treat mitigate compensate please want need wants"
)
# Of these, those that also introduce what is no restoration.
MILD_ACTS = _set("please need want wants make do run apply give get handle")
# Meanings whose word with '-ing' is something that is done.
DOINGS = _set("blur superres inpaint fill")
# What is no restoration.
OTHER_ACTS = _set(
    "classify classification segment segmentation detect detection unmix unmixing cluster count plot show open load"
    " save export import convert explain describe estimate measure simulate add adding print calculate compute compare"
    " train map mapping crop rotate rename delete who why when predict identify label annotate"
)
# What leaves it to the measurement.
AUTO_WORDS = _set("auto automatic automatically everything whatever blind blindly")
AUTO = re.compile(
    r"\b(auto|automatic(ally)?|everything|whatever|blind(ly)?)\b"
    r"|\bwhat(ever)? ((is|looks|seems|went) (wrong|broken|bad)|'s wrong|you (find|see|think)|(it )?needs)\b"
    r"|\byou (decide|choose|pick)\b|\bdecide for yourself\b|\ball[ -]in[ -]one\b|\bas (needed|necessary|required)\b"
    r"|\b(all|any)( of)?( the)? (defects?|degradations?|problems?|arte?facts?|arti?facts?|errors?|issues?)\b"
)

# Share of what is wrong to take away; above 1 it overshoots.
STRENGTH_PHRASES: tuple[tuple[str, float], ...] = (
    (r"(not|don'?t|never) (too|so|very|that) (strong\w*|aggressive\w*|hard|much|heav\w+)", 0.6),
    (r"(not|don'?t|never|without) over ?-?(do\w*|smooth\w*|correct\w*|sharpen\w*)( it)?", 0.6),
    (r"(just |only )?(a )?(tiny|very little|very slight\w*)( bit)?( of)?", 0.25),
    (r"(a )?(little )?(bit|touch|hint)( of)?\b|a little|little bit|slight(ly)?|somewhat", 0.4),
    (r"gent(le|ly)|mild(ly)?|lightly|soft(ly)|careful(ly)?|subtl[ey]|cautious(ly)?|weakly", 0.5),
    (r"half( of)?|halfway|partly|partial(ly)?", 0.5),
    (r"moderate(ly)?|medium", 0.7),
    (r"full(y)?|complete(ly)?|entire(ly)?|total(ly)?|thorough(ly)?|strong(ly)?|heav(y|ily)|hard|severe(ly)?", 1.0),
    (r"aggressive(ly)?|radical(ly)?|as (much|strong\w*|hard) as possible|very strong(ly)?|maxim(um|al|ally)", 1.2),
)
FOLDS = {"double": 2.0, "twice": 2.0, "triple": 3.0, "quadruple": 4.0, "two": 2.0, "three": 3.0, "four": 4.0}

# Ordinary words that are one slip away from a word of the lexicon.
ORDINARY = _set(
    "have blue home hold whole role make task like lime hand land last list show shoe read deal shape share snow map"
    " maps most must best fast past cost host post this that then than them they gain train brain grass green nose"
    " noisette voice choice trip script string strong spring smooth smoother small smart hide here near clean mean lean"
    " tone none done line lines lane face case base based rest test text next band bands sand stand block back black"
    " chance change changed channel full fully feel fall file files filed field fields film hills pretty party parts"
    " start smile while white write quite heat hard hazard hazards mass miss kiss poison person reason season lesson"
    " motion notion potion option options emotion mention section spectra sample simple people purple spoke spoken"
    " walk talk salty paper upper proper number color colour colours water waters later matter hello help halo trace"
    " track tracks trails train grand brand grain grains rain drain plain plan plane plant plants crop crops class"
    " classify forest forests field farm farms urban soil soils sky skies much such made mode model move love live give"
    " given over even ever very every pick place space spaces shade shadow shadows sharp shop ship chip trial trail"
    " pixel pixels vessel tuple couple double trouble"
)

FUNCTION_WORDS = JOINING | NO | STAY | STAYS | WISHES | STATES | ACTS | OTHER_ACTS | AUTO_WORDS

# Words that are written apart, and the word that they are read as.
APART: tuple[tuple[str, str], ...] = (
    (r"(super|hyper)[ -](res|resol\w+)\b", "superres"),
    (r"(low|hi|high)[ -]res\b", "lowres"),
    (r"up[ -](scal\w+|sampl\w+|siz\w+)", "upscale"),
    (r"in[ -]paint\w*", "inpaint"),
    (r"no[ -]data\b", "nodata"),
    (r"out[ -]of[ -]focus", "defocus"),
    (r"s ?& ?p\b", "snp"),
    (r"band[ -]loss\w*", "bandloss"),
    (r"(de|un)[ -]?-[ -]?(\w+)", "de{2}"),
)

# After "and", what begins a new thought.
QUANTITIES = _set("lots much many some heavy strong there")

# What is written for a sign, or the other way round.
SIGNS: Mapping[str, str] = {"×": "x", "σ": "sigma", "ς": "sigma", "’": "'", "`": "'", "percent": "%", "per cent": "%"}
