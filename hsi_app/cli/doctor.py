"""``hsi-app doctor``: is everything there that the program needs, and what is missing for the rest."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import click

from hsi_app.device import format_bytes
from hsi_app.files import to_json
from hsi_app.methods.registry import broken_methods, methods
from hsi_app.versions import versions

# Packages behind each optional extra, by import name; the Qt binding is looked for by itself.
_EXTRAS = {"gui": ("napari", "qtpy", "pyqtgraph"), "samples": ("tensorly",)}
_QT_BINDINGS = ("PySide6", "PyQt6", "PyQt5", "PySide2")
_GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the check; ``state`` 'failed' makes the command fail, 'absent' and 'warning' do not."""

    topic: str
    state: Literal["ok", "warning", "absent", "failed"]
    text: str


@click.command(short_help="Check that everything needed is there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Check versions, device, memory, disk, display, file formats, sample data and methods.

    Exits with 1 if something needed does not work; extras that are absent are only named.
    """
    findings = [
        *_versions(), _device(), *_memory_and_disk(), _gdal(), _samples(), *_extras(), _display(), *_methods(),
    ]  # fmt: skip
    is_well = all(finding.state != "failed" for finding in findings)
    if as_json:
        rows = [{"topic": f.topic, "state": f.state, "text": f.text} for f in findings]
        click.echo(to_json({"ok": is_well, "findings": rows}))
    else:
        for finding in findings:
            click.echo(f"{finding.state:<8} {finding.topic:<12} {finding.text}")
    if not is_well:
        click.get_current_context().exit(1)


def _versions() -> list[Finding]:
    found = versions()
    lines = [Finding("versions", "ok", ", ".join(f"{name} {version}" for name, version in found.items()))]
    try:
        # PySide6 6.12.0 aborts Python 3.11: a wrong reference count of None.
        if metadata.version("PySide6-Essentials").startswith("6.12.0") and sys.version_info[:2] == (3, 11):
            text = "PySide6 6.12.0 crashes Python 3.11; run: pip install 'PySide6-Essentials<6.12'."
            lines.append(Finding("Qt", "failed", text))
    except metadata.PackageNotFoundError:
        pass
    return lines


def _device() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("device", "failed", f"torch cannot be loaded: {error}; reinstall it.")
    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return Finding("device", "ok", "; ".join(f"{c.name}, {format_bytes(c.total_memory)}" for c in cards))
    return Finding("device", "ok", f"cpu, {torch.get_num_threads()} threads; no usable GPU")


def _memory_and_disk() -> list[Finding]:
    import psutil

    memory = psutil.virtual_memory()
    text = f"{format_bytes(memory.available)} free of {format_bytes(memory.total)}"
    free = shutil.disk_usage(Path.cwd()).free
    is_writable = os.access(Path.cwd(), os.W_OK)
    return [
        Finding("memory", "ok" if memory.available > _GIB else "warning", text),
        Finding("disk", "ok" if free > _GIB and is_writable else "warning",
                f"{format_bytes(free)} free in {Path.cwd()}" + ("" if is_writable else ", which is not writable")),
    ]  # fmt: skip


def _gdal() -> Finding:
    try:
        import rasterio
        from rasterio.drivers import raster_driver_extensions
    except (ImportError, OSError) as error:
        return Finding("GDAL", "failed", f"rasterio cannot be loaded: {error}; reinstall it.")
    with rasterio.Env() as env:
        drivers = env.drivers()
    wanted = [name for name in ("GTiff", "ENVI", "netCDF", "HDF5", "HDF4", "COG", "JP2OpenJPEG") if name in drivers]
    text = f"{rasterio.__gdal_version__}, {len(drivers)} drivers ({', '.join(wanted)}),"
    text += f" writes {len(set(raster_driver_extensions()))} extensions"
    return Finding("GDAL", "ok" if "GTiff" in drivers else "failed", text)


def _samples() -> Finding:
    try:
        import hsi_sample_data
    except ImportError as error:
        return Finding("sample data", "failed", f"missing: {error}; reinstall hsi-app.")
    absent = [name for name in hsi_sample_data.names() if not hsi_sample_data.path(name).is_file()]
    if absent:
        return Finding("sample data", "failed", f"missing: {', '.join(absent)}; reinstall hsi-app.")
    return Finding("sample data", "ok", str(hsi_sample_data.path("scene_noisy").parent))


def _extras() -> list[Finding]:
    lines = []
    for extra, packages in _EXTRAS.items():
        absent = [name for name in packages if find_spec(name) is None]
        if extra == "gui" and not any(find_spec(name) for name in _QT_BINDINGS):
            absent.append("a Qt binding")
        install = f'pip install "hsi-app[{extra}]"'
        text = f"without {', '.join(absent)}; to add: {install}" if absent else "installed"
        lines.append(Finding(f"[{extra}]", "absent" if absent else "ok", text))
    return lines


def _display() -> Finding:
    if sys.platform not in ("win32", "darwin") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return Finding("display", "absent", "none (DISPLAY is not set): the viewer cannot open here, the rest works")
    return Finding("display", "ok", os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or sys.platform)


def _methods() -> list[Finding]:
    lines = [Finding("methods", "ok" if methods() else "failed", ", ".join(methods()) or "none")]
    lines += [Finding("methods", "warning", f"{name} is broken: {why}") for name, why in broken_methods().items()]
    return lines
