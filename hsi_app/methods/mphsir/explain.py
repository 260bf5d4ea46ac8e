"""What a prompt means, in one line for whoever is typing it; imports no torch."""

from __future__ import annotations

from hsi_app.errors import ParameterError
from hsi_app.methods.mphsir.words import understand


def explain(text: str) -> str:
    """Say what was understood of a prompt.

    Raises
    ------
    ParameterError
        If it cannot be acted on: the question that has to be answered first.

    >>> explain("remove the haze")
    'Understood: correct haze.'
    """
    found = understand(text)
    if not found.is_sure:
        raise ParameterError(found.sentence())
    return found.sentence()
