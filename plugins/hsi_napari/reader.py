"""napari reader: files become lazy cube layers; what is no cube is left to other readers at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hsi_napari import readout
from hsi_napari.layers import cube_to_layer
from hsi_napari.placing import LayerData

# Data files that an ENVI header speaks for.
_ENVI_DATA = {".bsq", ".bil", ".bip", ".dat", ".img", ".raw", ".sli"}

Reader = Callable[[str | Sequence[str]], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """The reader for one path or several, or None if any of them is no cube (told from a short look at each)."""
    from hsi_app.io import can_read

    paths = _listed(path)
    return read if paths and all(can_read(p) for p in paths) else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """One image layer a cube; the values stay in the file until they are looked at.

    Raises
    ------
    FormatError
        If a file cannot be read as what it claims to be.
    """
    from hsi_app.io import open_cube

    layers = [cube_to_layer(open_cube(p)) for p in once_each(_listed(path))]
    readout.attach_to_current()
    return layers


def _listed(path: str | Sequence[str]) -> list[str]:
    return [str(path)] if isinstance(path, str | Path) else [str(p) for p in path]


def once_each(paths: list[str]) -> list[str]:
    """Leave out data files whose header is in the list too: both are often dropped on the window together."""
    headers = {Path(p).with_suffix("") for p in paths if p.lower().endswith(".hdr")}

    def is_doubled(path: Path) -> bool:
        return path.suffix.lower() in _ENVI_DATA and (path.with_suffix("") in headers or path in headers)

    return [p for p in paths if not is_doubled(Path(p))]
