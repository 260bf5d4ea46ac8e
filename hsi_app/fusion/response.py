"""What the bands of a multispectral image see, on the bands of a hyperspectral one: known, read or looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.errors import FormatError, OperatorError, ParameterError
from hsi_app.fusion.sensors import Bands, sensor_bands, sensor_names

# Numbers that stay below this are no wavelengths in nm.
_LEAST_NM = 100.0
_FILES = (".csv", ".txt", ".sli", ".hdr", ".npz", ".npy", ".mat")


@dataclass(frozen=True, eq=False)
class Response:
    """Spectral response of a multispectral image.

    matrix : (b, B) float64 array >= 0, rows add to one: each band as a mean of hyperspectral ones
    names : b strings
    origin : one phrase for people
    """

    matrix: np.ndarray
    names: tuple[str, ...]
    origin: str

    def __post_init__(self) -> None:
        matrix = np.clip(np.asarray(self.matrix, float), 0, None)
        if not np.isfinite(matrix).all():
            wrong = int(np.argmin(np.isfinite(matrix).all(axis=1)))
            raise ParameterError(
                f"band {wrong + 1} of the response ({self.origin}) holds values that are no numbers; correct them, or"
                " leave the band out."
            )
        total = matrix.sum(axis=1, keepdims=True)
        if (total <= 0).any():
            empty = int(np.argmin(total))
            raise ParameterError(
                f"band {empty + 1} of the response ({self.origin}) sees none of the hyperspectral bands; leave it out,"
                " or choose the right sensor or table."
            )
        object.__setattr__(self, "matrix", matrix / total)


def response_of(text: str | None, hsi: BandAxis, msi: BandAxis) -> Response | None:
    """What ``--srf`` means for two images.

    Parameters
    ----------
    text : None or 'auto' for the widths in the header of the multispectral image; 'estimate'; a sensor, with
        ':band,band' where not all of its bands are there; or a file: a table of wavelengths and responses, or a matrix
        of b x B numbers (.csv, .sli, .npz, .npy, .mat), with ':column,column' likewise
    hsi, msi : the bands that are worked on

    Returns
    -------
    Response, or None where it is to be estimated: asked for, or nothing is known.

    Raises
    ------
    ParameterError
        If there is no such sensor or file, its bands are not those of the image, or wavelengths are missing.
    FormatError
        If a file cannot be read as a response.
    """
    if text == "estimate":
        return None
    if text is None or text == "auto":
        if msi.centres_nm is None or msi.fwhm_nm is None or hsi.centres_nm is None:
            return None
        names = msi.names or tuple(msi.label(band) for band in range(msi.count))
        return Response(_gaussian(msi.centres_nm, msi.fwhm_nm, hsi), tuple(names), "widths in the header of the MSI")
    source, array, chosen = _parts(text)
    sensor = sensor_bands(source)
    if sensor is not None:
        return _of_sensor(*sensor, chosen, hsi, msi)
    path = Path(source)
    if not path.is_file():
        raise ParameterError(
            f"'{source}' is no file and no sensor that is known; there are: {', '.join(sensor_names())}, or a table"
            f" ({', '.join(_FILES)})."
        )
    return _of_file(path, array, chosen, hsi, msi)


def _parts(text: str) -> tuple[str, str | None, tuple[str, ...]]:
    """Sensor or file, array in it, and chosen bands: 'a.mat::R:1,2' -> ('a.mat', 'R', ('1', '2'))."""
    if Path(text).is_file():
        return text, None, ()
    source, two, rest = text.partition("::")
    if two:
        array, _, chosen = rest.partition(":")
        return source, array or None, _split(chosen)
    left, one, chosen = text.rpartition(":")
    if one and (Path(left).is_file() or sensor_bands(left) is not None):
        return left, None, _split(chosen)
    return text, None, ()


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _gaussian(centres_nm: np.ndarray, fwhm_nm: np.ndarray, hsi: BandAxis) -> np.ndarray:
    from hsi_app.physics.spectral import gaussian_response

    if hsi.centres_nm is None:
        raise ParameterError(
            "the hyperspectral image has no wavelengths, so a sensor's bands cannot be laid on it; attach them to its"
            " header, or give --srf a matrix or 'estimate'."
        )
    try:
        return gaussian_response(centres_nm, fwhm_nm, hsi.centres_nm)
    except OperatorError as error:
        raise ParameterError(f"{error} Leave the band out, or choose the right sensor or table with --srf.") from None


def _of_sensor(name: str, bands: Bands, chosen: Sequence[str], hsi: BandAxis, msi: BandAxis) -> Response:
    known = tuple(bands)
    names = (
        tuple(known[k] for k in _places(f"sensor {name}", known, chosen)) if chosen else _recognised(name, bands, msi)
    )
    if len(names) != msi.count:
        raise ParameterError(
            f"{name} has the bands {', '.join(bands)}, the multispectral image has {msi.count}; name those that it has,"
            f" in its order: --srf {name}:{','.join(list(bands)[: msi.count])}."
        )
    centres, widths = np.array([bands[band] for band in names]).T
    return Response(_gaussian(centres, widths, hsi), names, f"Gaussian bands of {name}: {', '.join(names)}")


def _recognised(name: str, bands: Bands, msi: BandAxis) -> tuple[str, ...]:
    """A sensor's bands in the order of the image: by its wavelengths, its band names, or all where nothing is known."""
    if msi.centres_nm is not None:
        found = []
        for centre in msi.centres_nm:
            band = min(bands, key=lambda key: abs(bands[key][0] - centre))
            # Headers give a broad band's nominal centre, which may be anywhere within it.
            if abs(bands[band][0] - centre) <= bands[band][1] and band not in found:
                found.append(band)
        if len(found) == msi.count:
            return tuple(found)
    if msi.names is not None:
        plain = {key.lower(): key for key in bands}
        found = [plain[key] for label in msi.names if (key := label.strip().lower()) in plain]
        if len(found) == msi.count:
            return tuple(found)
    if msi.centres_nm is not None:
        raise ParameterError(
            f"the multispectral image's bands at {', '.join(f'{centre:g}' for centre in msi.centres_nm)} nm are not"
            f" those of {name}; choose the right sensor, or name the bands in the image's order, of: {', '.join(bands)}"
            f" (--srf {name}:{','.join(list(bands)[: msi.count])})."
        )
    return tuple(bands)


def _places(what: str, known: Sequence[str], chosen: Sequence[str]) -> list[int]:
    """Where bands chosen by name, or by number from 1, lie; places and not names, which a table may have twice."""
    found = []
    for wanted in chosen:
        named = [place for place, name in enumerate(known) if name.lower() == wanted.lower()]
        if len(named) > 1:
            raise ParameterError(
                f"{what} has {len(named)} bands '{wanted}'; choose by number: {', '.join(str(k + 1) for k in named)}."
            )
        if named:
            found.append(named[0])
        elif wanted.isdecimal() and 1 <= int(wanted) <= len(known):
            found.append(int(wanted) - 1)
        else:
            raise ParameterError(f"{what} has no band '{wanted}'; there are: {', '.join(known)}.")
    return found


def _of_file(path: Path, array: str | None, chosen: Sequence[str], hsi: BandAxis, msi: BandAxis) -> Response:
    if path.suffix.lower() in (".csv", ".txt", ".sli", ".hdr"):
        from hsi_app.io.spectral_library import read_library

        library = read_library(path)
        if library.centres_nm is None:
            raise FormatError(f"'{path}' has no wavelengths; a response table needs them in its first column.")
        table, at, names = np.nan_to_num(library.spectra), library.centres_nm, library.names
    else:
        matrix, name = _matrix(path, array, bool(chosen), hsi, msi)
        # A matrix of a few rows may begin with rising numbers by chance. One with a row for each band of the image,
        # from which columns are chosen, is a table if its first column rises all the way.
        may_be_matrix = _is_fitting(matrix, bool(chosen), hsi, msi) and not (chosen and matrix.shape[1] != hsi.count)
        if _is_table(matrix) and not (may_be_matrix and matrix[:, 0].max() < _LEAST_NM):
            # Small ones are micrometres.
            at = matrix[:, 0] * (1000.0 if matrix[:, 0].max() < _LEAST_NM else 1.0)
            table, names = np.nan_to_num(matrix[:, 1:]), tuple(str(k) for k in range(1, matrix.shape[1]))
        else:
            matrix = matrix if matrix.shape[1] == hsi.count else matrix.T
            rows = tuple(str(k) for k in range(1, len(matrix) + 1))
            places = _places(f"'{path.name}'", rows, chosen) if chosen else list(range(len(rows)))
            if len(places) != msi.count:
                raise ParameterError(
                    f"{len(places)} rows of '{path.name}' are named, the multispectral image has {msi.count} bands;"
                    " name one for each, in its order."
                )
            return Response(matrix[places], tuple(f"{name} {rows[k]}" for k in places), f"matrix {path.name}")
    if chosen:
        places = _places(f"'{path.name}'", names, chosen)
        table, names = table[:, places], tuple(names[k] for k in places)
    if table.shape[1] != msi.count:
        raise ParameterError(
            f"'{path.name}' has {table.shape[1]} responses ({', '.join(names)}), the multispectral image"
            f" {msi.count} bands; name those that it has, in its order: --srf {path.name}:NAME,NAME."
        )
    return Response(_tabled(at, table, hsi, path), tuple(names), f"table {path.name}")


def _tabled(at: np.ndarray, table: np.ndarray, hsi: BandAxis, path: Path) -> np.ndarray:
    from hsi_app.physics.spectral import tabled_response

    if hsi.centres_nm is None:
        raise ParameterError(
            f"the hyperspectral image has no wavelengths, so the table '{path.name}' cannot be laid on it; attach them"
            " to its header."
        )
    order = np.argsort(at, kind="stable")
    try:
        return tabled_response(at[order], np.clip(table[order], 0, None), hsi.centres_nm)
    except OperatorError as error:
        raise ParameterError(f"'{path.name}': {error}") from None


def _is_table(matrix: np.ndarray) -> bool:
    if matrix.shape[1] < 2:
        return False
    first = matrix[:, 0]
    return bool(len(first) > 2 and (np.diff(first) > 0).all() and first[0] > 0.2)


def _is_fitting(matrix: np.ndarray, has_chosen: bool, hsi: BandAxis, msi: BandAxis) -> bool:
    """True for a matrix between the bands of the two images, or one whose rows are chosen from."""
    if has_chosen:
        return hsi.count in matrix.shape
    return matrix.shape in {(msi.count, hsi.count), (hsi.count, msi.count)}


def _matrix(path: Path, array: str | None, has_chosen: bool, hsi: BandAxis, msi: BandAxis) -> tuple[np.ndarray, str]:
    """The only array of a file that is a table, or a matrix for the two images."""
    arrays = {name: value for name, value in _arrays(path).items() if value.ndim == 2 and value.dtype.kind in "fiu"}
    if array is not None:
        if array not in arrays:
            raise ParameterError(f"'{path.name}' has no matrix '{array}'; there are: {', '.join(arrays) or 'none'}.")
        arrays = {array: arrays[array]}
    fitting = {
        name: value
        for name, value in arrays.items()
        if _is_fitting(value, has_chosen, hsi, msi) or _is_table(value.astype(float))
    }
    if len(fitting) == 1:
        name, value = next(iter(fitting.items()))
        return value.astype(float), name
    shapes = ", ".join(f"{name} {value.shape[0]} x {value.shape[1]}" for name, value in arrays.items()) or "none"
    raise ParameterError(
        f"'{path.name}' holds {len(fitting)} matrices that could be the response ({shapes}); needed is one of"
        f" {msi.count} x {hsi.count}, or wavelengths beside responses. '{path.name}::NAME' picks one."
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        if path.suffix.lower() == ".npy":
            return {path.stem: np.load(path, allow_pickle=False)}
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        from scipy.io import loadmat

        return {name: value for name, value in loadmat(str(path)).items() if isinstance(value, np.ndarray)}
    # SciPy and NumPy raise whatever their parsers meet in a file that is no such file.
    except Exception as error:
        raise FormatError(f"'{path}' cannot be read as a response ({error}); give a table such as .csv.") from error
