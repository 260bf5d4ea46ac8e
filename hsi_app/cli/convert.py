"""``hsi-app convert``: another format, number type, or part of a cube."""

from __future__ import annotations

import re
from dataclasses import replace

import click
import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cli.run_options import RunOptions, processing_options
from hsi_app.errors import ParameterError
from hsi_app.tiling import Window

_TYPES = ("uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")


@click.command(short_help="Write another format, type or part of a cube.")
@click.argument("source", type=click.Path(), metavar="IN")
@click.argument("out", type=click.Path(), metavar="OUT")
@click.option("--dtype", type=click.Choice(_TYPES), help="Number type of OUT.  [default: as IN]")
@click.option("--bands", metavar="LIST", help="Bands to keep, from 1, or wavelengths: '1-20, 35, 650-700 nm'.")
@click.option("--drop-bad", is_flag=True, help="Leave out the bands marked bad.")
@click.option("--crop", metavar="ROW,COL,HEIGHT,WIDTH", help="Part of the image, in px from 0; the map frame follows.")
@click.option("--no-wavelengths", is_flag=True, help="Open IN without its wavelengths, where they are damaged.")
@processing_options
def convert(
    source: str,
    out: str,
    dtype: str | None,
    bands: str | None,
    drop_bad: bool,
    crop: str | None,
    no_wavelengths: bool,
    run: RunOptions,
) -> None:
    """Write IN as OUT, in the format of OUT's extension, with wavelengths, map frame, scale and mask."""
    from hsi_app.files import check_target
    from hsi_app.io import open_cube, save_cube

    check_target(out, overwrite=run.overwrite)
    cube = open_cube(source, wavelengths=not no_wavelengths)
    count, height, width = cube.shape
    keep = np.arange(count) if bands is None else parse_bands(bands, cube.axis)
    if drop_bad:
        keep = keep[~cube.axis.is_bad[keep]]
        if not keep.size:
            raise ParameterError("every band is marked bad, so --drop-bad leaves none; leave it out.")
    if crop is not None:
        cube = cube.crop(parse_crop(crop, height, width))
    if not np.array_equal(keep, np.arange(count)):
        cube = cube.select(keep.tolist())
    if dtype is not None:
        check_range_kind(dtype, cube.dtype, cube.nodata)
    written = save_cube(replace(cube), out, dtype=dtype, overwrite=run.overwrite)
    click.echo(str(written))


def parse_bands(text: str, axis: BandAxis) -> np.ndarray:
    """Band indices from 0 for '1-20, 35, 650-700 nm' in the order given; ParameterError unless each part names bands,
    and each band is named once."""
    from hsi_app.band_lists import bands_of_part

    found: list[int] = []
    for part in text.split(","):
        try:
            named = bands_of_part(part.strip(), axis)
        except ParameterError as error:
            raise ParameterError(f"--bands: {error}") from None
        if not named:
            raise ParameterError(f"--bands holds '{part.strip()}', where no band lies; choose a wider stretch.")
        found += named
    if len(set(found)) < len(found):
        raise ParameterError(f"--bands '{text}' names a band twice; name each once.")
    return np.asarray(found)


def parse_crop(text: str, height: int, width: int) -> Window:
    """A window from 'row,col,height,width'; ParameterError unless it lies inside the image."""
    numbers = text.split(",")
    if len(numbers) != 4 or not all(re.fullmatch(r"\s*\d+\s*", n) for n in numbers):
        raise ParameterError(f"--crop is '{text}'; write four whole numbers: row,col,height,width.")
    window = Window(*map(int, numbers))
    inside = window.row + window.height <= height and window.col + window.width <= width
    if not inside or window.pixels == 0:
        raise ParameterError(f"--crop {text} does not lie in the image of {height} x {width} px; make it smaller.")
    return window


def check_range_kind(dtype: str, stored: np.dtype, nodata: float | None) -> None:
    """Refuse to cut fractions off: reals become whole numbers only by a scale that the user chooses."""
    target = np.dtype(dtype)
    if target.kind in "ui" and stored.kind == "f":
        raise ParameterError(f"--dtype {dtype} would cut the fractions off {stored}; use float32.")
    if target.kind in "ui" and stored.kind in "ui":
        given, limits = np.iinfo(stored), np.iinfo(target)
        if given.min < limits.min or given.max > limits.max:
            raise ParameterError(f"--dtype {dtype} cannot hold every {stored}; use int32 or float32.")
        if nodata is not None and not limits.min <= nodata <= limits.max:
            raise ParameterError(f"--dtype {dtype} cannot hold the nodata value {nodata:g}; use int32 or float32.")
