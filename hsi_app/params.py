"""Parameters of a method, described once: command line, form, recipe and report are read from here."""

from __future__ import annotations

import importlib
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined

from hsi_app.errors import ParameterError

Kind = Literal["int", "float", "bool", "choice", "text"]


class Parameters(BaseModel):
    """Base of every method's parameter model: frozen, strict about names, safe to store in a recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Mapping[str, Any] | None = None, /) -> Self:
        """Build from plain values, by field name or by command-line name.

        Raises
        ------
        ParameterError
            One line that names the option, what was given and what is allowed.
        """
        known = {option.cli_name: option for option in options(cls)}
        given: dict[str, Any] = {}
        for key, value in (values or {}).items():
            name = known[key].name if key in known else key
            if name in given:
                raise ParameterError(f"option '{_cli_name(name)}' is given twice; leave one out.")
            given[name] = value
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            name = _cli_name(str(first["loc"][0])) if first["loc"] else "parameters"
            if first["type"] == "extra_forbidden":
                raise ParameterError(f"no option '{name}'; there are: {', '.join(known) or 'none'}.") from None
            if first["type"] == "missing":
                what = known[name].description.rstrip(".")
                raise ParameterError(f"option '{name}' is needed: {what[:1].lower()}{what[1:]}.") from None
            raise ParameterError(f"option '{name}' is {first['input']!r}: {first['msg'].lower()}.") from None

    def plain(self) -> dict[str, Any]:
        """As plain values for TOML and JSON; options left at None are left out."""
        return {key: value for key, value in self.model_dump(mode="json").items() if value is not None}


def parameter(
    default: Any,
    description: str,
    *,
    unit: str = "",
    source: str = "",
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    offers: str = "",
    several: str = "",
    explains: str = "",
    overruled_by: str = "",
    advanced: bool = False,
) -> Any:
    """A field of a parameter model.

    Parameters
    ----------
    default : value, or ``...`` where the user must choose
    description : one sentence a user understands, shown as help and tool tip
    unit : 'px', 'nm', 'dB', '' (dimensionless)
    source : paper and equation, or why this default
    ge, gt, le, lt : bounds
    offers : for a text, the 'module:function' that lists entries at hand; others may be typed all the same
    several : the 'module:MAPPING' of those entries that may be joined with '+' to what a person calls them; what else
        is offered stands alone
    explains : for a text, the 'module:function' that says in one line what it means, or raises ParameterError with
        what is unclear
    overruled_by : the text option beside which this one does not count
    advanced : hidden in short forms
    """
    return Field(
        default,
        description=description,
        ge=ge, gt=gt, le=le, lt=lt,
        json_schema_extra={
            "unit": unit, "source": source, "offers": offers, "several": several, "explains": explains,
            "overruled_by": overruled_by, "advanced": advanced,
        },
    )  # fmt: skip


@dataclass(frozen=True)
class Option:
    """One parameter as a face shows it."""

    name: str
    kind: Kind
    default: Any
    description: str
    is_optional: bool = False  # None is allowed and means "found from the data"
    is_required: bool = False
    choices: tuple[str, ...] = ()
    lower: float | None = None
    upper: float | None = None
    lower_open: bool = False
    upper_open: bool = False
    unit: str = ""
    source: str = ""
    offers: str = ""
    several: str = ""
    explains: str = ""
    overruled_by: str = ""
    advanced: bool = False

    def offered(self) -> tuple[str, ...]:
        """Entries at hand for a text, the default first; () where anything may be typed."""
        if not self.offers:
            return ()
        return tuple(sorted(_named(self.offers)(), key=lambda entry: entry != self.default))

    def joinable(self) -> Mapping[str, str]:
        """The entries that may be joined with '+', and what a person calls them; none where the text is one entry."""
        found: Mapping[str, str] = _named(self.several) if self.several else {}
        return found

    def explain(self, text: str) -> str:
        """One line that says what a text means; '' where nothing explains it.

        Raises ParameterError, whose line says what is unclear, where it cannot be acted on.
        """
        return str(_named(self.explains)(text)) if self.explains else ""

    @property
    def cli_name(self) -> str:
        """The option's name on the command line and in recipes, without dashes in front."""
        return _cli_name(self.name)

    @property
    def absent_text(self) -> str:
        """What it means to leave the option at None: the data decide, or there is no such name or file."""
        return "found from the data" if self.is_optional and self.kind != "text" else "none"

    @property
    def range_text(self) -> str:
        """'[1, 64] px' or '' where there is no bound."""
        if self.choices:
            return " | ".join(self.choices)
        if self.lower is None and self.upper is None:
            return self.unit
        left = "(-inf" if self.lower is None else f"{'(' if self.lower_open else '['}{self.lower:g}"
        right = "inf)" if self.upper is None else f"{self.upper:g}{')' if self.upper_open else ']'}"
        return f"{left}, {right} {self.unit}".strip()


def _cli_name(name: str) -> str:
    return name.replace("_", "-")


def _named(where: str) -> Any:
    """What 'module:name' stands for; the module is imported only now."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def options(model: type[Parameters]) -> tuple[Option, ...]:
    """The options of a parameter model, in the order they were written."""
    found = {name: _option(name, info) for name, info in model.model_fields.items()}
    for option in found.values():
        if option.kind != "text" and (option.offers or option.several or option.explains):
            raise TypeError(f"parameter '{option.name}': only a text has entries at hand or is explained")
        if option.overruled_by and getattr(found.get(option.overruled_by), "kind", "") != "text":
            raise TypeError(f"parameter '{option.name}': no text '{option.overruled_by}' that could overrule it")
    return tuple(found.values())


def _option(name: str, info: Any) -> Option:
    extra = info.json_schema_extra or {}
    kind, choices, is_optional = _kind(name, info.annotation)
    lower = upper = None
    lower_open = upper_open = False
    for bound in info.metadata:
        if hasattr(bound, "ge") or hasattr(bound, "gt"):
            lower_open = hasattr(bound, "gt")
            lower = bound.gt if lower_open else bound.ge
        if hasattr(bound, "le") or hasattr(bound, "lt"):
            upper_open = hasattr(bound, "lt")
            upper = bound.lt if upper_open else bound.le
    return Option(
        name=name,
        kind=kind,
        default=None if info.default is PydanticUndefined else info.default,
        description=info.description or "",
        is_optional=is_optional,
        is_required=info.is_required(),
        choices=choices,
        lower=lower,
        upper=upper,
        lower_open=lower_open,
        upper_open=upper_open,
        unit=extra.get("unit", ""),
        source=extra.get("source", ""),
        offers=extra.get("offers", ""),
        several=extra.get("several", ""),
        explains=extra.get("explains", ""),
        overruled_by=extra.get("overruled_by", ""),
        advanced=bool(extra.get("advanced", False)),
    )


def _kind(name: str, annotation: Any) -> tuple[Kind, tuple[str, ...], bool]:
    is_optional = False
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        is_optional = len(inner) < len(get_args(annotation))
        if len(inner) != 1:
            raise TypeError(f"parameter '{name}': one type and None at most, not {annotation}")
        annotation = inner[0]
    if get_origin(annotation) is Literal:
        return "choice", tuple(str(c) for c in get_args(annotation)), is_optional
    kinds: dict[Any, Kind] = {int: "int", float: "float", bool: "bool", str: "text"}
    if annotation not in kinds:
        raise TypeError(f"parameter '{name}': {annotation} has no form; use int, float, bool, str or Literal")
    return kinds[annotation], (), is_optional
