"""Which colour picture of a cube is wanted: the presets, the three bands, the stretch. Knows no window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hsi_app.bands import INFRARED_NM, TRUE_COLOUR_NM, BandAxis
from hsi_app.composite import REACH_NM, SHORTWAVE_NM, Stretch, reaches

CUSTOM, DIFFERENT = "custom", "different"


@dataclass(frozen=True)
class Preset:
    """A way to choose three bands.

    name : stays the same in files and code; title : for people
    targets_nm : for red, green and blue; empty where the bands are found or chosen
    """

    name: str
    title: str
    targets_nm: tuple[float, ...] = ()
    explains: str = ""


PRESETS = (
    Preset("colour", "True colour", TRUE_COLOUR_NM, "As the eye sees it: bands nearest to 640, 550 and 465 nm"),
    Preset("infrared", "Colour infrared", INFRARED_NM, "860, 650 and 550 nm: vegetation is red"),
    Preset("shortwave", "Short-wave infrared", SHORTWAVE_NM,
           "2200, 860 and 650 nm: bare and burnt ground red, vegetation green, water dark"),
    Preset(DIFFERENT, "Most different bands", (),
           "The three bands with the least correlation, without noisy ones (Sheffield 1985); takes some seconds"),
    Preset(CUSTOM, "Custom", (), "The bands chosen below"),
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """One picture: three band indices from 0 for red, green and blue, and how they are stretched."""

    bands: tuple[int, int, int]
    stretch: Stretch = field(default_factory=Stretch)


def preset_bands(preset: Preset, axis: BandAxis) -> tuple[int, int, int]:
    """The bands of a preset with wavelengths."""
    return axis.composite(preset.targets_nm)


def preset_note(preset: Preset, axis: BandAxis) -> str:
    """What a person should know of a preset on this cube; '' where it is what its name says."""
    if not preset.targets_nm or reaches(axis, preset.targets_nm):
        return ""
    if axis.centres_nm is None:
        return "No wavelengths are known: the three bands are spread over the spectrum."
    asked = ", ".join(f"{target:g}" for target in preset.targets_nm)
    return f"No good bands lie within {REACH_NM:g} nm of {asked} nm: the three are spread over the spectrum instead."


def look_text(axis: BandAxis, bands: Sequence[int]) -> str:
    """'640.0 · 550.0 · 465.0 nm', or '17 · 11 · 5' in band numbers from 1."""
    if axis.centres_nm is None:
        return " · ".join(str(band + 1) for band in bands)
    return " · ".join(f"{axis.centres_nm[band]:.1f}" for band in bands) + " nm"
