"""Networks from weights on disk, with errors a user can act on."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from hsi_models.store import Card, StoreError, find_cards, load_card, load_state

from hsi_app.errors import WeightsError

if TYPE_CHECKING:
    import torch

# The only class outside hsi_models that a card may name: a card from elsewhere must not choose what is imported.
DIFFUSERS_NETWORK = "diffusers:UNet2DModel"
# Priors that need no weights.
PLAIN_PRIORS = ("blur", "none")


def find_card(where: str | Path) -> Card:
    """The card of weights by name, or in a folder.

    Raises WeightsError if there is none or it is damaged.
    """
    try:
        return load_card(where)
    except StoreError as error:
        raise WeightsError(str(error)) from error


def priors_at_hand() -> tuple[str, ...]:
    """What may be named as a prior for images without a path: weights for three channels, and two yardsticks."""
    return (*sorted(name for name, card in find_cards().cards.items() if card.bands == 3), *PLAIN_PRIORS)


def load_network(card: Card, device: torch.device | str = "cpu") -> torch.nn.Module:
    """The network of a card with its weights, for use: on the device, in float32, without gradients of its own.

    Raises WeightsError if the network is unknown or the weights do not fit it.
    """

    module, _, name = card.network.partition(":")
    if card.network != DIFFUSERS_NETWORK and not module.startswith("hsi_models."):
        raise WeightsError(
            f"weights '{card.id}' name the network '{card.network}'; those of hsi_models and {DIFFUSERS_NETWORK} are"
            " allowed: correct the card, or convert the weights with 'hsi-app models convert'."
        )
    try:
        network: torch.nn.Module = getattr(importlib.import_module(module), name)(**card.hyper)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise WeightsError(f"weights '{card.id}': the network '{card.network}' cannot be built: {error}.") from error
    try:
        state = {key: value.float() if value.is_floating_point() else value for key, value in load_state(card).items()}
        network.load_state_dict(state, strict=True)
    except StoreError as error:
        raise WeightsError(str(error)) from error
    except RuntimeError as error:
        # torch lists every name; the first line that carries one is enough for a person.
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"weights '{card.id}' do not fit '{card.network}': {reason}.") from error
    return for_use(network, device)


def for_use(network: torch.nn.Module, device: torch.device | str) -> torch.nn.Module:
    """The network on the device, in float32, channels last, without dropout or gradients of its own."""
    import torch

    network.train(False).requires_grad_(False)
    return network.to(torch.device(device)).float().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
