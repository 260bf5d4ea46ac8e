"""Parameters are read strictly, refused in one line, described completely and stored without loss."""

from __future__ import annotations

import re
import tomllib
from typing import Literal

import pytest
from pydantic import ValidationError

from hsi_app.errors import ParameterError
from hsi_app.params import Parameters, options, parameter


class Sample(Parameters):
    """One option of each kind."""

    patch_size: int = parameter(5, "Side of a patch.", unit="px", source="a paper", ge=1, le=9)
    weight: float = parameter(0.5, "Weight.", gt=0, lt=2)
    floor: float = parameter(1e-6, "Lower limit.", ge=0)
    rank: int | None = parameter(None, "Rank.", ge=1)
    mode: Literal["fast", "exact"] = parameter("exact", "Mode.", advanced=True)
    is_on: bool = parameter(True, "Switch.")
    label: str = parameter("x", "Text.")


class Demanding(Parameters):
    """An option without default."""

    end_members: int = parameter(..., "Number of materials.", ge=2)


def by_name() -> dict:
    return {option.name: option for option in options(Sample)}


@pytest.mark.parametrize("name", ["patch_size", "patch-size"])
def test_options_are_taken_by_field_name_and_by_command_line_name(name: str) -> None:
    assert Sample.parse({name: 3}).patch_size == 3


def test_text_from_a_command_line_becomes_the_declared_type() -> None:
    sample = Sample.parse({"patch-size": "3", "weight": "1e-3", "is-on": "false"})
    assert (sample.patch_size, sample.weight, sample.is_on) == (3, 1e-3, False)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"patch_size": 0}, r"option 'patch-size' is 0: .*greater than or equal to 1"),
        ({"patch-size": 10}, r"option 'patch-size' is 10: .*less than or equal to 9"),
        ({"weight": 0.0}, r"option 'weight' is 0.0: .*greater than 0"),
        ({"weight": 2.0}, r"option 'weight' is 2.0: .*less than 2"),
        ({"weight": float("nan")}, r"option 'weight' is nan: .*finite"),
        ({"patch_size": "many"}, r"option 'patch-size' is 'many': .*integer"),
        ({"patch_size": 2.5}, r"option 'patch-size' is 2.5: .*integer"),
        ({"mode": "slow"}, r"option 'mode' is 'slow': .*'fast' or 'exact'"),
        ({"patch_size": None}, r"option 'patch-size' is None: .*integer"),
        ({"size": 3}, r"no option 'size'; there are: patch-size, weight, floor, rank, mode, is-on, label"),
        ({"patch-size": 3, "patch_size": 4}, r"option 'patch-size' is given twice"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line_that_names_it(given: dict, says: str) -> None:
    with pytest.raises(ParameterError, match=says) as caught:
        Sample.parse(given)
    assert "\n" not in str(caught.value)


def test_a_missing_option_is_asked_for_by_name() -> None:
    with pytest.raises(ParameterError, match=r"option 'end-members' is needed: number of materials"):
        Demanding.parse({})


def test_parameters_cannot_be_changed_after_they_were_read() -> None:
    with pytest.raises(ValidationError):
        Sample().patch_size = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("patch_size", "int"),
        ("weight", "float"),
        ("rank", "int"),
        ("mode", "choice"),
        ("is_on", "bool"),
        ("label", "text"),
    ],
)
def test_each_type_has_its_kind_of_form_field(name: str, kind: str) -> None:
    assert by_name()[name].kind == kind


def test_options_come_in_the_order_they_were_written() -> None:
    assert [option.name for option in options(Sample)] == list(Sample.model_fields)


def test_an_option_knows_bounds_unit_source_and_default() -> None:
    option = by_name()["patch_size"]
    assert (option.lower, option.upper, option.lower_open, option.upper_open) == (1, 9, False, False)
    assert (option.unit, option.source, option.default, option.description) == ("px", "a paper", 5, "Side of a patch.")


def test_open_bounds_are_told_from_closed_ones() -> None:
    option = by_name()["weight"]
    assert (option.lower, option.upper, option.lower_open, option.upper_open) == (0, 2, True, True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("patch_size", "[1, 9] px"),
        ("weight", "(0, 2)"),
        ("floor", "[0, inf)"),
        ("mode", "fast | exact"),
        ("label", ""),
    ],
)
def test_the_range_reads_as_an_interval(name: str, text: str) -> None:
    assert by_name()[name].range_text == text


def test_none_is_offered_only_where_the_type_allows_it() -> None:
    assert [option.name for option in options(Sample) if option.is_optional] == ["rank"]


def test_only_an_option_without_default_is_required() -> None:
    assert options(Demanding)[0].is_required
    assert not any(option.is_required for option in options(Sample))


def test_plain_values_survive_toml_to_the_last_digit() -> None:
    sample = Sample(weight=1 / 3, floor=1.2345678901234567e-12, rank=7, mode="fast", is_on=False)
    lines = [f"{k} = {str(v).lower() if isinstance(v, bool) else repr(v)}" for k, v in sample.plain().items()]
    assert Sample.parse(tomllib.loads("\n".join(lines))) == sample


def test_an_option_left_to_the_data_is_left_out_of_the_plain_values() -> None:
    assert "rank" not in Sample().plain()
    assert Sample.parse(Sample().plain()) == Sample()


def test_a_type_without_a_form_field_is_refused_when_the_model_is_described() -> None:
    class Odd(Parameters):
        """A list has no form field."""

        sizes: list[int] = parameter([1], "Sizes.")

    with pytest.raises(TypeError, match="'sizes'"):
        options(Odd)


# ---- texts of entries, and free text -------------------------------------------------------------------------------

FRUIT = {"apple": "apples", "pear": "pears"}


def offered() -> tuple[str, ...]:
    return ("pear", "none", "apple")


def explain(text: str) -> str:
    if "?" in text:
        raise ParameterError("Sweet or sour?")
    return f"You want {text}."


class Basket(Parameters):
    """A wish, and what is taken without one."""

    wish: str = parameter("", "Wish.", explains=f"{__name__}:explain")
    fruit: str = parameter(
        "none", "Fruit.", offers=f"{__name__}:offered", several=f"{__name__}:FRUIT", overruled_by="wish"
    )


def test_a_text_tells_which_of_its_entries_may_be_joined_and_what_they_are_called() -> None:
    wish, fruit = options(Basket)
    assert fruit.offered() == ("none", "pear", "apple")
    assert fruit.joinable() == FRUIT
    assert wish.joinable() == {}
    assert wish.offered() == ()


def test_a_text_is_explained_or_asked_about() -> None:
    wish, fruit = options(Basket)
    assert wish.explain("pears") == "You want pears."
    with pytest.raises(ParameterError, match="Sweet or sour"):
        wish.explain("pears?")
    assert fruit.explain("pear?") == ""


def test_an_option_knows_the_text_beside_which_it_does_not_count() -> None:
    assert [option.overruled_by for option in options(Basket)] == ["", "wish"]


def test_only_a_text_of_the_same_model_overrules() -> None:
    class Lost(Parameters):
        """Nothing is called 'wish' here."""

        fruit: str = parameter("pear", "Fruit.", overruled_by="wish")

    with pytest.raises(TypeError, match="'fruit': no text 'wish'"):
        options(Lost)


def test_numbers_have_no_entries_and_need_no_explanation() -> None:
    class Odd(Parameters):
        """A number that is explained."""

        size: int = parameter(1, "Size.", explains=f"{__name__}:explain")

    with pytest.raises(TypeError, match="'size': only a text"):
        options(Odd)


@pytest.mark.parametrize(
    ("text", "says"), [("remove the haze", r"^Understood: .*haze"), ("take the noise away", r"^Understood: .*noise")]
)
def test_a_prompt_is_explained_as_it_will_be_understood(text: str, says: str) -> None:
    from hsi_app.methods.mphsir.explain import explain
    from hsi_app.methods.mphsir.words import understand

    assert explain(text) == understand(text).sentence()
    assert re.match(says, explain(text))


def test_a_prompt_that_is_unclear_is_answered_by_a_question() -> None:
    from hsi_app.methods.mphsir.explain import explain

    with pytest.raises(ParameterError, match=r"\?$"):
        explain("make it pretty")
