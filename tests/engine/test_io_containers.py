"""MATLAB, HDF5, NetCDF, NumPy, Zarr: the cube among several arrays is found, or the file's arrays are listed."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import netcdf_file, savemat

from hsi_app.errors import FormatError
from hsi_app.io import can_read, formats, list_arrays, open_cube, read_mask, read_patterns

CENTRES = np.array([450.0, 550.0, 650.0, 750.0])
# (H, W, B): as the community passes cubes round.
LAST = np.arange(5 * 6 * 4, dtype="f8").reshape(5, 6, 4)
FIRST = LAST.transpose(2, 0, 1)


def write(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **arrays)  # type: ignore[arg-type]
    elif path.suffix == ".mat":
        savemat(path, arrays)
    elif path.suffix == ".zarr":
        import zarr

        group = zarr.open_group(str(path), mode="w")
        for name, array in arrays.items():
            group.create_array(name, data=np.asarray(array))
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file[name] = array
    return path


CONTAINERS = [".npz", ".mat", ".h5", ".zarr"]


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_bands_are_the_last_axis_and_the_assumption_is_told(tmp_path: Path, suffix: str) -> None:
    cube = open_cube(write(tmp_path / f"a{suffix}", {"scene": LAST}))
    assert np.array_equal(cube.read(), FIRST)
    assert "last axis" in cube.history[0]
    assert cube.facts["array"] == "scene"


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_the_axis_as_long_as_the_wavelengths_is_the_band_axis(tmp_path: Path, suffix: str) -> None:
    cube = open_cube(write(tmp_path / f"a{suffix}", {"scene": FIRST, "wavelengths": CENTRES}))
    assert np.array_equal(cube.read(), FIRST)
    assert np.array_equal(cube.axis.centres_nm, CENTRES)


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("name", ["wavelength", "wvl", "centers", "lambda"])
def test_wavelengths_in_micrometres_are_found_by_many_names(tmp_path: Path, suffix: str, name: str) -> None:
    cube = open_cube(write(tmp_path / f"a{suffix}", {"data": LAST, name: CENTRES / 1000, "fwhm": np.full(4, 0.01)}))
    assert cube.axis.centres_nm == pytest.approx(CENTRES)
    assert cube.axis.fwhm_nm == pytest.approx(np.full(4, 10.0))


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_cube_by_its_usual_name_goes_before_a_larger_array(tmp_path: Path, suffix: str) -> None:
    arrays = {"other": np.zeros((9, 9, 9)), "cube": LAST, "labels": np.zeros((5, 6))}
    cube = open_cube(write(tmp_path / f"a{suffix}", arrays))
    assert cube.facts["array"] == "cube"
    assert any("'cube' taken" in line for line in cube.history)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_the_named_array_is_opened(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", {"cube": LAST, "abundances": LAST[..., :2]})
    assert open_cube(f"{path}::abundances").shape == (2, 5, 6)
    with pytest.raises(FormatError, match="no array 'nothing'; it holds"):
        open_cube(f"{path}::nothing")


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_a_file_without_a_clear_cube_lists_its_arrays(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", {"first": np.zeros((3, 4)), "second": np.zeros((5, 6))})
    with pytest.raises(FormatError, match=r"first 3x4 float64, second 5x6 float64; name one as '.*::NAME'"):
        open_cube(path)
    assert open_cube(f"{path}::second").shape == (1, 5, 6)
    assert not can_read(path)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_arrays_are_listed_with_shape_and_type(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", {"cube": LAST, "labels": np.zeros((5, 6), "u1")})
    assert sorted(list_arrays(path)) == [("cube", (5, 6, 4), "float64"), ("labels", (5, 6), "uint8")]


@pytest.mark.parametrize("suffix", [".mat", ".h5"])
def test_a_matrix_beside_its_image_size_runs_down_the_columns(tmp_path: Path, suffix: str) -> None:
    matrix = np.stack([band.ravel(order="F") for band in FIRST])
    path = write(tmp_path / f"a{suffix}", {"Y": matrix, "nRow": np.array([[5.0]]), "nCol": np.array([[6.0]])})
    cube = open_cube(path)
    assert np.array_equal(cube.read(), FIRST)
    assert "5 x 6" in cube.history[0]


def test_a_very_wide_matrix_is_a_square_image(tmp_path: Path) -> None:
    image = np.arange(2 * 20 * 20.0).reshape(2, 20, 20)
    path = write(tmp_path / "a.mat", {"A": image.transpose(0, 2, 1).reshape(2, 400), "M": np.zeros((8, 2))})
    assert np.array_equal(open_cube(path).read(), image)


def test_a_cube_inside_a_structure_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mat", {"hsi": {"Data": LAST, "info": {"wavelength": CENTRES}}})  # type: ignore[dict-item]
    cube = open_cube(path)
    assert np.array_equal(cube.read(), FIRST)
    assert np.array_equal(cube.axis.centres_nm, CENTRES)
    assert np.array_equal(open_cube(f"{path}::hsi/Data").read(), FIRST)


def test_matlab_7_3_axes_are_turned_back(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        # MATLAB stores its columns first, so HDF5 sees the axes in reverse.
        file["scene"] = LAST.transpose(2, 1, 0)
        file["wavelength"] = CENTRES[:, None]
    cube = open_cube(path)
    assert np.array_equal(cube.read(), FIRST)
    assert np.array_equal(cube.axis.centres_nm, CENTRES)
    assert cube.facts["format"] == "MATLAB 7.3"


def test_a_neon_like_product_has_scale_frame_and_wavelengths(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("SITE/Reflectance")
        data = group.create_dataset("Reflectance_Data", data=LAST.astype("i2"))
        data.attrs["Scale_Factor"], data.attrs["Data_Ignore_Value"] = 10000.0, -9999.0
        spectral = group.create_group("Metadata/Spectral_Data")
        spectral["Wavelength"], spectral["FWHM"] = CENTRES, np.full(4, 5.0)
        place = group.create_group("Metadata/Coordinate_System")
        place["Map_Info"] = "UTM, 1, 1, 320000, 4100000, 1, 1, 11, North, WGS-84, units=Meters"
        place["EPSG Code"] = "32611"
    cube = open_cube(path)
    assert (cube.gain, cube.nodata) == (1e-4, -9999.0)
    assert np.array_equal(cube.axis.centres_nm, CENTRES)
    assert cube.georef is not None
    assert (cube.georef.crs, cube.georef.transform[2]) == ("EPSG:32611", 320000.0)


def netcdf4(path: Path, order: tuple[str, ...]) -> Path:
    import xarray

    sizes = {"wavelength": CENTRES, "y": 5e6 - 30 * (np.arange(5) + 0.5), "x": 3e5 + 30 * (np.arange(6) + 0.5)}
    whole = xarray.DataArray(FIRST, dims=("wavelength", "y", "x"), coords=sizes).transpose(*order)
    whole.coords["wavelength"].attrs["units"] = "nm"
    whole.attrs["grid_mapping"] = "crs"
    dataset = xarray.Dataset({"reflectance": whole, "crs": ((), 0)})
    dataset["crs"].attrs["spatial_ref"] = "EPSG:32633"
    packed = {"dtype": "i2", "scale_factor": 0.5, "add_offset": 1.0, "_FillValue": -1}
    dataset.to_netcdf(path, engine="netcdf4", encoding={"reflectance": packed})
    return path


@pytest.mark.parametrize("order", [("wavelength", "y", "x"), ("y", "x", "wavelength"), ("y", "wavelength", "x")])
def test_netcdf_4_follows_cf(tmp_path: Path, order: tuple[str, ...]) -> None:
    cube = open_cube(netcdf4(tmp_path / "a.nc", order))
    # Stored numbers are packed; the physical ones are what was written.
    np.testing.assert_allclose(cube.read() * cube.gain + cube.offset, FIRST)
    assert np.array_equal(cube.axis.centres_nm, CENTRES)
    assert cube.nodata == -1
    assert cube.georef is not None
    assert cube.georef.crs == "EPSG:32633"
    assert cube.georef.transform == pytest.approx((30, 0, 3e5, 0, -30, 5e6))


def test_netcdf_3_is_read_by_windows(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with netcdf_file(path, "w") as file:
        for name, size in (("y", 5), ("x", 6), ("band", 4)):
            file.createDimension(name, size)
        file.createVariable("scene", "f4", ("y", "x", "band"))[:] = LAST
        wavelength = file.createVariable("wavelength", "f4", ("band",))
        wavelength[:] = CENTRES / 1000
        wavelength.units = "um"
    cube = open_cube(path)
    assert np.array_equal(cube.values[[3, 0], 1:3, ::2], FIRST[[3, 0], 1:3, ::2])
    assert cube.axis.centres_nm == pytest.approx(CENTRES)
    assert can_read(path)


def test_a_plain_zarr_array_of_format_2_is_read(tmp_path: Path) -> None:
    import zarr

    array = zarr.create_array(str(tmp_path / "a.zarr"), data=LAST, zarr_format=2)
    array.attrs["wavelength"] = CENTRES.tolist()
    cube = open_cube(tmp_path / "a.zarr")
    assert np.array_equal(cube.read(), FIRST)
    assert np.array_equal(cube.axis.centres_nm, CENTRES)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_bare_array_is_height_width_bands(tmp_path: Path, order: str) -> None:
    np.save(tmp_path / "a.npy", np.asarray(LAST, order=order))  # type: ignore[call-overload]
    assert np.array_equal(open_cube(tmp_path / "a.npy").read(), FIRST)


def test_a_mask_of_two_axes_is_read_from_npy(tmp_path: Path) -> None:
    mask = np.eye(4, 20, dtype=bool)
    np.save(tmp_path / "m.npy", mask)
    assert np.array_equal(read_mask(tmp_path / "m.npy"), mask)


def test_zero_is_unobserved_even_where_it_is_the_missing_value(tmp_path: Path) -> None:
    (tmp_path / "m.img").write_bytes(bytes([0, 1, 1, 0]))
    (tmp_path / "m.hdr").write_text(
        "ENVI\nsamples = 2\nlines = 2\nbands = 1\ndata type = 1\ninterleave = bsq\ndata ignore value = 0\n"
    )
    assert read_mask(tmp_path / "m.hdr").tolist() == [[False, True], [True, False]]


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", cube=np.full((2, 2, 2), None, dtype=object))
    for name in ("a.npy", "a.npz", "a.npz::cube"):
        with pytest.raises(FormatError):
            open_cube(tmp_path / name)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".h5", ".nc", ".tif", ".hdr", ".vrt"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 600, b"no such file format at all " * 30], ids=["empty", "zeros", "text"]
)
def test_a_damaged_file_of_any_format_is_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    (tmp_path / "a.img").write_bytes(b"data")
    assert not can_read(path)
    with pytest.raises(FormatError) as caught:
        open_cube(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".h5", ".nc"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_cut_file_of_any_format_is_our_error(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, LAST)
    elif suffix == ".nc":
        netcdf4(path, ("y", "x", "wavelength"))
    else:
        write(path, {"cube": LAST})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    can_read(path)
    with pytest.raises(FormatError):
        open_cube(path).read()


def test_missing_folder_and_unknown_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_bytes(b"1")
    for name, told in (("none.hdr", "does not exist"), ("", "is a folder"), ("a.xyz", "known are")):
        with pytest.raises(FormatError, match=told):
            open_cube(tmp_path / name)
        assert not can_read(tmp_path / name)


@pytest.mark.parametrize("bands", [1, 3])
def test_photographs_are_left_to_other_readers(tmp_path: Path, bands: int) -> None:
    from hsi_app.cube import Cube
    from hsi_app.io import save_cube

    path = save_cube(Cube(np.ones((bands, 8, 8), "u1")), tmp_path / "photo.tif")
    assert not can_read(path)
    assert open_cube(path).shape == (bands, 8, 8)


def test_a_geotiff_with_wavelengths_in_its_descriptions_only(tmp_path: Path) -> None:
    import rasterio
    from rasterio.transform import Affine

    with rasterio.open(
        tmp_path / "a.tif",
        "w",
        driver="GTiff",
        width=6,
        height=5,
        count=4,
        dtype="float64",
        transform=Affine(1, 0, 9, 0, -1, 9),
    ) as dataset:
        dataset.write(FIRST)
        for k, centre in enumerate(CENTRES):
            dataset.set_band_description(k + 1, f"B{k} {centre / 1000} um")
        dataset.offsets = (0.0, 1.0, 2.0, 3.0)
    cube = open_cube(tmp_path / "a.tif")
    assert cube.axis.centres_nm == pytest.approx(CENTRES)
    assert np.asarray(cube.offset).tolist() == [0, 1, 2, 3]


def test_every_format_has_a_title_and_its_patterns_are_listed() -> None:
    assert all(format.title and format.id for format in formats())
    assert len({format.id for format in formats()}) == len(formats())
    assert {"*.hdr", "*.tif", "*.mat", "*.zarr", "*.nc"} <= set(read_patterns())
