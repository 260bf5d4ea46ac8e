"""A line of text as words with their meaning, whatever their ending and with small typing errors; no torch."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from hsi_app.methods.mphsir.lexicon import APART, ENDING, FUNCTION_WORDS, IDEAS, ORDINARY, SIGNS, TYPED_ENDINGS

How = Literal["word", "typo", "nearest", "number"]


@dataclass(frozen=True)
class Token:
    """A word or mark of a line, and the idea that it stands for, '' for none; ``is_undoing`` as 'denoise' is."""

    text: str
    start: int
    end: int
    idea: str = ""
    how: How = "word"
    is_undoing: bool = False


def normal(text: str) -> str:
    """In lower case, with one kind of each mark, words that stand for a sign, and single spaces."""
    line = unicodedata.normalize("NFKC", text).casefold()
    for sign, word in SIGNS.items():
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


@lru_cache(maxsize=4096)
def _idea_of(word: str) -> tuple[str, How, bool]:
    """The idea that a word stands for, '' for none, whether it had to be corrected, and whether it undoes that."""
    whole = _exact_idea(word)
    idea = whole or _exact_idea(_bare(word))
    plain = {word, word.removesuffix("s"), word.removesuffix("ed"), word.removesuffix("ing")}
    if idea or len(word) < 4 or plain & (ORDINARY | FUNCTION_WORDS):
        return idea, "word", idea != whole
    near = [(gap, part != word, other) for part in {word, _bare(word)} for gap, other in _neighbours(part)]
    if not near:
        return "", "word", False
    _, is_undoing, idea = min(near)
    return idea, "typo", is_undoing


def _neighbours(word: str) -> Iterator[tuple[int, str]]:
    """Ideas at a distance of one slip, or two in long words; short words bear no wrong letter ('blue' is no 'blur')."""
    slips = 1 if len(word) < 9 else 2
    for other, idea in _spelled():
        if abs(len(word) - len(other)) > slips or word[0] not in other[:2] or other[0] not in word[:2]:
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


def _token(text: str, word: str, match: re.Match[str]) -> Token:
    """Where it stands in the line, with the idea of ``word``."""
    idea, how, is_undoing = _idea_of(word)
    return Token(text, match.start(), match.end(), idea, how, is_undoing)


def split(line: str, taken: Sequence[tuple[int, int]]) -> list[Token]:
    """Words and marks in order, without those in the spans ``taken``."""
    found: list[Token] = []
    for pattern, word in APART:
        for match in re.finditer(r"\b" + pattern, line):
            if not overlaps(match.span(), [*taken, *((token.start, token.end) for token in found)]):
                text = word.format("", *match.groups()) if "{" in word else word
                found.append(_token(text, text, match))
    spans = [*taken, *((token.start, token.end) for token in found)]
    for match in re.finditer(r"[a-z][a-z0-9]*(?:'[a-z]+)?|[,;:!?+&()/]|\.(?!\d)", line):
        if not overlaps(match.span(), spans):
            found.append(_token(match[0], match[0].removesuffix("'s"), match))
    return sorted(found, key=lambda token: token.start)


def overlaps(span: tuple[int, int], spans: Sequence[tuple[int, int]]) -> bool:
    """Whether a span shares a letter with any of ``spans``."""
    return any(span[0] < end and start < span[1] for start, end in spans)
