"""Published checkpoints as weights of this program: read without running what is in them, fitted strictly, carded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsi_models.store import Card, StoreError, read_foreign, save_weights, sha256_of

if TYPE_CHECKING:
    import torch

State = Mapping[str, "torch.Tensor"]


@dataclass(frozen=True)
class Layout:
    """A kind of checkpoint.

    Parameters
    ----------
    name : what people call it
    recognises : tells by the names of the tensors
    parameters : the tensors by the names of ``network``
    network, facts : fields of Card
    """

    name: str
    recognises: Callable[[State], bool]
    parameters: Callable[[State], dict[str, torch.Tensor]]
    network: str
    facts: Mapping[str, Any]


# Schedule of the training run, stored beside the network; whoever samples has one of their own.
SR3_SCHEDULE = frozenset(
    [
        "betas",
        "alphas_cumprod",
        "alphas_cumprod_prev",
        "sqrt_alphas_cumprod",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_variance",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
    ]
)
_SR3_PREFIX = "denoise_fn."


def _sr3_parameters(state: State) -> dict[str, torch.Tensor]:
    return {name.removeprefix(_SR3_PREFIX): tensor for name, tensor in state.items() if name not in SR3_SCHEDULE}


LAYOUTS = (
    Layout(
        name="SR3 of ddpm-cd, the prior of HIR-Diff",
        recognises=lambda state: f"{_SR3_PREFIX}noise_level_mlp.1.weight" in state,
        parameters=_sr3_parameters,
        network="hsi_models.sr3:SR3UNet",
        facts={
            "title": "SR3 prior of remote-sensing photographs",
            "bands": 3,
            "size_multiple": 16,
            "input_range": (-1.0, 1.0),
            "licence": "not stated by its authors; ask them before passing it on",
            "data": ("Million-AID and the LEVIR, WHU and DSIFN change-detection images (Google Earth RGB)",),
            "recipe": "https://github.com/wgcban/ddpm-cd",
            "references": (
                "W. G. C. Bandara, N. G. Nair and V. M. Patel, DDPM-CD, arXiv 2206.11892.",
                "C. Saharia et al., Image super-resolution via iterative refinement, arXiv 2104.07636.",
            ),
        },
    ),
)


def convert(source: Path, folder: Path) -> Card:
    """Convert a published checkpoint.

    Parameters
    ----------
    source : the ``.pth`` / ``.ckpt`` file, read as plain tensors only
    folder : new folder for weights and card; its name becomes the id

    Returns
    -------
    The card

    Raises
    ------
    StoreError
        If the file is unreadable or of no known layout, does not fit its network tensor by tensor, or the folder
        exists.
    """
    import importlib

    import torch

    if folder.exists():
        raise StoreError(f"'{folder}' exists; weights are never replaced in place: choose another name with --name.")
    state = read_foreign(source)
    layout = next((layout for layout in LAYOUTS if layout.recognises(state)), None)
    if layout is None:
        known = "; ".join(layout.name for layout in LAYOUTS)
        first = ", ".join(list(state)[:3])
        raise StoreError(f"'{source}' has no known layout (its tensors: {first}, ...); known are: {known}.")
    parameters = layout.parameters(state)
    module, _, name = layout.network.partition(":")
    with torch.device("meta"):
        network = getattr(importlib.import_module(module), name)()
    _check_fit(source, layout.name, parameters, network.state_dict())
    facts = {**layout.facts, "id": folder.name, "network": layout.network}
    facts["title"] += f" (converted from {source.name}, SHA-256 {sha256_of(source)[:12]})"
    return save_weights(folder, parameters, facts)


def _check_fit(source: Path, layout: str, found: State, wanted: State) -> None:
    missing, foreign = [name for name in wanted if name not in found], [name for name in found if name not in wanted]
    if missing or foreign:
        parts = [f"{len(names)} {what} ({names[0]}, ...)" for what, names in
                 (("missing", missing), ("unknown", foreign)) if names]  # fmt: skip
        raise StoreError(f"'{source}' is no complete {layout}: tensors {' and '.join(parts)}; fetch it again.")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            raise StoreError(
                f"'{source}' does not fit {layout}: {name} is {tuple(found[name].shape)}, not {tuple(tensor.shape)}."
            )
        if not bool(found[name].isfinite().all()):
            raise StoreError(f"'{source}' is damaged: {name} holds values that are not finite; fetch it again.")
