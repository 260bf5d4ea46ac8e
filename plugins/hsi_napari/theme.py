"""Colours that follow napari's theme."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Lines of pins: distinct for colour-blind eyes and of middle lightness, so that they show on dark and light.
LINE_COLOURS = ("#e8871e", "#3c9dd0", "#2ca25f", "#d1609e", "#b59410", "#8c6bd6", "#d1524f", "#17a2a2")


@dataclass(frozen=True)
class ThemeColours:
    """Colours as '#rrggbb'."""

    text: str
    muted: str
    background: str
    raised: str
    accent: str
    error: str
    warning: str


def theme_colours(theme_id: str) -> ThemeColours:
    """The colours of a napari theme, with a quieter text for notes."""
    from napari.utils.theme import get_theme

    theme = get_theme(theme_id)
    text, background = _hex(theme.text), _hex(theme.background)
    return ThemeColours(
        text=text,
        muted=mixed(text, background, 0.38),
        background=background,
        raised=_hex(theme.foreground),
        accent=_hex(theme.current),
        error=mixed(_hex(theme.error), text, 0.35),
        warning=_hex(theme.warning),
    )


def mixed(first: str, second: str, share: float) -> str:
    """``first`` with a share of ``second`` in it."""
    pairs = zip(_channels(first), _channels(second), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def readable_on(colour: str) -> str:
    """Black or white, whichever can be read on a colour (weights of ITU-R BT.601)."""
    red, green, blue = _channels(colour)
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"


def main_button_style(colours: ThemeColours) -> str:
    """Style sheet of the button that starts the work."""
    ground, letters = colours.accent, readable_on(colours.accent)
    return f"QPushButton:enabled {{ background: {ground}; color: {letters}; font-weight: bold; }}"


def ramp(colour: str) -> dict[str, Any]:
    """A colour map from black to a colour, as napari takes it."""
    top = [channel / 255 for channel in _channels(colour)]
    return {"name": f"black to {colour}", "colors": [[0.0, 0.0, 0.0, 1.0], [*top, 1.0]]}


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _hex(colour: object) -> str:
    red, green, blue = colour.as_rgb_tuple(alpha=False)  # type: ignore[attr-defined]
    return f"#{red:02x}{green:02x}{blue:02x}"
