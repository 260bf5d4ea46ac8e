"""An airborne imaging spectrometer over the landscape: bands, sunlight, atmosphere, noise and faults.

The noise is that of counted photons plus the electronics, at the detector, and then divided by what the sun and the
air leave: so bands of weak sun, absorbed light or a dull detector are noisy in reflectance, as in real cubes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SUN_TEMPERATURE_K = 5778.0

# Centre nm, standard deviation nm and vertical optical depth of the absorption bands of a moist summer atmosphere,
# as Gaussians: shape and depth are rounded from what such an atmosphere shows at 15 to 30 nm resolution.
ABSORPTION = (
    (721.0, 6.0, 0.06), (762.0, 4.0, 0.35), (821.0, 8.0, 0.06), (942.0, 15.0, 0.45), (1132.0, 18.0, 0.55),
    (1268.0, 7.0, 0.06), (1385.0, 24.0, 2.6), (1450.0, 30.0, 0.25), (1878.0, 38.0, 2.9), (2008.0, 12.0, 0.28),
    (2060.0, 10.0, 0.20), (2550.0, 75.0, 1.6),
)  # fmt: skip


@dataclass(frozen=True)
class Bands:
    """Centres and full widths at half maximum of Gaussian bands, nm: (B,) each."""

    centres_nm: np.ndarray
    fwhm_nm: np.ndarray

    def response(self, wavelengths_nm: np.ndarray) -> np.ndarray:
        """Weights (B, N) of the samples of a spectrum, each band's adding up to one."""
        offset = (np.asarray(wavelengths_nm)[None, :] - self.centres_nm[:, None]) / self.fwhm_nm[:, None]
        weight = np.exp(-4 * np.log(2) * offset**2)
        return weight / weight.sum(axis=1, keepdims=True)


# Two spectrometers share the light at 1000 nm, as in most airborne instruments: 40 fine and 50 coarse bands.
SPECTROMETER = Bands(
    np.concatenate([405.0 + 15 * np.arange(40), 1015.0 + 29 * np.arange(50)]), np.repeat([16.0, 31.0], [40, 50])
)

# Blue, green, red and near infrared of a multispectral camera: centres and widths of the 10 m bands of Sentinel-2.
CAMERA = Bands(np.array([490.0, 560.0, 665.0, 842.0]), np.array([65.0, 35.0, 30.0, 115.0]))

# Where water vapour leaves nothing to see; the producer's bad-band list.
BLIND_NM = ((1350.0, 1420.0), (1800.0, 1950.0))


def is_blind(bands: Bands) -> np.ndarray:
    """(B,) bool, True in the two water-vapour gaps."""
    return np.logical_or.reduce([(bands.centres_nm >= low) & (bands.centres_nm <= high) for low, high in BLIND_NM])


def sunlight(wavelengths_nm: np.ndarray) -> np.ndarray:
    """Spectral irradiance of the sun outside the atmosphere as a black body, W m-2 nm-1.

    Planck's law at 5778 K over the solid angle of the sun's disc, 6.8e-5 sr.
    """
    planck, light, boltzmann = 6.62607015e-34, 2.99792458e8, 1.380649e-23
    metres = np.asarray(wavelengths_nm) * 1e-9
    energy = planck * light / (metres * boltzmann * SUN_TEMPERATURE_K)
    return 2 * planck * light**2 / metres**5 / np.expm1(energy) * 6.8e-5 * 1e-9


def transmission(wavelengths_nm: np.ndarray, air_mass: float) -> np.ndarray:
    """Share of light left after ``air_mass`` vertical atmospheres, 0..1.

    Rayleigh scattering after Hansen and Travis 1974 (eq. 2.30), a haze of Angstrom exponent 1.3 and optical depth 0.12
    at 1000 nm, and the absorption bands above.
    """
    micron = np.asarray(wavelengths_nm) * 1e-3
    depth = 0.008569 * micron**-4 * (1 + 0.0113 * micron**-2 + 0.00013 * micron**-4) + 0.12 * micron**-1.3
    for centre, width, peak in ABSORPTION:
        depth = depth + peak * np.exp(-0.5 * ((np.asarray(wavelengths_nm) - centre) / width) ** 2)
    return np.exp(-air_mass * depth)


def point_spread(count: int, ratio: int, margin: int) -> np.ndarray:
    """Weights (count, n) of a line of fine cells in each coarse pixel: a Gaussian of FWHM ``ratio`` cells.

    Pixel i is centred on the block of cells margin + ratio * i ... margin + ratio * (i + 1) - 1.
    """
    cells = np.arange(2 * margin + ratio * count)
    centre = margin + ratio * np.arange(count) + (ratio - 1) / 2
    weight = np.exp(-4 * np.log(2) * ((cells - centre[:, None]) / ratio) ** 2)
    return weight / weight.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Detector:
    """Noise of the spectrometer.

    Parameters
    ----------
    full_signal : photons counted in the brightest band over a white surface
    read_noise : of the electronics, standard deviation in photons
    """

    full_signal: float = 1500.0
    read_noise: float = 14.0

    def photons(self, bands: Bands, sun_zenith_deg: float) -> np.ndarray:
        """(B,) photons counted over a white surface.

        Sunlight times transmission down and up, times the photon's wavelength, the band's width and the efficiency
        of its spectrometer (a bell around 620 and 1600 nm).
        """
        fine = np.arange(350.0, 2551.0)
        slant = 1 / np.cos(np.radians(sun_zenith_deg))
        through = bands.response(fine) @ (sunlight(fine) * transmission(fine, slant + 1) * fine)
        visible = bands.centres_nm < 1000
        bell = np.where(visible, (bands.centres_nm - 620) / 260, (bands.centres_nm - 1600) / 700)
        counted = through * bands.fwhm_nm * np.exp(-0.5 * bell**2)
        return self.full_signal * counted / counted.max()

    def noise(self, reflectance: np.ndarray, bands: Bands, sun_zenith_deg: float) -> np.ndarray:
        """Standard deviation (B, H, W) of the measured reflectance: sqrt(signal + read_noise^2) / white signal."""
        white = self.photons(bands, sun_zenith_deg)[:, None, None]
        return np.sqrt(np.maximum(reflectance, 0) * white + self.read_noise**2) / white


@dataclass(frozen=True)
class Faults:
    """What is wrong with the noisy scene beside its noise; indices from zero, ranges without their end.

    Parameters
    ----------
    striped : ranges of bands in which the columns differ, and the stripes' standard deviation in reflectance
    dead_columns : (column, first band, end band) of detector elements that read zero
    dead_rows : (row, first band, end band) of lines lost on the way
    impulse_share : share of the samples of the bands ``impulse_bands`` that are dark or saturated
    missing_corner : legs of the triangle outside the flight line, pixels, at the bottom right
    """

    striped: tuple[tuple[int, int, float], ...] = ((0, 4, 0.030), (37, 43, 0.035), (78, 84, 0.040))
    dead_columns: tuple[tuple[int, int, int], ...] = ((23, 44, 52), (61, 12, 17))
    dead_rows: tuple[tuple[int, int, int], ...] = ((70, 28, 32),)
    impulse_bands: tuple[int, int] = (18, 30)
    impulse_share: float = 0.002
    missing_corner: int = 9

    def apply(self, reflectance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The cube (B, H, W) with stripes, impulses and dead lines; the missing corner is left to the writer."""
        spoiled = reflectance.copy()
        _, height, width = spoiled.shape
        for first, end, strength in self.striped:
            # Neighbouring bands of a detector share most of a column's error.
            shared = rng.standard_normal((width,))
            for band in range(first, end):
                column = 0.85 * shared + 0.53 * rng.standard_normal((width,))
                spoiled[band] += strength * (column - column.mean())
        first, end = self.impulse_bands
        hit = rng.uniform(size=(end - first, height, width))
        spoiled[first:end][hit < self.impulse_share] = 1.2
        spoiled[first:end][hit < self.impulse_share / 2] = 0.0
        for column_index, first, end in self.dead_columns:
            spoiled[first:end, :, column_index] = 0.0
        for row, first, end in self.dead_rows:
            spoiled[first:end, row, :] = 0.0
        return spoiled

    def missing(self, shape: tuple[int, int]) -> np.ndarray:
        """(H, W) bool, True where nothing was recorded."""
        rows, cols = np.mgrid[: shape[0], : shape[1]]
        return (shape[0] - 1 - rows) + (shape[1] - 1 - cols) < self.missing_corner
