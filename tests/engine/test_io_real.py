"""Files as they lie in the wild open with wavelengths, map frame and scale where they have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hsi_app.io import can_read, open_cube

# file: shape, first and last centre in nm, CRS, gain; from the table of the data and the producers' headers.
FILES = {
    "EnMAP_raw.hdr": ((244, 80, 60), (424.0, 2446.0), "EPSG:32633", 1e-4),
    "EnMAP_raw.bsq": ((244, 80, 60), (424.0, 2446.0), "EPSG:32633", 1e-4),
    "HighRes.hdr": ((4, 660, 494), (484.3, 804.6), "EPSG:32633", 1e-4),
    "HyMap02.bsq": ((111, 100, 67), (455.4, 2446.5), "EPSG:32633", 1.0),
    "aviris_california.hdr": ((194, 50, 50), (394.935486, 2496.236084), "EPSG:32610", 1.0),
    "fenix_rock.dat": ((450, 38, 23), (378.190002, 2503.72998), None, 1 / 65535),
    "library_berlin.sli": ((177, 75, 1), (460.0, 2409.0), None, 1e-4),
    "enmap_potsdam_tile_64_0.tif": ((224, 32, 32), (418.24, 2445.53), "EPSG:32633", 1e-4),
    "enmap_potsdam_tile_192_64.tif": ((224, 32, 32), (418.24, 2445.53), "EPSG:32633", 1e-4),
    "jasper_ridge_224.mat": ((224, 100, 100), None, None, 1.0),
    "jasper_ridge_truth.mat": ((4, 100, 100), None, None, 1.0),
    "samson.mat": ((156, 95, 95), None, None, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_opens_with_its_facts(real_data: Path, name: str) -> None:
    shape, ends, crs, gain = FILES[name]
    cube = open_cube(real_data / "files" / name)
    assert cube.shape == shape
    assert cube.gain == pytest.approx(gain)
    assert (None if cube.georef is None else cube.georef.crs) == crs
    if ends is None:
        assert cube.axis.centres_nm is None
    else:
        assert cube.axis.centres_nm is not None
        assert (cube.axis.centres_nm[0], cube.axis.centres_nm[-1]) == pytest.approx(ends)


# The wild files and the archives made of them elsewhere hold the same samples.
TWINS = {
    "jasper_ridge_224.mat": "jasper_ridge_raw224.npz",
    "EnMAP_raw.hdr": "berlin_enmap_sim_30m.npz",
    "HyMap02.hdr": "berlin_hymap_9m.npz",
    "aviris_california.hdr": "aviris_california_50.npz",
    "fenix_rock.hdr": "fenix_rock_38x23.npz",
    "samson.mat": "samson.npz",
}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
def test_a_real_file_holds_the_samples_of_its_archive(real_data: Path, name: str) -> None:
    wild = open_cube(real_data / "files" / name).read()
    with np.load(real_data / "hsi" / TWINS[name]) as archive:
        assert np.array_equal(wild.astype(archive["cube"].dtype), archive["cube"].transpose(2, 0, 1))


def test_every_archive_opens_with_the_wavelengths_it_has(real_data: Path) -> None:
    paths = sorted((real_data / "hsi").glob("*.npz"))
    assert len(paths) == 25
    for path in paths:
        cube = open_cube(path)
        with np.load(path) as archive:
            height, width, bands = archive["cube"].shape
            assert cube.shape == (bands, height, width), path.name
            assert (cube.axis.centres_nm is not None) == ("wavelengths_nm" in archive.files), path.name


def test_the_viewer_claims_real_scenes(real_data: Path) -> None:
    scenes = ["EnMAP_raw.hdr", "fenix_rock.dat", "enmap_potsdam_tile_64_0.tif", "samson.mat", "jasper_ridge_224.mat"]
    assert all(can_read(real_data / "files" / name) for name in scenes)
