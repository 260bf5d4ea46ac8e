"""What decides the numbers of a run, so that the state of one is never taken for that of another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.cube import Cube
from hsi_app.methods.registry import MethodSpec
from hsi_app.params import Parameters
from hsi_app.tiling import strips
from hsi_app.versions import versions

if TYPE_CHECKING:
    import torch

# Their rounding differs from version to version.
PACKAGES = ("hsi-app", "torch", "numpy", "scipy")
# About 32 MiB of float32 at a time. Fixed, for the digest depends on it.
_STRIP_SAMPLES = 2**23


def run_facts(
    spec: MethodSpec,
    params: Parameters,
    settings: Mapping[str, Any],
    *,
    cube: Cube,
    mask: np.ndarray | None,
    seed: int,
    device: torch.device,
    on_strip: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Everything beside the plan of tiles that the numbers of a run depend on, as plain values by readable name.

    Reads the whole input once, for its digest: size and time of a file may stay while its content changes. Not part
    of it is what the run only looks at (memory, number of threads), nor a file that an option names.
    """
    known = versions()
    return {
        **{name: known.get(name) for name in PACKAGES},
        "device": _device_name(device),
        "method": spec.id,
        **{f"option {name}": value for name, value in params.model_dump(mode="json").items()},
        **{name.replace("_", "-"): value for name, value in settings.items()},
        "seed": seed,
        "input": cube_digest(cube, on_strip),
        "mask": None if mask is None else _array_digest(mask),
    }


def cube_digest(cube: Cube, on_strip: Callable[[], object] = lambda: None) -> str:
    """Digest of a cube's samples and of the facts that a method sees; its name, path and history do not matter.

    Parameters
    ----------
    cube : may be lazy; read in strips
    on_strip : called before each strip
    """
    bands, height, width = cube.shape
    axis = cube.axis
    found = hashlib.blake2b(repr((cube.shape, str(cube.dtype), cube.nodata)).encode(), digest_size=16)
    for column in (axis.centres_nm, axis.fwhm_nm, axis.is_bad, cube.valid, cube.gain, cube.offset):
        found.update(b"none" if column is None else _array_digest(np.asarray(column)).encode())
    for window in strips((height, width), _STRIP_SAMPLES // (bands * width)):
        on_strip()
        found.update(np.ascontiguousarray(cube.read(window)).data)
    return found.hexdigest()


def _array_digest(array: np.ndarray) -> str:
    found = hashlib.blake2b(f"{array.dtype} {array.shape}".encode(), digest_size=16)
    found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _device_name(device: torch.device) -> str:
    """A GPU by its model: another one adds up in another order."""
    if device.type != "cuda":
        return str(device)
    import torch

    return f"{device.type} {torch.cuda.get_device_name(device)}"
