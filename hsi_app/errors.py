"""Errors a user may meet: each says what was found, what is needed and what to do.

Every class is also the builtin a caller would expect, and knows the exit code of the command line.
"""

from __future__ import annotations


class HsiError(Exception):
    """Any failure the program foresees; the message is one line for a person."""

    exit_code = 1


class CubeError(HsiError, ValueError):
    """A cube's facts contradict each other (shape, wavelengths, mask, map frame)."""


class ParameterError(HsiError, ValueError):
    """A method, option or recipe was asked for in a way that cannot work."""

    exit_code = 2


class FormatError(HsiError, OSError):
    """A file cannot be read as what it claims to be."""

    exit_code = 4


class OutputError(HsiError, OSError):
    """A result cannot be written where it was asked for."""


class SubspaceError(HsiError, ValueError):
    """The data do not hold the spectral subspace that was asked for."""


class OperatorError(HsiError, ValueError):
    """Operators or arrays of different shapes were combined."""


class CapabilityError(HsiError, NotImplementedError):
    """A method or operator does not offer what was asked of it."""

    exit_code = 2


class PlanError(HsiError, MemoryError):
    """The work does not fit the memory or disk budget, known before it starts."""

    exit_code = 5


class WeightsError(HsiError, OSError):
    """Weights are missing, damaged or of another network."""

    exit_code = 6


class CheckpointError(HsiError, ValueError):
    """The folder for the state of a run holds something else, is in use, or cannot be written."""

    exit_code = 2


class Cancelled(HsiError):
    """The job was asked to stop and did."""

    exit_code = 130
