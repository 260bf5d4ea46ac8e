"""Where the work runs: device, number types, memory budget and out-of-memory."""

from __future__ import annotations

import re
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from hsi_app.errors import CapabilityError, ParameterError

if TYPE_CHECKING:
    import torch

# Number types, in one place: tensors are float32, Gram matrices float64 (a float32 Gram loses directions
# below 3e-4 of the largest singular value), bfloat16 only inside `reduced_precision`.
WORKING_DTYPE = "float32"
GRAM_DTYPE = "float64"

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def choose_device(name: str = "auto") -> torch.device:
    """The torch device for 'auto', 'cpu', 'cuda' or 'cuda:1'.

    Raises
    ------
    ParameterError
        If the name is none of these.
    CapabilityError
        If a GPU is asked for that is not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ParameterError(f"device '{name}' is unknown; use auto, cpu, cuda or cuda:0.")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise CapabilityError(f"device '{name}' was asked for, {count} GPUs are usable here; use --device cpu.")
    return device


def gpu_count() -> int:
    """NVIDIA GPUs that this process may use, found without importing torch; 0 where that cannot be told."""
    import os
    from pathlib import Path

    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return len([name for name in listed.split(",") if name.strip() not in ("", "-1")])
    known = Path("/proc/driver/nvidia/gpus")
    return len(list(known.iterdir())) if known.is_dir() else 0


def reduced_precision(device: torch.device, is_safe: bool) -> AbstractContextManager[object]:
    """bfloat16 autocast on a GPU where a method declares it safe; otherwise nothing."""
    import torch

    if is_safe and device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def parse_memory(text: str) -> int:
    """Bytes for '8G', '512M', '1.5GiB' or a plain number of bytes (units of 1024).

    Raises ParameterError for anything else.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if not match or float(match[1]) <= 0:
        raise ParameterError(f"memory '{text}' is no size; write for example 8G or 512M.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def format_bytes(count: float) -> str:
    """'1.5 GiB' for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def default_memory() -> int:
    """The budget when none is given: three quarters of the memory that is free now, in bytes."""
    import psutil

    return int(0.75 * psutil.virtual_memory().available)


def resident_memory() -> int:
    """Bytes this process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_memory() -> int:
    """Largest number of bytes this process ever held."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return int(getattr(psutil.Process().memory_info(), "peak_wset", resident_memory()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def is_out_of_memory(error: BaseException) -> bool:
    """True for every way Python and torch say that an allocation failed."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # torch's CPU allocator raises a plain RuntimeError; its class says nothing, so its words must.
    words = str(error)
    return isinstance(error, RuntimeError) and ("can't allocate memory" in words or "not enough memory" in words)
