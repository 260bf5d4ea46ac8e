"""Small output files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.errors import OutputError


def check_target(path: str | Path, *, overwrite: bool = False) -> Path:
    """Make sure, before any work, that a file may be written.

    Raises
    ------
    OutputError
        If the folder is missing or not writable, the name is a folder's, or the file exists and must not be
        replaced.
    """
    target = Path(path)
    folder = target.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"folder '{folder}' does not exist, so '{target.name}' cannot go there; create it first.")
    if target.is_dir():
        raise OutputError(f"'{target}' is a folder; name a file in it.")
    if target.exists() and not overwrite:
        raise OutputError(f"'{target}' exists already; choose another name or add --overwrite.")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"folder '{folder}' is not writable; choose another one.")
    return target


def write_text(path: str | Path, text: str, *, overwrite: bool = False) -> Path:
    """Write a UTF-8 text file as ``write_bytes`` does."""
    return write_bytes(path, text.encode(), overwrite=overwrite)


def write_bytes(path: str | Path, content: bytes, *, overwrite: bool = False) -> Path:
    """Write a file under a temporary name, then give it its own.

    Raises OutputError as ``check_target`` does, and if the disk refuses.
    """
    target = check_target(path, overwrite=overwrite)
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=target.absolute().parent, prefix=f".{target.name}.", suffix=".part", delete=False
        ) as handle:
            temporary = Path(handle.name)
            handle.write(content)
        follow_umask(temporary)
        temporary.replace(target)
    except OSError as error:
        raise OutputError(
            f"'{target}' cannot be written: {error.strerror or error}; free space or change --out."
        ) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return target


def follow_umask(path: Path) -> None:
    """Give a temporary file or folder, which is private to its owner, the permissions that the user's umask leaves."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def to_json(value: Any) -> str:
    """Indented JSON of plain values, NumPy numbers and arrays; NaN and infinities, which JSON lacks, become null."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Numbers, lists and dicts that JSON can hold; NaN and infinities become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value if value is None or isinstance(value, str) else str(value)
