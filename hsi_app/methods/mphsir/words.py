"""What a sentence asks of a restoration, without a language model: stems, typing errors, nearest example; no torch.

A lexicon of stems reads what it knows. Only where it finds nothing, the nearest of a few example sentences is looked
for by character n-grams. Under ``SURE_FROM`` nothing is chosen: the answer is then a question.

Source: arXiv 2503.09131 (text prompts, one for each degradation; there from CLIP). On 41 free phrases a sentence
encoder of 23 million parameters found 81 % of the tasks, n-grams alone 73 %; both miss 'denoise' or 'deblur'
where a stem does not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from hsi_app.methods.mphsir.lexicon import (
    ACTS,
    ALONE,
    AUTO,
    AUTO_WORDS,
    BREAKS,
    DOINGS,
    EITHER,
    EXACT,
    EXPLAINED_BY,
    FOLDS,
    JOINING,
    MILD_ACTS,
    NO,
    OTHER_ACTS,
    QUANTITIES,
    REACH,
    STATES,
    STAY,
    STAYS,
    STRENGTH_PHRASES,
    TOGETHER,
    WISHES,
)
from hsi_app.methods.mphsir.names import DEGRADATIONS
from hsi_app.methods.mphsir.nearest import likeness
from hsi_app.methods.mphsir.tokens import How, Token, normal, overlaps, split

__all__ = ["DEGRADATIONS", "SURE_FROM", "Hit", "Understood", "understand"]

# Confidence, in [0, 1], from which on a text is acted on.
SURE_FROM = 0.6
# Certainty of a word with a typing error, and the share left where the text asks for something else.
TYPED_WRONG, OTHER_TOPIC = 0.75, 0.4
# Of a word that may mean two degradations.
EITHER_CERTAINTY = 0.5
# Cosine of n-grams that counts as certainty 1, and by how much the nearest task must lead the next.
SAME_SENTENCE, LEAD = 0.42, 0.06
# Weight of a task that is asked for with "a bit" beside another one.
LITTLE = 0.4
FWHM_OF_SIGMA = 2 * math.sqrt(2 * math.log(2))
STRONGEST = 2.0
LONGEST = 2000
SCALES = (1.0, 16.0)


@dataclass(frozen=True)
class Hit:
    """One piece of the text and what it led to.

    words : the piece, in lower case; meaning : a degradation, 'not ' and one, 'auto', or a quantity with its value
    how : 'word' as written, 'typo' after a correction, 'nearest' the most similar example, 'number'
    certainty : in [0, 1]
    """

    words: str
    meaning: str
    how: How = "word"
    certainty: float = 1.0


@dataclass(frozen=True)
class Understood:
    """What a text asks for.

    text : as given
    weights : by degradation, of sum 1; empty unless ``is_sure``, and where the measurement decides (``is_auto``)
    strength : share of what is wrong to take away, in [0, 2], 1 = all; None = not said
    numbers : 'sigma' as written (share of the range, or of 255 where above 1), 'scale' in [1, 16], 'fwhm_px' of the
        blur, 'length_px' of the motion, 'missing' as a share in [0, 1]
    confidence : in [0, 1]; acted on from ``SURE_FROM``
    hits : which words led to what
    excluded : degradations that are to stay
    is_auto : what is wrong is to be measured
    nearest : degradations to offer where it is not sure, most likely first
    """

    text: str
    weights: Mapping[str, float] = field(default_factory=dict)
    strength: float | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    confidence: float = 0.0
    hits: tuple[Hit, ...] = ()
    excluded: tuple[str, ...] = ()
    is_auto: bool = False
    nearest: tuple[str, ...] = ()

    @property
    def is_sure(self) -> bool:
        """Whether it may be acted on without asking."""
        return self.confidence >= SURE_FROM and (self.is_auto or bool(self.weights))

    def sentence(self) -> str:
        """One line for a person: what was understood, or a question with the nearest choices."""
        left = f"; left as it is: {_listed([DEGRADATIONS[name] for name in self.excluded])}" if self.excluded else ""
        if not self.is_sure:
            if self.excluded and not self.nearest:
                left_names = [DEGRADATIONS[name] for name in self.excluded]
                return f"Understood what is to stay ({_listed(left_names)}), not what is to go: what is wrong?"
            if not self.nearest:
                return f"What is wrong with the scene: {_listed(list(DEGRADATIONS.values()), 'or')}?"
            choices = _listed([DEGRADATIONS[name] for name in self.nearest], "or")
            return f"Not sure what is meant: {choices}?"
        if self.is_auto:
            what = "whatever is found to be wrong"
        else:
            order = sorted(self.weights, key=lambda name: -self.weights[name])
            shares = {name: f" ({self.weights[name]:.0%})" if len(order) > 1 else "" for name in order}
            what = _listed([f"{DEGRADATIONS[name]}{shares[name]}" for name in order])
        strength = "" if self.strength is None else f"; strength {self.strength:.2g}"
        numbers = "".join(f"; {_NUMBER_NAMES[key].format(value)}" for key, value in self.numbers.items())
        return f"Understood: correct {what}{strength}{numbers}{left}."


_NUMBER_NAMES = {
    "sigma": "sigma {:g}",
    "scale": "{:g} times finer",
    "fwhm_px": "blur of {:.3g} px",
    "length_px": "motion of {:g} px",
    "missing": "{:.0%} missing",
}


def _listed(names: Sequence[str], last: str = "and") -> str:
    """'a, b and c'; with ';' where a name holds commas itself."""
    comma = "; " if any(", " in name for name in names) and len(names) > 1 else ", "
    if len(names) < 2:
        return "".join(names)
    return f"{comma.join(names[:-1])}{';' if comma == '; ' else ''} {last} {names[-1]}"


@dataclass(frozen=True)
class _Find:
    """Tokens first..last (inclusive) that speak for a degradation."""

    first: int
    last: int
    idea: str
    task: str
    certainty: float
    how: How
    emphasis: float = 1.0
    is_negated: bool = False


def understand(text: str) -> Understood:
    """Read what a text asks a restoration for.

    Parameters
    ----------
    text : English, of up to ``LONGEST`` letters, beyond which nothing is understood; case does not matter

    Returns
    -------
    What was understood; its ``weights`` are empty where that is not sure.

    >>> understand("remove the stripes and a bit of haze").sentence()
    'Understood: correct stripes, dead lines, impulses (71%); and haze (29%).'
    >>> understand("make it pretty").is_sure
    False
    """
    return _understand(text, nearest=True)


def _understand(text: str, *, nearest: bool) -> Understood:
    """``understand``, with or without the nearest example."""
    line = normal(text) if len(text) <= LONGEST else ""
    numbers = _read_numbers(line)
    strengths = _read_strengths(line, numbers)
    tokens = split(line, [(found.start, found.end) for found in (*numbers, *strengths)])
    finds = _finds(tokens, numbers)
    negated = _negated(tokens)
    finds = [replace(find, is_negated=find.idea != "unsharp" and negated[find.last]) for find in finds]
    finds = _without_explained(tokens, finds)
    strength, finds = _bind_strengths(line, tokens, finds, strengths)
    hits = [
        Hit(_quote(line, tokens, find), ("not " if find.is_negated else "") + find.task, find.how, find.certainty)
        for find in finds
    ]
    excluded = tuple(task for task, certainty in _by_task(finds, True).items() if certainty >= SURE_FROM)
    wanted = {task: certainty for task, certainty in _by_task(finds, False).items() if task not in excluded}
    auto = None if wanted else _auto(line, tokens, negated)
    asks_else = _asks_else(line, tokens, finds)
    known = _known_numbers(numbers, set(wanted), tokens)
    hits += [Hit(line[found.start : found.end], f"{key} {value:g}", "number") for found, key, value in known]
    if strength is not None:
        said = ", ".join(line[found.start : found.end].strip() for found in strengths)
        hits.append(Hit(said, f"strength {strength:g}"))
    common = Understood(
        text,
        strength=strength,
        numbers={key: value for _, key, value in known},
        hits=tuple(hits),
        excluded=excluded,
    )
    if auto is not None:
        hits.append(Hit(auto[0], "auto", "word", EXACT))
        return replace(common, confidence=EXACT * asks_else, is_auto=True, hits=tuple(hits))
    if not finds and nearest and asks_else == 1.0:
        return _nearest(line, common)
    sure = {task: certainty for task, certainty in wanted.items() if certainty * asks_else >= SURE_FROM}
    order = tuple(sorted(wanted, key=lambda task: -wanted[task]))
    if not sure or any(_is_open(find, sure) for find in finds):
        # Beside something clear, too, what may mean two things is asked about.
        order = tuple(find.task for find in finds if _is_open(find, sure)) or order
        wanted = {task: min(wanted[task], EITHER_CERTAINTY) for task in order if task in wanted}
        return replace(common, confidence=max(wanted.values(), default=0.0) * asks_else, nearest=order[:3])
    meant = [find for find in finds if not find.is_negated]
    emphasis = {task: max(find.emphasis for find in meant if find.task == task) for task in sure}
    total = sum(emphasis.values())
    weights = {task: emphasis[task] / total for task in DEGRADATIONS if task in sure}
    return replace(common, weights=weights, confidence=min(sure.values()) * asks_else, nearest=order[:3])


def _is_open(find: _Find, sure: Mapping[str, float]) -> bool:
    """Whether it may mean several degradations, none of which is clear from other words."""
    meanings = EITHER.get(find.idea, ()) if find.first == find.last and not find.is_negated else ()
    return bool(meanings) and find.task in meanings and not set(meanings) & set(sure)


def _quote(line: str, tokens: Sequence[Token], find: _Find) -> str:
    """The piece of the line that a find stands on."""
    return line[tokens[find.first].start : tokens[find.last].end] if find.first < len(tokens) else find.idea


# ---------------------------------------------------------------------------------------------------------------------
# From tokens to degradations


def _finds(tokens: Sequence[Token], numbers: Sequence[_Number]) -> list[_Find]:
    """What the words speak for, in order: pairs of ideas, the nearest first, then what is left alone."""
    finds: list[_Find] = []
    used: set[int] = set()
    # 'not sharp', 'isn't in focus'
    for at, token in enumerate(tokens):
        if token.idea in ("sharp", "focus") or token.text == "crisp":
            for back in range(max(0, at - REACH), at):
                if tokens[back].text in NO and not _any_text(tokens[back:at], ACTS | BREAKS | {","}):
                    finds.append(_Find(back, at, "unsharp", "blur", EXACT, "word"))
                    used |= {back, at}
    pairs = sorted(
        (right - left, left, right)
        for left in range(len(tokens))
        for right in range(left + 1, min(len(tokens), left + REACH + 2))
        if not _any_text(tokens[left:right], BREAKS | NO | STAY | {","})
    )
    for _, left, right in pairs:
        ideas = (tokens[left].idea, tokens[right].idea)
        known = TOGETHER.get(ideas) or TOGETHER.get(ideas[::-1])
        is_apart = _is_process(tokens[left]) or _any_text(tokens[left + 1 : right], JOINING)
        if known and not used & {left, right} and not (is_apart and all(idea in ALONE for idea in ideas)):
            typed = "typo" in (tokens[left].how, tokens[right].how)
            certainty = known[1] * (TYPED_WRONG / EXACT if typed else 1)
            finds.append(_Find(left, right, ideas[0], known[0], certainty, "typo" if typed else "word"))
            used |= {left, right}
    for at, token in enumerate(tokens):
        if at in used or not token.idea:
            continue
        share = TYPED_WRONG / EXACT if token.how == "typo" else 1.0
        if token.idea in ALONE:
            task, certainty = ALONE[token.idea]
            finds.append(_Find(at, at, token.idea, task, certainty * share, token.how))
        for task in EITHER.get(token.idea, ()):
            finds.append(_Find(at, at, token.idea, task, EITHER_CERTAINTY * share, token.how))
    if not any(find.task == "sr" for find in finds):
        speaking = [number for number in numbers if number.key == "scale" and number.speaks]
        finds += [_Find(len(tokens), len(tokens), f"x{number.value:g}", "sr", 0.8, "number") for number in speaking[:1]]
    return sorted(finds, key=lambda find: find.first)


def _any_text(tokens: Sequence[Token], known: frozenset[str] | set[str]) -> bool:
    return any(token.text in known for token in tokens)


def _without_explained(tokens: Sequence[Token], finds: Sequence[_Find]) -> list[_Find]:
    """Without general words that a more special one explains: 'noise' where it says 'noise of few photons'."""

    def explains(special: _Find, general: _Find) -> bool:
        if special.certainty < SURE_FROM or special.task not in EXPLAINED_BY.get(general.idea, ()):
            return False
        if special.is_negated != general.is_negated or special.idea == general.idea:
            return False
        between = tokens[min(special.last, general.last) + 1 : max(special.first, general.first)]
        return not _any_text(between, JOINING | BREAKS) and (special.task != "complex" or len(between) <= 2)

    return [
        find
        for find in finds
        if not (find.first == find.last and any(explains(other, find) for other in finds))
        and not (find.idea == "sharp" and find.is_negated)
    ]


def _auto(line: str, tokens: Sequence[Token], negated: Sequence[bool]) -> re.Match[str] | None:
    """Where the text leaves it to the measurement; 'everything' must be something to be done, and not to be kept."""
    found = AUTO.search(line)
    if found is None or any(negated[at] for at, token in enumerate(tokens) if token.start == found.start()):
        return None
    is_order = len(tokens) <= 2 or any(_is_act(token) for token in tokens) or any(negated)
    return found if is_order or found[0] not in ("everything", "whatever") else None


def _by_task(finds: Sequence[_Find], is_negated: bool) -> dict[str, float]:
    """Certainty of each degradation: that of several hits counts as that of independent witnesses."""
    doubt: dict[str, float] = {}
    for find in finds:
        if find.is_negated == is_negated:
            doubt[find.task] = doubt.get(find.task, 1.0) * (1 - find.certainty)
    return {task: 1 - doubt[task] for task in DEGRADATIONS if task in doubt}


# ---------------------------------------------------------------------------------------------------------------------
# What is not wanted, and what asks for something else


def _negated(tokens: Sequence[Token]) -> list[bool]:
    """Whether what a token names is to stay; one more entry, False, for what stands in no token."""
    state: Literal["", "no", "stay"] = ""
    negated: list[bool] = []
    for at, token in enumerate(tokens):
        word, before = token.text, tokens[at - 1].text if at else ""
        coming = [other for other in tokens[at + 1 : at + 4] if other.text not in ("the", "also", "then", "a", "it")]
        following = coming[0] if coming else None
        if (word == "but" and before in AUTO_WORDS | {"all"}) or (word == "of" and before == "instead"):
            state = "no"
        elif word in BREAKS and not (word in ("only", "just") and before in NO):
            state = ""
        elif word in JOINING and word not in ("or", "nor"):
            ends = following is not None and (_is_act(following) or following.text in STATES | QUANTITIES | NO)
            if ends or (word == "," and state == "no"):
                state = ""
        elif word in NO and not (following and following.text in ("only", "just", "merely", "more", "longer", "but")):
            if word != "without" or _is_doing(following):
                state = "" if state == "stay" else "no"
        elif word in STAY:
            state = "" if state == "no" else "stay"
        elif word in WISHES and state == "no" and not any(_is_process(other) for other in tokens[at + 1 : at + 5]):
            state = ""  # who does not like the noise wants it gone
        negated.append(state != "")
        is_said = before in ("is", "are", "'re", "be") or (before and before.endswith("'s"))
        if word in STAYS or (word in ("fine", "ok", "okay") and is_said):
            start = max((i for i in range(at) if tokens[i].text in BREAKS | {"and", ","}), default=-1) + 1
            negated[start:] = [True] * (at + 1 - start)
    return [*negated, False]


def _is_process(token: Token) -> bool:
    """Whether it names what is done, 'deblurring', 'removal', rather than what is there."""
    return token.is_undoing or token.idea == "removal" or (token.text.endswith("ing") and token.idea in DOINGS)


def _is_act(token: Token) -> bool:
    return token.text in ACTS or (_is_process(token) and token.idea != "removal") or token.text.startswith("sharpen")


def _is_doing(token: Token | None) -> bool:
    return token is not None and token.text.endswith("ing") and (not token.idea or _is_process(token))


def _asks_else(line: str, tokens: Sequence[Token], finds: Sequence[_Find]) -> float:
    """Share of the confidence that is left where the text asks a question, or for something that is no restoration."""
    acts = any((token.text in ACTS - MILD_ACTS) or (_is_process(token) and token.idea in ALONE) for token in tokens)
    meant = {at for find in finds for at in (find.first, find.last)}
    is_other = any(token.text in OTHER_ACTS and at not in meant for at, token in enumerate(tokens)) or re.match(
        r"(what|where|which)\b", line
    )
    if is_other and not acts:
        return 1.0 if AUTO.match(line) else OTHER_TOPIC
    for find in finds:
        before = [token.text for token in tokens[max(0, find.first - 2) : find.first]]
        wanted_more = {"more", "increase", "add"} & set(before) and find.task not in ("sr", "blur")
        if wanted_more and not find.is_negated and not any(token.idea == "removal" for token in tokens):
            return 1.0 if "no" in before else OTHER_TOPIC
    return 1.0


# ---------------------------------------------------------------------------------------------------------------------
# Strengths and numbers


@dataclass(frozen=True)
class _Number:
    """A number of the text: which quantity it may be, and whether it names the task by itself ('x4')."""

    start: int
    end: int
    key: str
    value: float
    speaks: bool = False


_VALUE = r"(\d+(?:\.\d+)?|\.\d+)"
_PATTERNS: tuple[tuple[str, str, bool], ...] = (
    (rf"\bstrength(?: of| at| to|:| ?=)? ?{_VALUE} ?%", "strength_percent", False),
    (rf"\bstrength(?: of| at| to|:| ?=)? ?{_VALUE}", "strength", False),
    (rf"{_VALUE} ?%", "percent", False),
    (rf"\b(?:sigma|std|stddev)(?: of| is|:| ?=)? ?{_VALUE}", "sigma", False),
    (rf"\bfwhm(?: of| is|:| ?=)? ?{_VALUE}(?: ?(?:px|pixels?))?", "fwhm_px", False),
    (rf"\bx ?{_VALUE}\b", "scale", True),
    (rf"(?<![\w.]){_VALUE} ?x\b", "scale", True),
    (
        rf"\b(?:times|(?:by )?(?:a )?(?:scale |zoom )?factor(?: of)?|scale(?: of| by|:| ?=)?) ?{_VALUE}\b",
        "scale",
        False,
    ),
    (rf"(?<![\w.]){_VALUE}[ -]?(?:times|fold)\b", "scale", False),
    (rf"(?<![\w.]){_VALUE}[ -]?(?:px|pixels?)(?: wide| long)?\b", "px", False),
    (rf"\bpsf(?: of| is|:| ?=)? ?{_VALUE}", "px", False),
)
# Sigma of a blur in px, below which none is seen; the sigma is then one of noise.
_LEAST_BLUR = 0.5
_WORD_SCALES = rf"\b({'|'.join(FOLDS)})( times|fold)?\b"


def _read_numbers(line: str) -> list[_Number]:
    """All numbers that may mean something; which do is known once the tasks are."""
    found: list[_Number] = []
    for pattern, key, speaks in _PATTERNS:
        for match in re.finditer(pattern, line):
            # The first digit on: 'sigma' and 'psf' remain words that speak for a task.
            span = match.span() if key in ("scale", "strength", "strength_percent") else (match.start(1), match.end())
            if not overlaps(span, [(other.start, other.end) for other in found]):
                found.append(_Number(*span, key, float(match[1]), speaks))
    for match in re.finditer(_WORD_SCALES, line):
        if match[2] or match[1] in ("double", "twice", "triple", "quadruple"):
            # No width of its own, so that 'double' remains a word beside 'resolution'.
            found.append(_Number(match.start(), match.end() if match[2] else match.start(), "scale", FOLDS[match[1]]))
    return sorted(found, key=lambda number: number.start)


def _known_numbers(
    numbers: Sequence[_Number], tasks: set[str], tokens: Sequence[Token]
) -> list[tuple[_Number, str, float]]:
    """The numbers that belong to a task that is asked for, each quantity once."""
    known: dict[str, tuple[_Number, str, float]] = {}
    for number in numbers:
        key, value = number.key, number.value
        if key == "percent" and tasks & {"inpaint", "bandloss"} and not _is_strength(number, tokens):
            key, value = "missing", value / 100
        elif key == "sigma" and "blur" in tasks and value >= _LEAST_BLUR and _said_of(number, tokens) == "blur":
            key, value = "fwhm_px", value * FWHM_OF_SIGMA
        elif key == "px":
            key = "fwhm_px" if "blur" in tasks else "length_px"
        fits = {
            "missing": bool(tasks & {"inpaint", "bandloss"}) and value <= 1,
            "sigma": bool(tasks & {"gauss", "complex", "poisson"}),
            "fwhm_px": bool(tasks & {"blur", "sr"}) and value > 0,
            "length_px": "motion" in tasks and value > 0,
            "scale": "sr" in tasks and SCALES[0] <= value <= SCALES[1],
        }
        if fits.get(key, False):
            known.setdefault(key, (number, key, value))
    return list(known.values())


def _said_of(number: _Number, tokens: Sequence[Token]) -> str:
    """What a sigma is said of, 'noise' or 'blur': the last such word before it, else the first after it."""
    known = [token for token in tokens if token.idea in ("noise", "blur")]
    before = [token for token in known if token.end <= number.start]
    return (before[-1:] or known[:1] or [Token("", 0, 0)])[0].idea


def _is_strength(number: _Number, tokens: Sequence[Token]) -> bool:
    """Whether a share is one of strength although something is missing: 'at 50 %', 'by 50 %', 'with 50 %'."""
    before = [token.text for token in tokens if token.end <= number.start][-1:]
    return before in (["at"], ["by"], ["with"])


def _read_strengths(line: str, numbers: Sequence[_Number]) -> list[_Number]:
    """Words and numbers for strength, in order, the longest where they overlap."""
    found = [number for number in numbers if number.key == "strength"]
    found += [replace(number, value=number.value / 100) for number in numbers if number.key == "strength_percent"]
    has_gaps = re.search(r"\b(miss|lost|lose|gap|hole|mask|gone|drop|dead|empty|inpaint|fill)", line)
    for number in numbers:
        is_led = re.search(r"\b(strength|at|by|with)\b[^,;]{0,3}$", line[: number.start])
        said = is_led or "strength" in line[number.end :]
        if number.key == "percent" and (said or not has_gaps):
            found.append(replace(number, value=number.value / 100))
    spoken = [
        _Number(*match.span(), "word", value)
        for pattern, value in STRENGTH_PHRASES
        for match in re.finditer(rf"(?<![\w'])(?:{pattern})(?!\w)", line)
    ]
    for number in sorted(spoken, key=lambda number: number.start - number.end):
        if not overlaps((number.start, number.end), [(other.start, other.end) for other in found]):
            found.append(number)
    return sorted(found, key=lambda number: number.start)


def _bind_strengths(
    line: str, tokens: Sequence[Token], finds: Sequence[_Find], strengths: Sequence[_Number]
) -> tuple[float | None, list[_Find]]:
    """What is said of all, and the finds with what is said of one of them.

    "a bit of haze" beside stripes makes haze weigh less. "slightly noisy" tells how it looks, not what to do.
    """
    finds = list(finds)
    tasks = {find.task for find in finds if not find.is_negated}
    has_acts = any(_is_act(token) for token in tokens)
    strength: float | None = None
    is_each = len(tasks) > 1 and len([said for said in strengths if said.key == "word"]) > 1
    for said in strengths:
        words = line[said.start : said.end].strip()
        near = [i for i, find in enumerate(finds) if _is_bound(words, said, tokens, find)]
        describes = False
        if is_each and said.key == "word":
            gaps = [_gap(said, tokens, find) for find in finds]
            near = [gaps.index(min(gaps))]
            describes = True
            finds[near[0]] = replace(finds[near[0]], emphasis=LITTLE if said.value < SURE_FROM else 1.0)
        elif near and said.key == "word":
            find = finds[near[0]]
            last = tokens[find.last]
            after = tokens[find.last + 1 : find.last + 2]
            is_process = _is_process(last) or any(token.idea == "removal" for token in after)
            looks = last.text.endswith(("y", "ed")) and not last.is_undoing
            is_adjective = not words.endswith("ly") and not re.search(r"bit|little|touch|hint|half", words)
            describes = looks or (is_adjective and not is_process) or not (has_acts or is_process)
            if said.value < SURE_FROM and len(tasks) > 1:
                finds[near[0]] = replace(find, emphasis=LITTLE)
                describes = True
        if not describes:
            strength = min(said.value, STRONGEST)
    return strength, finds


def _gap(said: _Number, tokens: Sequence[Token], find: _Find) -> int:
    """Letters between words for strength and what was found."""
    if find.first >= len(tokens):
        return LONGEST
    return max(tokens[find.first].start - said.end, said.start - tokens[find.last].end)


def _is_bound(words: str, said: _Number, tokens: Sequence[Token], find: _Find) -> bool:
    """Whether words for strength stand right before what was found: 'a bit of haze', 'slightly blurry'."""
    if find.first >= len(tokens):
        return False
    between = [token for token in tokens[: find.first] if token.start >= said.end]
    if tokens[find.first].start < said.end or len(between) > 2 or _any_text(between, ACTS | BREAKS | JOINING):
        return False
    return words.endswith("of") or not words.endswith("ly") or not _is_process(tokens[find.last])


def _nearest(line: str, common: Understood) -> Understood:
    """The task of the most similar example; sure only where it is near and clearly nearer than the next task's."""
    near = likeness(line)
    order = list(near)
    best, second = near[order[0]], near[order[1]]
    if best == 0.0:
        return common
    confidence = min(1.0, best / SAME_SENTENCE)
    if best - second < LEAD:
        confidence = min(confidence, 0.9 * SURE_FROM)
    return replace(
        common,
        weights={order[0]: 1.0} if confidence >= SURE_FROM else {},
        confidence=confidence,
        hits=(*common.hits, Hit(line, order[0], "nearest", confidence)),
        nearest=tuple(task for task in order[:3] if near[task] > 0.25 * best),
    )
