"""What a method is, and which methods there are. Imports no torch: listing methods must stay instant."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from hsi_app.errors import CapabilityError, HsiError, ParameterError
from hsi_app.params import Parameters, options

if TYPE_CHECKING:
    from hsi_app.jobs import Job
    from hsi_app.problem import Problem, Restoration, Shared
    from hsi_app.scene import Scene

ENTRY_POINTS = "hsi_app.methods"

TASKS: Mapping[str, str] = MappingProxyType(
    {
        "denoise": "Remove random noise",
        "destripe": "Remove stripes, dead lines and impulses",
        "inpaint": "Fill missing samples",
        "sr": "Sharpen to a finer grid (super-resolution)",
        "deblur": "Undo a blur",
        "dehaze": "Remove haze",
        "unmix": "Find materials and their fractions",
        "fuse": "Sharpen with a finer multispectral image (fusion)",
    }
)

# What a method makes: a cube like the one it was given, materials and abundances, or one cube of two images.
Kind = Literal["restore", "unmix", "fuse"]
# Tasks that are a kind of their own: such a method offers no other.
_OWN_KIND: Mapping[str, Kind] = MappingProxyType({"unmix": "unmix", "fuse": "fuse"})


@dataclass(frozen=True)
class Extent:
    """How much of the image a method must see at once.

    kind : 'whole', or 'tile' where it may run piece by piece
    margin_px : context around a tile that its result depends on, px of what it is given; the runner adds what a blur
        that the method is told of reaches
    filling_px : further context for the task 'inpaint'
    overlap_px : px blended between neighbours, for methods whose tiles do not agree exactly
    align_px : tiles begin at multiples of this, for methods that work on a grid of patches
    multiple_of : height and width of what the method is given must be multiples of this
    coarse_margin_px : for 'fuse', context around a tile in px of the hyperspectral image
    memory_factor : peak bytes of a run over the bytes of its float32 input; for 'fuse', of its float32 result
    finer_factor : for 'sr', the bytes beside these over the bytes of the float32 result; None for methods that work on
        the finer grid throughout, which take ``memory_factor`` times the result instead
    pixel_bytes : further peak bytes for each pixel of the result, however few its bands, as networks take
    """

    kind: Literal["whole", "tile"] = "whole"
    margin_px: int = 0
    filling_px: int = 0
    overlap_px: int = 0
    align_px: int = 1
    multiple_of: int = 1
    coarse_margin_px: int = 0
    memory_factor: float = 6.0
    finer_factor: float | None = None
    pixel_bytes: int = 0

    def for_task(self, task: str) -> Extent:
        """With the margin that a task needs."""
        return replace(self, margin_px=self.margin_px + self.filling_px) if task == "inpaint" else self


@dataclass(frozen=True)
class Reference:
    """A publication to cite: text as in a reference list, and its identifier (DOI or arXiv)."""

    text: str
    identifier: str = ""


@dataclass(frozen=True)
class MethodSpec:
    """A method, described without importing it.

    ``run`` and ``prepare`` are 'module:function'. ``run(problem, params, job) -> Restoration`` restores or unmixes one
    cube or tile. ``prepare(scene, params, task, job) -> Shared`` runs once per scene before any tile, so that
    all tiles share one subspace, noise level or factor. A method of the task 'unmix' has no other; it prepares what
    ``hsi_app.unmixing.model.Model`` reads. Neither has one of the task 'fuse': its ``prepare`` is given a
    ``hsi_app.fusion.pair.Pair`` in place of the scene, its ``run`` the tiles of the multispectral image.

    needs_registration : for 'fuse', True where the method must know where one image lies on the other
    """

    id: str
    title: str
    summary: str
    tasks: tuple[str, ...]
    parameters: type[Parameters]
    run: str
    prepare: str | None = None
    extent: Extent = Extent()
    is_stochastic: bool = False
    is_bf16_safe: bool = False
    weights: tuple[str, ...] = ()
    references: tuple[Reference, ...] = ()
    limits: tuple[str, ...] = ()
    needs_registration: bool = False

    def __post_init__(self) -> None:
        unknown = [task for task in self.tasks if task not in TASKS]
        if unknown or not self.tasks:
            raise ParameterError(f"method '{self.id}' lists tasks {self.tasks}; known are {', '.join(TASKS)}.")
        for task in _OWN_KIND:
            if task in self.tasks and (len(self.tasks) > 1 or self.prepare is None):
                raise ParameterError(f"method '{self.id}' is to {task}; it needs 'prepare' and can have no other task.")

    @property
    def kind(self) -> Kind:
        """What it makes."""
        return _OWN_KIND.get(self.tasks[0], "restore")

    def check_task(self, task: str | None) -> str:
        """The task to do: the one asked for, or the method's first.

        Raises CapabilityError if the method does not offer it.
        """
        if task is None:
            return self.tasks[0]
        if task not in self.tasks:
            raise CapabilityError(f"method '{self.id}' cannot {task}; it offers {', '.join(self.tasks)}.")
        return task

    def load_run(self) -> Callable[[Problem, Any, Job], Restoration]:
        """Import and return the method's function (this is where torch is paid for).

        Raises CapabilityError if its code is not there.
        """
        return _code(self.id, self.run)

    def load_prepare(self) -> Callable[[Scene, Any, str, Job], Shared] | None:
        """Import and return the scene-wide preparation, or None."""
        return None if self.prepare is None else _code(self.id, self.prepare)


def _load(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def _code(spec_id: str, where: str) -> Any:
    try:
        return _load(where)
    except (ImportError, AttributeError) as error:
        raise CapabilityError(f"method '{spec_id}' cannot run: {error}; reinstall the package it comes in.") from error


_BUILT_IN = {
    "lowrank": "hsi_app.methods.lowrank.spec:SPEC",
    "hirdiff": "hsi_app.methods.hirdiff.spec:SPEC",
    "dds2m": "hsi_app.methods.dds2m.spec:SPEC",
    "mphsir": "hsi_app.methods.mphsir.spec:SPEC",
    "fcls": "hsi_app.methods.unmixing.spec:FCLS",
    "nmf": "hsi_app.methods.unmixing.spec:NMF",
    "l12-nmf": "hsi_app.methods.unmixing.spec:L12_NMF",
    "rrlbs": "hsi_app.methods.unmixing.spec:RRLBS",
    "sunsal": "hsi_app.methods.unmixing.spec:SUNSAL",
    "joint": "hsi_app.methods.fusion.spec:JOINT",
    "u2mdn": "hsi_app.methods.fusion.spec:U2MDN",
    "ridge": "hsi_app.methods.fusion.spec:RIDGE",
    "gsa": "hsi_app.methods.fusion.spec:GSA",
    "cnmf": "hsi_app.methods.fusion.spec:CNMF",
}


@cache
def _catalogue() -> tuple[Mapping[str, MethodSpec], Mapping[str, str]]:
    found: dict[str, MethodSpec] = {}
    broken: dict[str, str] = {}
    for name, where in _BUILT_IN.items():
        found[name] = _load(where)
    for entry in metadata.entry_points(group=ENTRY_POINTS):
        try:
            spec = entry.load()
            if not isinstance(spec, MethodSpec):
                raise TypeError(f"{entry.value} is a {type(spec).__name__}, not a MethodSpec")
            if spec.id in found:
                raise ValueError(f"id '{spec.id}' is taken by another method")
            options(spec.parameters)  # a type that no form can show must not wait for the first user
        # A stranger's package may fail in any way; the rest must go on, and the user is told.
        except (Exception, HsiError) as error:
            broken[entry.name] = f"{type(error).__name__}: {error}"
        else:
            found[spec.id] = spec
    return MappingProxyType(found), MappingProxyType(broken)


def methods(kind: Kind | None = None) -> Mapping[str, MethodSpec]:
    """Every usable method by id, built in and from installed packages; those of one kind where given."""
    known = _catalogue()[0]
    return known if kind is None else MappingProxyType({k: spec for k, spec in known.items() if spec.kind == kind})


def broken_methods() -> Mapping[str, str]:
    """Installed third-party methods that failed to load: entry-point name and reason."""
    return _catalogue()[1]


def method(name: str | MethodSpec, kind: Kind | None = None) -> MethodSpec:
    """The method of that id (or the specification itself), and of that kind where given.

    Raises ParameterError, with the nearest name or the right command, if there is none.
    """
    spec = name if isinstance(name, MethodSpec) else methods().get(name)
    if spec is not None:
        if kind not in (None, spec.kind):
            raise ParameterError(
                f"method '{spec.id}' is made to {spec.kind}, not to {kind}; use 'hsi-app {spec.kind} {spec.id}'."
            )
        return spec
    assert isinstance(name, str)
    known = methods(kind)
    if name in broken_methods():
        raise ParameterError(f"method '{name}' is installed but broken: {broken_methods()[name]}.")
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise ParameterError(f"no method '{name}'; there are: {', '.join(known)}.{hint}")
