"""A line of text as words with their meaning, whatever their ending and with small typing errors; no torch."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from hsi_app.methods.mphsir.lexicon import APART, ENDING, FUNCTION_WORDS, IDEAS, ORDINARY, TYPED_ENDINGS

How = Literal["word", "typo", "nearest", "number"]


@dataclass(frozen=True)
class Token:
    """A word, number or mark of the text, and what idea it stands for."""

    text: str
    start: int
    end: int
    idea: str = ""
    how: How = "word"


def normal(text: str) -> str:
    """In lower case, with one kind of each mark, words that stand for a sign, and single spaces."""
    line = unicodedata.normalize("NFKC", text).casefold()
    for sign, word in {
        "×": "x",
        "σ": "sigma",
        "ς": "sigma",
        "’": "'",
        "`": "'",
        "percent": "%",
        "per cent": "%",
    }.items():
        line = line.replace(sign, word)
    return " ".join(line.split())


@cache
def _stems() -> tuple[tuple[str, bool, str], ...]:
    """(letters, whether endings may follow, idea), longest first."""
    entries = [(word.rstrip("*"), word.endswith("*"), idea) for idea, known in IDEAS.items() for word in known.split()]
    return tuple(sorted(entries, key=lambda entry: -len(entry[0])))


@cache
def _spelled() -> tuple[tuple[str, str], ...]:
    """(word, idea) that a word with a typing error is compared with; short words have too many neighbours."""
    return tuple(
        (stem + ending, idea)
        for stem, may_end, idea in _stems()
        for ending in (TYPED_ENDINGS if may_end else ("",))
        if len(stem + ending) >= 4
    )


def _exact_idea(word: str) -> str:
    for stem, may_end, idea in _stems():
        if word == stem or (may_end and word.startswith(stem) and ENDING.fullmatch(word[len(stem) :])):
            return idea
    return ""


def _bare(word: str) -> str:
    """'noise' of 'denoise', 'blur' of 'unblur'."""
    return word[2:] if len(word) > 4 and word[:2] in ("de", "un") else word


@cache
def _idea_of(word: str) -> tuple[str, How]:
    """The idea that a word stands for, '' for none, and whether it had to be corrected."""
    idea = _exact_idea(word) or _exact_idea(_bare(word))
    if (
        idea
        or len(word) < 4
        or {word, word.removesuffix("s"), word.removesuffix("ed"), word.removesuffix("ing")}
        & (ORDINARY | FUNCTION_WORDS)
    ):
        return idea, "word"
    near = [(gap, other) for part in {word, _bare(word)} for gap, other in _neighbours(part)]
    return (min(near)[1], "typo") if near else ("", "word")


def _neighbours(word: str) -> Iterator[tuple[int, str]]:
    """Ideas at a distance of one slip, or two in long words; short words bear no wrong letter ('blue' is no 'blur')."""
    slips = 1 if len(word) < 9 else 2
    for other, idea in _spelled():
        if (
            abs(len(word) - len(other)) > slips
            or not set(word[:1]) & set(other[:2])
            or not set(other[:1]) & set(word[:2])
        ):
            continue
        if max(len(word), len(other)) <= 4 and len(word) == len(other) and sorted(word) != sorted(other):
            continue
        gap = _slips(word, other)
        if gap <= slips:
            yield gap, idea


def _slips(word: str, other: str) -> int:
    """Letters wrong, missing, too many, or swapped with the next one (Damerau 1964, optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(other, 1):
            gap = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == wanted:
                gap = min(gap, last[j - 2] + 1)
            row.append(gap)
    return row[-1]


def split(line: str, taken: Sequence[tuple[int, int]]) -> list[Token]:
    """Words and marks in order, without those in the spans ``taken``."""
    found: list[Token] = []
    for pattern, word in APART:
        for match in re.finditer(r"\b" + pattern, line):
            if not overlaps(match.span(), [*taken, *((token.start, token.end) for token in found)]):
                text = word.format("", *match.groups()) if "{" in word else word
                found.append(Token(text, *match.span(), *_idea_of(text)))
    spans = [*taken, *((token.start, token.end) for token in found)]
    for match in re.finditer(r"[a-z][a-z0-9]*(?:'[a-z]+)?|[,;:!?+&()/]|\.(?!\d)", line):
        if not overlaps(match.span(), spans):
            text = match[0].removesuffix("'s")
            found.append(Token(match[0], *match.span(), *_idea_of(text)))
    return sorted(found, key=lambda token: token.start)


def overlaps(span: tuple[int, int], spans: Sequence[tuple[int, int]]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in spans)
