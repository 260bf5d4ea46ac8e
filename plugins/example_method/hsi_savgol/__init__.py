"""Savitzky-Golay smoothing of spectra as a method of hsi-app."""
