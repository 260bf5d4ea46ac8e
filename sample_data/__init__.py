"""Small cubes to try the program on: a simulated river valley with its truth, and a table of spectra.

>>> path("scene_noisy").name
'scene_noisy.hdr'
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_FILES = {
    "scene_clean": ("scene_clean.hdr", "river valley, 90 bands of 405-2436 nm, 96 x 80 pixels of 8 m, without noise"),
    "scene_noisy": ("scene_noisy.hdr", "the same with noise, stripes, dead lines, impulses and a missing corner"),
    "scene_msi": ("scene_msi.hdr", "the same ground in blue, green, red and near infrared at 2 m, slightly misplaced"),
    "scene_abundances": ("scene_abundances.hdr", "area fraction of each of 14 materials in the pixels of scene_clean"),
    "library": ("library.csv", "reflectance of the 14 materials, 380-2490 nm in steps of 10 nm"),
}


def names() -> dict[str, str]:
    """The bundled samples: name and one-line description."""
    return {name: description for name, (_, description) in _FILES.items()}


def path(name: str) -> Path:
    """Where a bundled sample lies; of an ENVI image the header.

    Raises
    ------
    KeyError
        If there is no sample of that name; the message lists those there are.
    """
    if name not in _FILES:
        raise KeyError(f"no sample is called '{name}'; choose one of {', '.join(_FILES)}.")
    return Path(__file__).with_name(_FILES[name][0])


def indian_pines() -> tuple[np.ndarray, None]:
    """The AVIRIS scene Indian Pines (Baumgardner et al. 2015), real radiance over farmland in Indiana, June 1992.

    The file comes with the optional package ``tensorly``; the scene is licensed CC BY 3.0.

    Returns
    -------
    values : (200, 145, 145) uint16, (band, row, col), raw sensor counts
        The 20 water-vapour bands of the 220 were taken out by those who passed the scene on.
    wavelengths_nm : None
        The package lists 200 wavelengths, but they jump back near 2270 nm, so they cannot be those of the bands.

    Raises
    ------
    ImportError
        If ``tensorly`` is not installed.
    """
    try:
        from tensorly.datasets import load_indian_pines  # type: ignore[import-untyped]
    except ImportError as missing:
        raise ImportError(
            "Indian Pines comes with the package 'tensorly', which is not installed; "
            "run: pip install 'hsi-app[samples]'.",
            name="tensorly",
        ) from missing
    import numpy as np

    cube = np.asarray(load_indian_pines()["tensor"])
    return np.ascontiguousarray(cube.transpose(2, 0, 1).astype(np.uint16)), None
