"""Damage that was once a traceback, a crash or a heap of memory (found by tests/fuzz) is one line."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import netcdf_file, savemat

from hsi_app.cube import Cube
from hsi_app.errors import LONGEST_LINE, FormatError, HsiError
from hsi_app.io import can_read, list_arrays, open_cube, read_library, save_cube
from hsi_app.io.damage import MOST_BANDS, BoundedFile, check_room
from hsi_app.io.hdf5 import FACTS_NAME

SCENE = np.arange(6 * 5 * 4, dtype="f4").reshape(6, 5, 4)
# 0x0E: a matrix, where the numbers of one should begin.
MATRIX_TAG = b"\x0e\0\0\0"


def refused(path: Path, told: str) -> None:
    assert can_read(path) in (False, True)
    with pytest.raises(FormatError, match=told) as caught:
        open_cube(path).read()
    assert str(caught.value).isprintable()


def npy_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("text", ["{'descr': '<f4', 'shape': (2,", "[" * 3000, "{}", "9" * 5000])
def test_a_header_that_is_no_array_description(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.npy").write_bytes(npy_header(text + "\n"))
    refused(tmp_path / "a.npy", "cannot be read as a .npy file")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("cube.npy", npy_header(text + "\n"))
    refused(tmp_path / "a.npz", "cannot be read as a .npz archive")


@pytest.mark.parametrize("name", ["cube.npy", "spectra.npy"])
@pytest.mark.parametrize("shape", ["(1000000, 1000000, 9)", "(2, 2, 2)"])
def test_an_archive_that_claims_more_than_it_can_hold(tmp_path: Path, name: str, shape: str) -> None:
    kind = "<f4" if shape.startswith("(1") else "<U99999999"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr(name, npy_header(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}\n"))
    refused(tmp_path / "a.npz", "can hold")
    with pytest.raises(FormatError, match="can hold"):
        read_library(tmp_path / "a.npz")


def test_a_packed_member_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, cube=SCENE)
    whole = bytearray(path.read_bytes())
    whole[60:70] = b"\xff" * 10
    path.write_bytes(whole)
    refused(path, "cannot be read")


def matlab(path: Path, before: bytes, after: bytes, **arrays: Any) -> Path:
    savemat(path, arrays or {"scene": SCENE, "wavelength": np.arange(4.0)})
    whole = path.read_bytes()
    assert before in whole
    path.write_bytes(whole.replace(before, after, 1))
    return path


DATA_TAG = b"scene\0\0\0" + (7).to_bytes(4, "little")
STRUCTURE_SIZES = (5).to_bytes(4, "little") + (8).to_bytes(4, "little") + (1).to_bytes(4, "little") * 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # SciPy crashes the whole process on the first five.
        (DATA_TAG, DATA_TAG[:8] + b"\xf8\0\0\0"),
        (DATA_TAG, DATA_TAG[:8] + b"\0\0\0\0"),
        (DATA_TAG, DATA_TAG[:8] + MATRIX_TAG),
        # Complex, without a second set of numbers; and without any.
        (b"\x07\0\0\0\0\0\0\0\x05\0\0\0", b"\x07\x08\0\0\0\0\0\0\x05\0\0\0"),
        ((544).to_bytes(4, "little"), (64).to_bytes(4, "little")),
        # Numbers of 4 GiB; 2**31 - 1 rows; -1 row.
        (DATA_TAG + (480).to_bytes(4, "little"), DATA_TAG + b"\xff\xff\xff\xff"),
        (b"\x06\0\0\0\x05\0\0\0\x04", b"\xff\xff\xff\x7f\x05\0\0\0\x04"),
        (b"\x06\0\0\0\x05\0\0\0\x04", b"\xff\xff\xff\xff\x05\0\0\0\x04"),
    ],
)
def test_a_matlab_array_that_is_not_what_it_claims(tmp_path: Path, before: bytes, after: bytes) -> None:
    refused(matlab(tmp_path / "a.mat", before, after), "claims more")


def test_a_structure_of_billions_of_entries(tmp_path: Path) -> None:
    many = STRUCTURE_SIZES[:8] + b"\xff\xff\xff\x7f" * 2
    path = matlab(tmp_path / "a.mat", STRUCTURE_SIZES, many, hsi={"data": SCENE})
    refused(path, "claims more")
    with pytest.raises(FormatError, match="claims more"):
        list_arrays(path)


def test_structures_without_end(tmp_path: Path) -> None:
    def element(kind: int, data: bytes) -> bytes:
        return kind.to_bytes(4, "little") + len(data).to_bytes(4, "little") + data

    def numbers(*given: int) -> bytes:
        return b"".join(number.to_bytes(4, "little") for number in given)

    # Cells of one cell each, without names.
    start, cell = element(6, numbers(1, 0)) + element(5, numbers(1, 1)) + element(1, b""), b""
    for _ in range(20_000):
        cell = element(14, start + cell)
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + cell)
    refused(tmp_path / "a.mat", "cannot be read as MATLAB .maximum recursion")


@pytest.mark.parametrize("pack", [False, True])
def test_honest_matlab_files_still_open(tmp_path: Path, pack: bool) -> None:
    inner = {"hsi": {"data": SCENE, "none": np.zeros((0, 0)), "cells": np.array(["a", SCENE], "O"), "z": SCENE * 1j},
             "flag": np.array([[True]]), "text": "words", "empty": np.zeros((0, 3)), "z": SCENE[0] + 2j}  # fmt: skip
    savemat(tmp_path / "a.mat", inner, do_compression=pack)
    assert np.array_equal(open_cube(f"{tmp_path / 'a.mat'}::hsi/data").read(), SCENE.transpose(2, 0, 1))


def test_a_netcdf_name_of_two_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with netcdf_file(path, "w") as file:
        file.createDimension("wavelength", 4)
        file.createVariable("wavelength", "f4", ("wavelength",))[:] = np.arange(4)
    whole = path.read_bytes()
    length = (10).to_bytes(4, "big")
    path.write_bytes(whole.replace(length + b"wavelength", b"\x7f\xff\xff\xff" + b"wavelength", 1))
    tracemalloc.start()
    refused(path, "cannot be read as NetCDF")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_a_bounded_file_makes_no_room_for_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    with BoundedFile(tmp_path / "a") as file:
        assert (file.read(2), file.read(2**62), file.read(), file.read(-1)) == (b"12", b"345", b"", b"")


@pytest.mark.parametrize("facts", ['{"nodata": []}', "[" * 100_000, '{"nodata": "a"}', "[]", '{"transform": [1]}'])
def test_our_own_facts_damaged(tmp_path: Path, facts: str) -> None:
    path = save_cube(Cube(SCENE), tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file[FACTS_NAME]
        file[FACTS_NAME] = facts
    refused(path, "a.h5")


@pytest.mark.parametrize("nodata", [[], "a"])
def test_our_own_zarr_facts_damaged(tmp_path: Path, nodata: object) -> None:
    path = save_cube(Cube(SCENE), tmp_path / "a.zarr")
    meta = json.loads((path / "zarr.json").read_text())
    meta["attributes"]["nodata"] = nodata
    (path / "zarr.json").write_text(json.dumps(meta))
    refused(path, "cannot be read as Zarr")


def test_more_bands_than_any_cube_has(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("cube", (4, 4, MOST_BANDS + 1), "f4", chunks=(1, 1, 1))
    refused(tmp_path / "a.h5", "are no cube")


@pytest.mark.parametrize("suffix", [".h5", ".nc"])
def test_an_image_read_whole_must_fit_in_memory(tmp_path: Path, suffix: str) -> None:
    with h5py.File(tmp_path / f"a{suffix}", "w") as file:
        file.create_dataset("image", (2**20, 2**20), "f8", chunks=(1, 1))
    refused(tmp_path / f"a{suffix}", "of memory, for its format is read whole")


def test_what_fits_in_memory_may_be_read() -> None:
    check_room("a.mat", 2**20)


class Trap:
    """Makes a folder when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("key", ["compressor", "filters"])
def test_zarr_chunks_are_never_unpickled(tmp_path: Path, key: str) -> None:
    path = tmp_path / "a.zarr"
    path.mkdir()
    meta = {"zarr_format": 2, "shape": [2, 2, 2], "chunks": [2, 2, 2], "dtype": "<f8", "fill_value": 0, "order": "C",
            "compressor": None, "filters": None}  # fmt: skip
    meta[key] = {"id": "pickle"} if key == "compressor" else [{"id": "pickle"}]
    (path / ".zarray").write_text(json.dumps(meta))
    (path / "0.0.0").write_bytes(pickle.dumps(Trap(tmp_path / "unpickled")))
    refused(path, "cannot be read as Zarr")
    assert not (tmp_path / "unpickled").exists()


def envi(folder: Path, data: bytes, bands: int = 3, extra: str = "") -> Path:
    (folder / "a.img").write_bytes(data)
    (folder / "a.hdr").write_text(f"ENVI\nsamples = 5\nlines = 4\nbands = {bands}\ndata type = 2\n{extra}\n")
    return folder / "a.hdr"


def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_needs(tmp_path: Path) -> None:
    packed = gzip.compress(bytes(2**26))
    header = envi(tmp_path, packed[:-4] + (120).to_bytes(4, "little"))
    tracemalloc.start()
    assert open_cube(header).read().shape == (3, 4, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_a_gzip_stream_that_ends_before_its_header_does(tmp_path: Path) -> None:
    packed = gzip.compress(bytes(100))
    refused(envi(tmp_path, packed[:-4] + (120).to_bytes(4, "little")), "cannot be read as a gzip stream")


def test_a_header_that_claims_more_than_its_gzip_stream_can_hold(tmp_path: Path) -> None:
    bands = 2**40
    trailer = (bands * 40 % 2**32).to_bytes(4, "little")
    refused(envi(tmp_path, gzip.compress(bytes(120))[:-4] + trailer, bands), "can hold")


def test_a_message_is_one_plain_line_whatever_the_file_says(tmp_path: Path) -> None:
    extra = "data ignore value = {a\n\x1b[2Jb\u2028c\u202e}"
    with pytest.raises(FormatError) as caught:
        open_cube(envi(tmp_path, bytes(120), extra=extra))
    assert r"a\n\x1b[2Jb\u2028c\u202e" in str(caught.value)


def test_a_long_message_keeps_its_start_and_its_end() -> None:
    line = str(HsiError("found " + "9" * 5000 + "; correct it."))
    assert len(line) == LONGEST_LINE
    assert line.startswith("found 9")
    assert line.endswith("9; correct it.")
