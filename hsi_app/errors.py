"""Errors a user may meet: each says what was found, what is needed and what to do.

Every class is also the builtin a caller would expect, and knows the exit code of the command line.
"""

from __future__ import annotations

# Letters of a message; what was found stands at its start, and what to do at its end.
LONGEST_LINE = 1000


class HsiError(Exception):
    """Any failure the program foresees; the message is one line for a person."""

    exit_code = 1

    def __str__(self) -> str:
        # Names and texts out of files may hold line ends, and codes that a terminal would obey, and have any length.
        line = "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in super().__str__())
        return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 205]} ... {line[-200:]}"


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
