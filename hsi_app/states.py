"""Tensors and plain facts in one file that is whole or not there, and that knows when it was damaged."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsi_app.errors import HsiError

if TYPE_CHECKING:
    import torch

# What a file is called until it is whole.
UNFINISHED = ".part"


class StateError(HsiError, OSError):
    """A file of state is damaged, or cannot be written."""


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file of another name in the same folder, bring it to the disk, then give it its own name.

    Raises OSError if the disk refuses; an earlier file of that name is then as it was.
    """
    unfinished = path.with_name(path.name + UNFINISHED)
    try:
        write(unfinished)
        with open(unfinished, "r+b") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    # The name itself must survive a power failure too; where folders cannot be synced it most likely will.
    with suppress(OSError):
        _sync_folder(path.parent)


def write_state(path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors of any device, and facts that JSON can hold; an existing file is replaced in one step.

    Raises
    ------
    StateError
        If the disk refuses.
    TypeError
        If a tensor is complex.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # The format wants dense tensors that share no memory; parts of one tensor become tensors of their own.
    own: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, given in tensors.items():
        if given.is_complex():
            raise TypeError(f"the state '{name}' is complex, which safetensors cannot hold; keep its view_as_real.")
        tensor = given.detach().to("cpu")
        memory = tensor.untyped_storage()
        is_alone = memory.data_ptr() not in seen and memory.nbytes() == tensor.numel() * tensor.element_size()
        seen.add(memory.data_ptr())
        is_dense = is_alone and tensor.is_contiguous()
        own[name] = tensor if is_dense else tensor.clone(memory_format=torch.contiguous_format)
    text = json.dumps(dict(facts))
    notes = {"facts": text, "digest": _digest(own, text)}
    try:
        write_whole(path, lambda unfinished: save_file(own, unfinished, notes))
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise StateError(f"'{path}' could not be written: {' '.join(str(error).split())}.") from error


def read_state(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors, on the host, and facts of a file that ``write_state`` wrote; no code in it is run.

    Raises
    ------
    StateError
        If it is not there, was cut short, or a single bit of it changed.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            # Copies: the file may be removed while they are used.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise StateError(f"'{path}' cannot be read: {' '.join(str(error).split())}.") from error
    text = notes.get("facts", "")
    if notes.get("digest") != _digest(tensors, text):
        raise StateError(f"'{path}' differs from what was written.")
    return tensors, json.loads(text)


def _digest(tensors: Mapping[str, torch.Tensor], text: str) -> str:
    """Of everything in a state: a file of the right length may still hold zeros after a power failure."""
    import torch

    found = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
