"""Damages to files, drawn from a seeded generator: the same generator gives the same damage.

``mutate_text`` is for whatever people and programs write by the line (headers, recipes, journals), ``mutate_bytes``
for the rest.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import AnyStr

# Where a size, count or offset stands, these are the texts that break programs.
NUMBERS = (
    "0", "-1", "-0.0", "1", "2", "255", "256", "65535", "65536", "2147483647", "2147483648", "4294967296",
    "9223372036854775807", "99999999999999999999", "1e6", "1e18", "1e308", "1e400", "-1e308", "1e-320", "0.5", "nan",
    "inf", "-inf", "٣", "１２", "½", "²", "1_000", "0x10", "1,5", "1e", "--1", "", "true", "null", "{}", "[]", '"1"',
    "9" * 5000,
)  # fmt: skip
SIGNS = (
    "{", "}", "[", "]", "(", ")", '"', "'", '"""', "=", ":", ",", ";", "#", "\\", "/", "%s", "\0", "\t", "\r", "\n",
    "\x0b", "\x1b[2J", "\x7f", "\x85", "\u2028", "\ufeff", "\u202e", "é", "\U0001f4a3", " " * 3000, "{" * 3000,
    "[" * 3000, "}" * 40,
)  # fmt: skip
PLACES = (
    "../../outside", "..", "/", "/etc/passwd", "/dev/zero", "~/outside", "C:\\outside", "\\\\host\\share",
    "file:///etc/passwd", "/vsizip//etc/passwd", "/vsicurl/http://127.0.0.1:9/x", "$(touch outside)", "a" * 5000,
)  # fmt: skip
ENCODINGS = ("utf-16", "utf-8-sig", "cp037", "utf-32")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_VALUE = re.compile(r"(?<=[=:])[^=:\n]*")
# Bytes at the start where many formats keep their sizes.
_HEAD = 1024
_WORDS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1)


def _span(length: int, rng: random.Random) -> tuple[int, int]:
    """A piece of something ``length`` long; mostly short, now and then any."""
    start = rng.randrange(length + 1)
    longest = length - start if rng.random() < 0.2 else min(length - start, 16)
    return start, start + rng.randint(0, longest)


def _cut(data: AnyStr, rng: random.Random) -> AnyStr:
    return data[: rng.randrange(len(data) + 1)]


def _delete(data: AnyStr, rng: random.Random) -> AnyStr:
    start, stop = _span(len(data), rng)
    return data[:start] + data[stop:]


def _duplicate(data: AnyStr, rng: random.Random) -> AnyStr:
    start, stop = _span(len(data), rng)
    return data[:start] + data[start:stop] * rng.choice((2, 3, 50)) + data[stop:]


def _move(data: AnyStr, rng: random.Random) -> AnyStr:
    start, stop = _span(len(data), rng)
    rest, at = data[:start] + data[stop:], rng.randrange(len(data) - (stop - start) + 1)
    return rest[:at] + data[start:stop] + rest[at:]


def _flip(data: bytes, rng: random.Random) -> bytes:
    flipped = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(min(len(data), _HEAD) if rng.random() < 0.5 else len(data))
        flipped[at] ^= 1 << rng.randrange(8) if rng.random() < 0.7 else 0xFF
    return bytes(flipped)


def _word(data: bytes, rng: random.Random) -> bytes:
    """An extreme whole number of 1 to 8 bytes, in either byte order, aligned as headers are."""
    size = rng.choice((1, 2, 4, 4, 8))
    order = "little" if rng.random() < 0.7 else "big"
    number = (rng.choice(_WORDS) & (1 << 8 * size) - 1).to_bytes(size, order)  # type: ignore[arg-type]
    room = min(len(data), _HEAD) if rng.random() < 0.7 else len(data)
    at = rng.randrange(room) // size * size
    return data[:at] + number + data[at + size :]


def _replaced(text: str, pattern: re.Pattern[str], new: str, rng: random.Random) -> str:
    found = list(pattern.finditer(text))
    if not found:
        return text + new
    start, stop = rng.choice(found).span()
    return text[:start] + new + text[stop:]


def _number(text: str, rng: random.Random) -> str:
    return _replaced(text, _NUMBER, rng.choice(NUMBERS), rng)


def _value(text: str, rng: random.Random) -> str:
    """What stands after a '=' or ':' replaced by a number, a sign or a path, with quotes or without."""
    new = rng.choice(rng.choice((NUMBERS, SIGNS, PLACES)))
    quote = rng.choice(("", '"'))
    return _replaced(text, _VALUE, f" {quote}{new}{quote}", rng)


def _sign(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(SIGNS) + text[at:]


def _lines(text: str, rng: random.Random) -> str:
    """A line gone, repeated with another value, or moved."""
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    line = lines.pop(at)
    if (what := rng.random()) < 0.4:
        lines[at:at] = [line, _number(line, rng)]
    elif what < 0.7:
        lines.insert(rng.randrange(len(lines) + 1), line)
    return "\n".join(lines)


_OF_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _flip, _word, _word, _word, _cut, _delete, _duplicate, _move,
)  # fmt: skip
_OF_TEXT: tuple[Callable[[str, random.Random], str], ...] = (
    _number, _number, _number, _value, _value, _sign, _lines, _lines, _cut, _delete, _duplicate, _move,
)  # fmt: skip


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to three damages to ``data``: bits, sizes, cuts, pieces twice, gone or elsewhere."""
    for _ in range(rng.randint(1, 3)):
        if data:
            data = rng.choice(_OF_BYTES)(data, rng)
    return data


def mutate_text(text: str, rng: random.Random) -> bytes:
    """One to three damages to ``text``, and now and then to its encoding."""
    for _ in range(rng.randint(1, 3)):
        text = rng.choice(_OF_TEXT)(text, rng)
    if (how := rng.random()) < 0.05:
        return text.encode(rng.choice(ENCODINGS), "replace")
    raw = text.encode("utf-8", "surrogatepass")
    return mutate_bytes(raw, rng) if how < 0.15 else raw
