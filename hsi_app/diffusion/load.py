"""Priors by name or from disk."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch
from hsi_models.store import CARD_FILE

from hsi_app.diffusion.prior import Level, Prior, blur_prior, no_prior, read_scheduler, unet_prior
from hsi_app.errors import WeightsError
from hsi_app.weights import DIFFUSERS_NETWORK, PLAIN_PRIORS, find_card, for_use, load_network

_PLAIN = dict(zip(PLAIN_PRIORS, (blur_prior, no_prior), strict=True))


def load_prior(where: str, device: torch.device | str = "cpu", level: Level = "sqrt") -> Prior:
    """A prior, loaded once and kept.

    Parameters
    ----------
    where : 'none', 'blur', the name of installed weights, a folder with a card, or a folder of diffusers with a
        three-channel UNet2DModel (itself, or in 'unet', with the scheduler beside it)
    level : what an SR3 network is told, see ``Prior``; others know themselves

    Raises
    ------
    WeightsError
        If there is no such prior, it is damaged, or it is no network for three channels.
    """
    if where in _PLAIN:
        return _PLAIN[where]()
    return _loaded(where, str(device), level)


@lru_cache(maxsize=2)
def _loaded(where: str, device: str, level: Level) -> Prior:
    folder = Path(where).expanduser()
    if folder.is_dir() and not (folder / CARD_FILE).is_file():
        return _from_diffusers(folder / "unet" if (folder / "unet").is_dir() else folder, device)
    card = find_card(folder if folder.is_dir() else where)
    network = load_network(card, device)
    if card.network == DIFFUSERS_NETWORK:
        assert card.folder is not None
        return unet_prior(network, read_scheduler(card.folder), name=card.id, digest=card.sha256)
    if card.bands != 3:
        raise WeightsError(f"weights '{card.id}' work on {card.bands or 'any number of'} channels; a prior needs 3.")
    return Prior(
        lambda images, told: network(images, told).float(), level,
        multiple_of=card.size_multiple, name=card.id, digest=card.sha256,
    )  # fmt: skip


def _from_diffusers(folder: Path, device: str) -> Prior:
    from diffusers import UNet2DModel
    from hsi_models.store import sha256_of

    weights = folder / "diffusion_pytorch_model.safetensors"
    if not (folder / "config.json").is_file() or not weights.is_file():
        raise WeightsError(
            f"'{folder}' holds no network of diffusers; it needs config.json and {weights.name} (or, for weights of"
            f" this program, {CARD_FILE})."
        )
    scheduler = read_scheduler(folder)
    try:
        network = cast(Any, UNet2DModel).from_pretrained(
            folder, use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False
        )
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise WeightsError(f"'{folder}' holds no readable UNet2DModel: {' '.join(str(error).split())[:200]}") from error
    return unet_prior(for_use(network, device), scheduler, name=folder.name, digest=sha256_of(weights))
