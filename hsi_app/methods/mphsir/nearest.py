"""The degradation whose example sentences are most like a text, by runs of letters; no torch.

For text in which no word of the lexicon is found. Weights of runs are TF-IDF, likeness is the cosine.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache

# Words of a text that must recur in an example.
WORDS_SHARED = 2
# Sentences of what one sees, in words that the lexicon does not hold.
EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "gauss": (
        "the values scatter randomly from pixel to pixel, everything is rough",
        "random fluctuations and hiss of the electronics, measurements are uncertain",
    ),
    "complex": (
        "thin lines run across the picture in the direction of flight, detectors are not equalised",
        "single black and white dots, isolated points with wild values",
    ),
    "blur": (
        "edges are soft and washed, fine details are unclear, the lens was badly adjusted",
        "mushy picture, contours run into each other",
    ),
    "sr": (
        "i want to see smaller details, the picture elements are too large, make it bigger",
        "increase the size and the number of pixels, more detailed picture",
    ),
    "inpaint": (
        "parts of the picture are black and contain nothing, complete what is hidden",
        "close the openings, interpolate where nothing was measured",
    ),
    "haze": (
        "milky and pale, low contrast, murky air, one cannot see through to the ground",
        "dust in the air, a whitish layer covers the landscape",
    ),
    "bandloss": (
        "some wavelengths were not recorded, complete the spectra where the instrument failed",
        "parts of the spectrum contain nothing, reconstruct the spectral range",
    ),
    "motion": (
        "the instrument was not steady, objects are drawn out in one direction, double contours",
        "ghosting as the aircraft rolled while recording",
    ),
    "poisson": (
        "very dark recording at night, too little signal reached the detector",
        "the scatter grows with the brightness, counting statistics",
    ),
}

_NO_CONTENT = re.compile(
    r"\b(i|the|a|an|is|are|was|were|it|to|of|in|and|with|this|that|my|your|please|can|you|me|on|at|for|from|be|so|do|too|very|not"
    r"|images?|pictures?|scenes?|data|cubes?)\b"
)


def _content(line: str) -> list[str]:
    """The words that say something."""
    return re.findall(r"[a-z]{2,}", _NO_CONTENT.sub(" ", line))


def _runs(word: str) -> list[str]:
    """Runs of 3 to 5 letters, the ends of the word marked by spaces."""
    padded = f" {word} "
    return [padded[at : at + size] for size in (3, 4, 5) for at in range(len(padded) - size + 1)]


def _grams(line: str) -> Counter[str]:
    return Counter(run for word in _content(line) for run in _runs(word))


@cache
def _table() -> tuple[Mapping[str, float], tuple[tuple[str, Mapping[str, float]], ...]]:
    """Inverse document frequencies, and the unit vector of each example with its task."""
    counted = [(task, _grams(line)) for task, lines in EXAMPLES.items() for line in lines]
    held = Counter(gram for _, grams in counted for gram in grams)
    rarity = {gram: math.log((1 + len(counted)) / (1 + count)) + 1 for gram, count in held.items()}
    return rarity, tuple((task, _unit(grams, rarity)) for task, grams in counted)


def _unit(grams: Mapping[str, int], rarity: Mapping[str, float]) -> dict[str, float]:
    """TF-IDF weights of length 1; runs of letters in no example are as rare as those in one."""
    rarest = max(rarity.values())
    vector = {gram: (1 + math.log(count)) * rarity.get(gram, rarest) for gram, count in grams.items()}
    length = math.sqrt(math.fsum(value * value for value in vector.values())) or 1.0
    return {gram: value / length for gram, value in vector.items()}


def likeness(line: str) -> dict[str, float]:
    """How much a line in lower case is like the examples of each degradation, in [0, 1], the most similar first.

    0 where fewer than ``WORDS_SHARED`` of its words recur: a single word in common says little.
    """
    rarity, examples = _table()
    asked = _unit(_grams(line), rarity)
    near = dict.fromkeys(EXAMPLES, 0.0)
    for task, example in examples:
        shared = [word for word in _content(line) if any(gram in example for gram in _runs(word) if len(gram) == 5)]
        if len(set(shared)) >= WORDS_SHARED:
            cosine = math.fsum(value * example.get(gram, 0.0) for gram, value in asked.items())
            near[task] = max(near[task], cosine)
    return dict(sorted(near.items(), key=lambda entry: -entry[1]))
