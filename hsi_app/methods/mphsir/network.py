"""The prompted network, loaded once and kept, and what it answers to patches of a scene."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from hsi_models.mphsir import MPHSIR
from hsi_models.prompted import PromptedNet
from hsi_models.store import Card
from torch import nn

from hsi_app.errors import WeightsError
from hsi_app.methods.mphsir.names import UNTRAINED
from hsi_app.methods.mphsir.view import view_components
from hsi_app.weights import find_card, for_use, load_network


@dataclass(frozen=True, eq=False)
class Prompted:
    """A network and what it is told of the scene at hand.

    weights : (T,) of the degradations; measured : (M,) numbers, see ``measured_prompt``
    is_soft : the estimate was not sharpened although the scene is blurred
    """

    network: PromptedNet
    weights: torch.Tensor
    measured: torch.Tensor
    is_soft: bool = False

    def components(self, maps: torch.Tensor) -> torch.Tensor:
        """What to add to component images.

        maps : (N, 2 K + 2, h, w) estimate, what the samples say by themselves, and the shares observed and believed
        """
        count = self.network.components
        view = view_components(maps[:, :count], maps[:, count : 2 * count], maps[:, 2 * count :], is_soft=self.is_soft)
        measured = torch.cat([self.measured.expand(len(maps), -1), view.level], 1)
        with _fast(maps.device):
            change = self.network.correct_components(view.seen, self.weights.expand(len(maps), -1), measured)
        return change.float() * view.unit

    def bands(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See ``PromptedNet.correct_bands``."""
        measured = torch.cat([self.measured, self.measured.new_zeros(self.network.components)])
        with _fast(seen.device):
            change, veil = self.network.correct_bands(
                seen, self.weights.expand(len(seen), -1), measured.expand(len(seen), -1)
            )
        return change.float(), veil.float()


def load(where: str, device: torch.device) -> tuple[nn.Module, Card | None]:
    """The network of a card, by name or folder: ours, or the published one; 'none' for one that changes nothing.

    Raises WeightsError if there is none, or it takes no prompts.
    """
    return _loaded(where, str(device))


@lru_cache(maxsize=2)
def _loaded(where: str, device: str) -> tuple[nn.Module, Card | None]:
    if where == UNTRAINED:
        # As it begins its training: it adds nothing to the classical estimate.
        return for_use(PromptedNet(), device), None
    folder = Path(where).expanduser()
    card = find_card(folder if folder.is_dir() else where)
    network = load_network(card, device)
    if not isinstance(network, PromptedNet | MPHSIR):
        raise WeightsError(f"weights '{card.id}' are a {type(network).__name__}, no prompted network; choose others.")
    return network, card


def _fast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")
