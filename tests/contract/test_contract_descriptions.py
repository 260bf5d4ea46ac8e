"""A method's description is complete: all faces are made from it, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import FrozenInstanceError

import pytest

from hsi_app.errors import CapabilityError, ParameterError
from hsi_app.methods.registry import TASKS, Extent, MethodSpec, method, methods
from hsi_app.params import Option, Parameters, options, parameter


def other_value(option: Option) -> object:
    """A legal value that is not the default."""
    if option.kind == "bool":
        return not option.default
    if option.kind == "choice":
        return next(choice for choice in option.choices if choice != option.default)
    if option.kind == "text":
        return f"{option.default}x"
    bounds = (option.lower, option.lower_open), (option.upper, option.upper_open)
    for bound, is_open in bounds:
        if bound is not None and not is_open and bound != option.default:
            return int(bound) if option.kind == "int" else float(bound)
    return (option.default or 0) + 1


def toml_of(values: dict[str, object]) -> str:
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())


def test_the_id_can_be_typed(spec: MethodSpec) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]*", spec.id)


def test_title_and_summary_are_one_line_each(spec: MethodSpec) -> None:
    for text in (spec.title, spec.summary):
        assert text.strip() == text != ""
        assert "\n" not in text
    assert spec.summary.endswith(".")


def test_it_cites_its_sources_so_that_they_can_be_found(spec: MethodSpec) -> None:
    assert spec.references
    for reference in spec.references:
        assert re.search(r"\b(19|20)\d\d\b", reference.text), reference.text
        assert re.match(r"(doi:10\.\d{4,}/\S+|arXiv:\d{4}\.\d{4,5})$", reference.identifier), reference.identifier


def test_it_says_where_it_fails(spec: MethodSpec) -> None:
    assert spec.limits


def test_every_option_is_described_with_its_source(spec: MethodSpec) -> None:
    for option in options(spec.parameters):
        assert option.description.endswith("."), option.name
        assert option.source, option.name


def test_every_number_has_a_bound_for_the_form(spec: MethodSpec) -> None:
    for option in options(spec.parameters):
        if option.kind in ("int", "float"):
            assert option.lower is not None, option.name


def test_an_option_that_may_be_found_from_the_data_is_found_by_default(spec: MethodSpec) -> None:
    # Recipes leave such options out; another default would come back in their place.
    for option in options(spec.parameters):
        if option.is_optional:
            assert option.default is None, option.name


def test_defaults_are_legal(spec: MethodSpec) -> None:
    given = {o.name: other_value(o) for o in options(spec.parameters) if o.is_required}
    spec.parameters.parse(spec.parameters.parse(given).plain())


def test_options_survive_toml_and_json(spec: MethodSpec) -> None:
    needed = {o.cli_name: other_value(o) for o in options(spec.parameters) if o.is_required}
    for option in options(spec.parameters):
        params = spec.parameters.parse({**needed, option.cli_name: other_value(option)})
        plain = params.plain()
        assert spec.parameters.parse(tomllib.loads(toml_of(plain))) == params, option.name
        assert spec.parameters.parse(json.loads(json.dumps(plain))) == params, option.name


def test_a_description_cannot_be_changed(spec: MethodSpec) -> None:
    with pytest.raises(FrozenInstanceError):
        spec.id = "other"  # type: ignore[misc]


def test_its_code_is_where_it_says(spec: MethodSpec) -> None:
    assert callable(spec.load_run())
    assert spec.prepare is None or callable(spec.load_prepare())


def test_describing_a_method_imports_no_heavy_package(spec: MethodSpec) -> None:
    module = spec.parameters.__module__
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}; import {module};"
        "print([m for m in ('torch', 'diffusers', 'scipy', 'matplotlib', 'napari') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_margin_of_aligned_tiles_is_aligned_too(spec: MethodSpec) -> None:
    for task in spec.tasks:
        extent: Extent = spec.extent.for_task(task)
        assert extent.margin_px % extent.align_px == 0


def test_tasks_are_known_and_refused_when_not_offered(spec: MethodSpec) -> None:
    assert spec.check_task(None) == spec.tasks[0]
    for task in TASKS:
        if task in spec.tasks:
            assert spec.check_task(task) == task
        else:
            with pytest.raises(CapabilityError, match="it offers"):
                spec.check_task(task)


def test_an_unknown_method_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ParameterError, match="Did you mean 'lowrank'"):
        method("lowrnak")


def test_a_specification_with_an_unknown_task_is_refused() -> None:
    class Nothing(Parameters):
        """No options."""

        x: int = parameter(0, "X.", ge=0)

    with pytest.raises(ParameterError, match="known are denoise"):
        MethodSpec("x", "X", "X.", ("polish",), Nothing, "m:f")


def test_the_registry_cannot_be_written_to() -> None:
    with pytest.raises(TypeError):
        methods()["x"] = None  # type: ignore[index]
