"""What every run is asked, whatever the method: where to compute, and by which optics the grid of a task follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hsi_app.methods.registry import Kind
from hsi_app.optics import DEFAULT_SCALE, SCALES, WIDEST_FWHM_PX
from hsi_app.params import Option
from hsi_napari import settings

# How to run, whatever the method; shown and checked like a method's own options.
SETTINGS = (
    Option("device", "text", "auto", "Where to compute: auto, cpu, cuda or cuda:1."),
    Option(
        "memory", "text", None, "Host memory the run may use, for example 8G.", is_optional=True,
        unit="auto, or for example 8G", source="three quarters of what is free when not given",
    ),
    Option("seed", "int", 0, "Start of the random numbers; same seed, same result.", lower=0, upper=2**31 - 1),
    Option(
        "bad_bands", "choice", "keep", "Bands marked bad: pass through unchanged, or restore them too.",
        choices=("keep", "restore"),
    ),
    Option(
        "keep_observed", "bool", None, "Put observed samples back unchanged.", is_optional=True,
        source="on when filling gaps, off otherwise",
    ),
    Option(
        "tile", "int", None, "Largest side of a tile.", is_optional=True, lower=32, upper=2**20, unit="px",
        source="follows from the memory when not given",
    ),
)  # fmt: skip

_WIDTH = Option(
    "psf_fwhm", "float", None, "Full width at half maximum of the Gaussian blur, in pixels of the result.",
    lower=0.0, upper=WIDEST_FWHM_PX, lower_open=True, unit="px",
)  # fmt: skip
# What a task is asked beside the method's own options, whatever the method.
OPTICS: Mapping[str, tuple[Option, ...]] = {
    "sr": (
        Option(
            "scale", "int", DEFAULT_SCALE, "How many times finer the grid of the result is.",
            lower=SCALES[0], upper=SCALES[1],
        ),
        replace(_WIDTH, is_optional=True, source="equal to the scale when not given"),
    ),
    "deblur": (replace(_WIDTH, is_required=True),),
}  # fmt: skip

# What becomes of bands marked bad where they are not left out.
_USE: Mapping[Kind, str] = {"restore": "restore", "unmix": "use", "fuse": "sharpen"}


def settings_of(kind: Kind) -> tuple[Option, ...]:
    """How to run methods of a kind, with the person's own defaults from napari's Preferences."""
    if kind == "restore":
        return settings.with_defaults(SETTINGS)
    bad_bands = f"Bands marked bad: leave them out (keep), or {_USE[kind]} them too (restore)."
    # Putting observed samples back is for cubes that were restored.
    kept = [option for option in SETTINGS if option.name != "keep_observed"]
    told = (replace(o, description=bad_bands) if o.name == "bad_bands" else o for o in kept)
    return settings.with_defaults(told)
