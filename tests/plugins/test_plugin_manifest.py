"""What napari learns of the plugin before it loads it, and what its files and samples become."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import hsi_napari
import numpy as np
import pytest
from hsi_napari import reader, samples
from hsi_napari.facts import FACTS
from hsi_napari.layers import cube_to_layer
from hsi_napari.reader import get_reader
from hsi_napari.writer import write_cube
from npe2 import PluginManifest

from hsi_app.cube import Cube
from hsi_app.errors import CapabilityError, CubeError, FormatError
from hsi_app.io import open_cube, read_patterns, save_cube

MANIFEST = Path(hsi_napari.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(MANIFEST)


def test_the_manifest_is_valid(manifest: PluginManifest) -> None:
    manifest.validate_imports()
    assert manifest.name == "hsi-app"


def test_every_command_leads_to_something_callable(manifest: PluginManifest) -> None:
    for command in manifest.contributions.commands or []:
        module, _, name = str(command.python_name).partition(":")
        if name.endswith("Dock"):
            pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")
        assert callable(getattr(importlib.import_module(module), name)), command.id


def test_every_menu_is_one_that_napari_fills(manifest: PluginManifest) -> None:
    from napari._app_model.constants._menus import is_menu_contributable

    menus = list(manifest.contributions.menus)
    assert menus
    assert all(is_menu_contributable(menu) for menu in menus)


def test_the_reader_claims_what_the_engine_reads_and_nothing_else(manifest: PluginManifest) -> None:
    claimed = [pattern for r in manifest.contributions.readers or [] for pattern in r.filename_patterns]
    assert sorted(claimed) == sorted(read_patterns())


def test_only_formats_that_are_folders_are_claimed_as_folders(manifest: PluginManifest) -> None:
    folders = [r.filename_patterns for r in manifest.contributions.readers or [] if r.accepts_directories]
    assert folders == [["*.zarr"]]


def test_the_plugin_loads_no_heavy_package_before_it_is_used() -> None:
    code = (
        "import sys, hsi_napari.reader, hsi_napari.writer, hsi_napari.samples, hsi_napari.commands\n"
        "import hsi_napari.actions, hsi_napari.keys, hsi_napari.settings\n"
        "heavy = {'torch', 'napari', 'qtpy', 'pyqtgraph', 'scipy', 'rasterio', 'h5py', 'zarr', 'dask', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow  # starts a second napari
def test_the_docks_load_no_torch_before_a_run(manifest: PluginManifest) -> None:
    pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")
    names = [str(command.python_name) for command in manifest.contributions.commands or []]
    docks = [name.partition(":")[0] for name in names if name.endswith("Dock")]
    assert len(docks) == len(manifest.contributions.widgets or [])
    code = f"import sys, {', '.join(docks)}\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- reading -------------------------------------------------------------------------------------------------------


@pytest.fixture
def envi(full_cube: Cube, tmp_path: Path) -> Path:
    return save_cube(full_cube, tmp_path / "scene.hdr")


def test_a_path_and_a_list_of_paths_are_read(envi: Path) -> None:
    for given in (str(envi), [str(envi)]):
        read = get_reader(given)
        assert read is not None
        ((data, options, kind),) = read(given)
        assert (data.shape, kind) == ((6, 12, 10), "image")
        assert options["metadata"][FACTS]["wavelengths_nm"] == [450, 550, 650, 860, 1380, 2200]


def test_a_header_dropped_together_with_its_data_is_one_layer(envi: Path) -> None:
    both = sorted(str(path) for path in envi.parent.iterdir() if path.stem == "scene")
    assert len(both) == 2
    assert len(reader.read(both)) == 1


def test_what_is_no_cube_is_left_to_other_readers(envi: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.dat"
    notes.write_text("nothing spectral")
    assert get_reader(str(notes)) is None
    assert get_reader(str(tmp_path / "absent.hdr")) is None
    assert get_reader([str(envi), str(notes)]) is None
    assert get_reader([]) is None


def test_a_damaged_file_is_reported_in_one_line(envi: Path) -> None:
    data = next(path for path in envi.parent.iterdir() if path.suffix != ".hdr")
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(FormatError) as failure:
        reader.read(str(envi))
    assert "\n" not in str(failure.value)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system does not count a process's reads")
def test_opening_a_large_file_reads_less_than_a_thousandth_of_it(tmp_path: Path) -> None:
    bands, rows, cols = 200, 4000, 4000
    (tmp_path / "big.hdr").write_text(
        f"ENVI\nsamples = {cols}\nlines = {rows}\nbands = {bands}\nheader offset = 0\ndata type = 2\n"
        "interleave = bsq\nbyte order = 0\n"
    )
    with (tmp_path / "big.bsq").open("wb") as file:
        file.truncate(2 * bands * rows * cols)  # 6.4 GB of nothing: takes no room on disk

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = bytes_read()
    ((data, _, _),) = reader.read(str(tmp_path / "big.hdr"))
    assert data.shape == (bands, rows, cols)
    assert bytes_read() - before < 2 * bands * rows * cols / 1000


# ---- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".hdr", ".tif", ".zarr"])
def test_a_saved_layer_opens_as_the_same_cube(full_cube: Cube, tmp_path: Path, ending: str) -> None:
    cube = replace(full_cube, valid=None)
    data, options, _ = cube_to_layer(cube)
    (path,) = write_cube(str(tmp_path / f"saved{ending}"), data, options)
    back = open_cube(path)
    assert np.array_equal(back.read(), np.asarray(cube.values))
    assert back.axis == cube.axis
    assert back.georef is not None
    assert back.georef.transform == pytest.approx(cube.georef.transform)  # type: ignore[union-attr]
    assert (back.nodata, back.unit) == (cube.nodata, cube.unit)
    assert np.allclose(back.gain, cube.gain)


def test_a_colour_picture_is_saved_as_three_bands(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (5, 6, 3)).astype(np.uint8)
    (path,) = write_cube(str(tmp_path / "picture.tif"), picture, {"name": "picture", "rgb": True, "metadata": {}})
    assert np.array_equal(open_cube(path).read(), np.moveaxis(picture, -1, 0))


def test_a_flat_image_is_saved_as_one_band(tmp_path: Path) -> None:
    image = np.arange(30, dtype=np.float32).reshape(5, 6)
    (path,) = write_cube(str(tmp_path / "flat.tif"), image, {"name": "flat", "metadata": {}})
    assert np.array_equal(open_cube(path).read(), image[None])


def test_an_image_of_four_axes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CubeError, match="three axes"):
        write_cube(str(tmp_path / "x.hdr"), np.zeros((2, 2, 2, 2)), {"name": "x", "metadata": {}})


# ---- samples -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sample", "shape"),
    [(samples.noisy_scene, (90, 96, 80)), (samples.clean_scene, (90, 96, 80)), (samples.sharp_scene, (4, 384, 320)),
     (samples.materials, (14, 96, 80))],
    ids=["noisy", "clean", "sharp", "materials"],
)  # fmt: skip
def test_a_bundled_sample_opens_without_a_download(sample: Any, shape: tuple[int, int, int]) -> None:
    data, options, _ = sample()[0]
    assert tuple(data.shape) == shape
    assert options["contrast_limits"][0] < options["contrast_limits"][1]


def test_the_sharp_sample_covers_the_ground_of_the_others() -> None:
    coarse, fine = samples.noisy_scene()[0], samples.sharp_scene()[0]
    scale, shift = fine[1]["scale"][1], fine[1]["translate"][1]
    assert shift - scale / 2 == -0.5
    assert fine[0].shape[1] * scale == coarse[0].shape[1]


def test_indian_pines_opens_where_its_package_is_installed() -> None:
    pytest.importorskip("tensorly", reason="the extra 'samples' is not installed")
    data, options, _ = samples.indian_pines()[0]
    assert tuple(data.shape) == (200, 145, 145)
    assert options["metadata"][FACTS]["wavelengths_nm"] is None


def test_indian_pines_says_what_to_install_where_its_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorly.datasets", None)
    with pytest.raises(CapabilityError, match="pip install"):
        samples.indian_pines()
