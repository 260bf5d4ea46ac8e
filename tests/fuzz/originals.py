"""Small valid files of each kind, and their mutants: (kind, number) always gives the same one."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import random
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.georef import GeoRef
from hsi_app.io import save_cube
from tests.fuzz.mutations import mutate_bytes, mutate_text

# (H, W, B) as containers keep it.
SCENE = np.arange(6 * 5 * 4, dtype="f4").reshape(6, 5, 4)
CENTRES = np.array([450.0, 550.0, 650.0, 750.0])
HUGE = (2**20, 2**31, 2**40, 2**62)
RECIPE = """seed = 11
bad-bands = "restore"
keep-observed = false
tile = 64
scale = 3
psf-fwhm = 2.5

[[steps]]
method = "lowrank"
task = "destripe"

[steps.params]
rank = 4
strength = 0.5

[[steps]]
method = "lowrank"
task = "sr"

[steps.params]
denoiser = "dct"
"""
LIBRARY = "wavelength_nm,grass,soil\n450.0,0.05,0.10\n550.0,0.12,0.15\n650.0,0.06,0.20\n750.0,0.45,0.25\n"


class Trap:
    """Makes a folder 'unpickled' beside the mutant when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


def _cube() -> Cube:
    axis = BandAxis(4, CENTRES, np.full(4, 9.5), np.array([0, 1, 0, 0], bool), ("blue", "green", "red", "far red"))
    frame = GeoRef((30.0, 0.0, 380_010.5, 0.0, -30.0, 5_820_000.25), "EPSG:32633")
    facts = {"sensor type": "HyMap", "description": "over Berlin"}
    return Cube(
        np.ascontiguousarray(SCENE.transpose(2, 0, 1)), axis, nodata=-9999, georef=frame, gain=1e-4,
        unit="reflectance", facts=facts, history=("made", "cut"),
    )  # fmt: skip


@cache
def _saved(name: str) -> dict[str, bytes]:
    """The files of the scene as we write it under a name."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_cube(_cube(), folder / name)
        return {
            str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
        }


@cache
def _written(kind: str) -> bytes:
    """A container as other programs write it."""
    from scipy.io import netcdf_file, savemat

    stream = io.BytesIO()
    inner: dict[str, Any] = {"scene": SCENE, "wavelength": CENTRES}
    if kind in ("mat", "mat of structures"):
        if kind == "mat of structures":
            inner = {"hsi": {"data": SCENE, "info": {"wavelength": CENTRES}}, "names": np.array(["a", "b"], "O")}
        savemat(stream, inner)
        # The text at the start tells the time of writing.
        return b"MATLAB 5.0 MAT-file".ljust(124) + stream.getvalue()[124:]
    if kind == "netcdf":
        with netcdf_file(stream, "w") as file:
            for name, size in (("y", 6), ("x", 5), ("band", 4)):
                file.createDimension(name, size)
            file.createVariable("scene", "f4", ("y", "x", "band"))[:] = SCENE
            wavelength = file.createVariable("wavelength", "f4", ("band",))
            wavelength[:] = CENTRES
            wavelength.units = "nm"
            file.flush()
            return stream.getvalue()
    raise AssertionError(kind)


def _packed_mat(rng: random.Random) -> bytes:
    """A MATLAB file of packed elements, damaged before they were packed, or after."""
    whole = _written(rng.choice(("mat", "mat of structures")))
    packed, at = whole[:128], 128
    while at < len(whole):
        end = at + 8 + int.from_bytes(whole[at + 4 : at + 8], "little")
        element = zlib.compress(whole[at:end] if rng.random() < 0.4 else mutate_bytes(whole[at:end], rng))
        packed, at = packed + (15).to_bytes(4, "little") + len(element).to_bytes(4, "little") + element, end
    return packed if rng.random() < 0.8 else mutate_bytes(packed, rng)


def _hdf5(rng: random.Random, *, matlab: bool = False) -> bytes:
    """An HDF5 file, now and then one whose array claims to be huge and holds next to nothing."""
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w", **({"userblock_size": 512} if matlab else {})) as file:
        if rng.random() < 0.2:
            shape = [6, 5, 4]
            for axis in rng.sample(range(3), rng.randint(1, 2)):
                shape[axis] = rng.choice(HUGE[:3])
            wanted = rng.choice(((1, 1, 1), (6, 5, 4), (2**10, 2**10, 2**8)))
            chunks = tuple(min(pair) for pair in zip(shape, wanted, strict=True))
            scene = file.create_dataset("scene", tuple(shape), "f4", chunks=chunks, compression="gzip")
        else:
            scene = file.create_dataset("scene", data=SCENE.T if matlab else SCENE)
        scene.attrs["units"], scene.attrs["Scale_Factor"], scene.attrs["_FillValue"] = "reflectance", 1e4, -1.0
        file["wavelength"] = CENTRES
        file["wavelength"].attrs["units"] = "nm"
        file["Map_Info"] = "UTM, 1, 1, 320000, 4100000, 1, 1, 11, North, WGS-84, units=Meters"
        file["names"] = np.array([b"a", b"b"])
    return stream.getvalue()


def _own_hdf5(rng: random.Random) -> bytes:
    """Our own HDF5 file with damaged facts."""
    import h5py

    from hsi_app.io.hdf5 import FACTS_NAME

    stream = io.BytesIO(_saved("scene.h5")["scene.h5"])
    with h5py.File(stream, "r+") as file:
        facts = file[FACTS_NAME][()].decode()
        del file[FACTS_NAME]
        file[FACTS_NAME] = np.bytes_(mutate_text(facts, rng))
    return stream.getvalue()


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _damaged_npy(rng: random.Random) -> bytes:
    """A bare array whose header, samples or both are damaged; or one of objects."""
    if rng.random() < 0.1:
        whole = _npy(np.full((2, 2, 2), Trap(), object))
        return mutate_bytes(whole, rng) if rng.random() < 0.5 else whole
    whole = _npy(SCENE)
    if rng.random() < 0.3:
        return mutate_bytes(whole, rng)
    start = 10 + int.from_bytes(whole[8:10], "little")
    text = mutate_text(whole[10:start].decode("latin-1"), rng)[: 2**16 - 1]
    return whole[:8] + len(text).to_bytes(2, "little") + text + whole[start:]


def _npz(rng: random.Random) -> bytes:
    stream = io.BytesIO()
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    members = {"scene.npy": _npy(SCENE), "wavelength.npy": _npy(CENTRES), "unit.npy": _npy(np.array("nm"))}
    hurt = rng.choice(("member", "member", "archive", "names"))
    if hurt == "member":
        members[rng.choice(sorted(members))] = _damaged_npy(rng)
    if hurt == "names":
        members = {mutate_text(name, rng).decode("utf-8", "replace") or "a": data for name, data in members.items()}
        members["../../outside.npy"] = members["/tmp/outside.npy"] = pickle.dumps(Trap())
    with zipfile.ZipFile(stream, "w", packing) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, packing)
    return mutate_bytes(stream.getvalue(), rng) if hurt == "archive" else stream.getvalue()


def _tiff(rng: random.Random) -> bytes:
    """A GeoTIFF: bytes damaged, or the texts inside it."""
    whole = _saved("scene.tif")["scene.tif"]
    if rng.random() < 0.6:
        return mutate_bytes(whole, rng)
    # The text keeps its length, as the file's directory has it.
    start, stop = whole.index(b"<GDALMetadata>"), whole.index(b"</GDALMetadata>")
    text = mutate_text(whole[start:stop].decode(), rng)
    return whole[:start] + text[: stop - start].ljust(stop - start) + whole[stop:]


def _zarr(rng: random.Random) -> dict[str, bytes]:
    files = dict(_saved("scene.zarr"))
    if rng.random() < 0.3:
        chunk = next(name for name in files if not name.endswith("zarr.json"))
        files[chunk] = mutate_bytes(files[chunk], rng)
        return files
    if rng.random() < 0.3:
        meta = {"zarr_format": 2, "shape": [6, 5, 4], "chunks": [6, 5, 4], "dtype": "<f4", "fill_value": 0,
                "compressor": rng.choice((None, {"id": "zlib", "level": 1}, {"id": "pickle"})), "order": "C",
                "filters": rng.choice((None, [{"id": "pickle"}], [{"id": "vlen-utf8"}, {"id": "pickle"}]))}  # fmt: skip
        return {
            "scene.zarr/.zarray": mutate_text(json.dumps(meta), rng),
            "scene.zarr/0.0.0": rng.choice((SCENE.tobytes(), pickle.dumps(Trap()))),
        }
    files["scene.zarr/zarr.json"] = mutate_text(files["scene.zarr/zarr.json"].decode(), rng)
    return files


def _envi(rng: random.Random) -> dict[str, bytes]:
    files = dict(_saved("scene.hdr"))
    data = files.pop("scene.bsq")
    if rng.random() < 0.2:
        data = gzip.compress(data, mtime=0)
        if rng.random() < 0.3:
            # A trailer that says any length.
            data = data[:-4] + rng.randbytes(4)
    elif rng.random() < 0.1:
        data = mutate_bytes(data, rng)
    return {"scene.bsq": data, "scene.hdr": mutate_text(files["scene.hdr"].decode(), rng)}


_MAKERS: dict[str, Callable[[random.Random], bytes | dict[str, bytes]]] = {
    "envi": _envi,
    "geotiff": _tiff,
    "mat": lambda rng: mutate_bytes(_written("mat"), rng),
    "packed mat": _packed_mat,
    "mat of structures": lambda rng: mutate_bytes(_written("mat of structures"), rng),
    "mat 7.3": lambda rng: mutate_bytes(_hdf5(rng, matlab=True), rng),
    "hdf5": lambda rng: mutate_bytes(_hdf5(rng), rng) if rng.random() < 0.8 else _hdf5(rng),
    "own hdf5": _own_hdf5,
    "npy": _damaged_npy,
    "npz": _npz,
    "netcdf": lambda rng: mutate_bytes(_written("netcdf"), rng),
    "zarr": _zarr,
    "recipe": lambda rng: mutate_text(RECIPE, rng),
    "library": lambda rng: mutate_text(LIBRARY, rng),
}
_NAMES = {
    "envi": "scene.hdr", "geotiff": "scene.tif", "mat": "scene.mat", "packed mat": "scene.mat",
    "mat of structures": "scene.mat", "mat 7.3": "scene.mat", "hdf5": "scene.h5", "own hdf5": "scene.h5",
    "npy": "scene.npy", "npz": "scene.npz", "netcdf": "scene.nc", "zarr": "scene.zarr", "recipe": "scene.toml",
    "library": "scene.csv",
}  # fmt: skip
KINDS = tuple(_MAKERS)


def write_mutant(kind: str, number: int, folder: Path) -> Path:
    """Write mutant ``number`` of a kind into an empty folder, and give the path under which it is opened."""
    made = _MAKERS[kind](random.Random(f"{kind} {number}"))
    files = made if isinstance(made, dict) else {_NAMES[kind]: made}
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(content)
    return folder / _NAMES[kind]
