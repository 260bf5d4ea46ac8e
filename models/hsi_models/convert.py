"""Published checkpoints as weights of this program: read without running what is in them, fitted strictly, carded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hsi_models.clip_text import make_table, missing_table, save_table, task_names
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
    inferred : further fields of Card, from the shapes of ``parameters``; ``hyper`` builds the network
    others : whether tensors that ``network`` lacks are an error, or told of and left out
    reads_text : whether the network needs a table of text vectors beside its weights
    """

    name: str
    recognises: Callable[[State], bool]
    parameters: Callable[[State], dict[str, torch.Tensor]]
    network: str
    facts: Mapping[str, Any]
    inferred: Callable[[State], Mapping[str, Any]] = lambda parameters: {}
    others: Literal["refused", "told"] = "refused"
    reads_text: bool = False


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


# What PyTorch Lightning keeps beside the parameters.
_TRAINING = re.compile(
    r"(callbacks|epoch|global_step|hparams\w*|hyper_parameters|loops|lr_schedulers|optimizer_states"
    r"|\w*Precision\w*|pytorch-lightning_version)(\.|$)"
)
# The checkpoint, the module that was trained, and what may be wrapped around a network.
_WRAPPERS = re.compile(r"^((state_dict|net|module|_orig_mod)\.)+")


def _mphsir_parameters(state: State) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if _TRAINING.match(name):
            continue
        plain = _WRAPPERS.sub("", name)
        if plain in found:
            raise StoreError(f"the file holds more than one '{plain}': it is not known which of them to take.")
        found[plain] = tensor
    return found


def _mphsir_facts(parameters: State) -> dict[str, Any]:
    def shape(name: str, otherwise: tuple[int, ...]) -> tuple[int, ...]:
        # What lacks or has other axes is told by the comparison with the network.
        found = tuple(parameters[name].shape) if name in parameters else otherwise
        return found if len(found) == len(otherwise) else otherwise

    width, bands, *_ = shape("patch_embed.proj.weight", (64, 31, 3, 3))
    tasks = shape("prompt1.text_prompt_learnable", (1, 6, 64, 1, 1))[1]
    kind = {6: " of natural scenes", 7: " of remote sensing"}.get(tasks, "")
    return {
        "title": f"MP-HSIR{kind}, {bands} bands",
        "hyper": {"bands": bands, "width": width, "tasks": tasks},
        "bands": bands,
        "prompts": task_names(tasks),
        "data": _MPHSIR_DATA.get(tasks, ("not stated",)),
    }


_MPHSIR_DATA = {
    6: ("ARAD-1K and ICVL, 31 bands of 400-700 nm",),
    7: (
        "Berlin-Urban-Gradient, Chikusei, Eagle, Houston, Pavia Centre, Pavia University, Washington DC Mall and "
        "Xiong'an, interpolated to 100 bands of 400-1000 nm",
    ),
}


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
    Layout(
        name="MP-HSIR",
        recognises=lambda state: any(name.endswith(".gobal_spectral_attn.temperature") for name in state),
        parameters=_mphsir_parameters,
        network="hsi_models.mphsir:MPHSIR",
        facts={
            "size_multiple": 32,
            "input_range": (0.0, 1.0),
            "licence": "not stated by its authors; ask them before passing it on",
            "recipe": "https://github.com/ZhehuiWu/MP-HSIR",
            "references": ("Z. Wu et al., MP-HSIR, arXiv 2503.09131.",),
        },
        inferred=_mphsir_facts,
        others="told",
        reads_text=True,
    ),
)


def convert(
    source: Path, folder: Path, *, clip: Path | None = None, tell: Callable[[str], None] = lambda line: None
) -> Card:
    """Convert a published checkpoint.

    Parameters
    ----------
    source : the ``.pth`` / ``.ckpt`` file, read as plain tensors only
    folder : new folder for weights and card; its name becomes the id
    clip : folder with a local CLIP that makes the text vectors of networks that read text; see ``clip_text``
    tell : is given a line for whatever was left out or is still missing

    Returns
    -------
    The card

    Raises
    ------
    StoreError
        If the file is unreadable or of no known layout, does not fit its network tensor by tensor, or the folder
        exists; or if the text vectors cannot be made, or the network reads no text.
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
    if clip is not None and not layout.reads_text:
        raise StoreError(f"'{source}' is {layout.name}, which reads no text: leave --clip out.")
    parameters = layout.parameters(state)
    facts = {**layout.facts, **layout.inferred(parameters), "id": folder.name, "network": layout.network}
    module, _, name = layout.network.partition(":")
    try:
        with torch.device("meta"):
            network = getattr(importlib.import_module(module), name)(**facts.get("hyper", {}))
    except ValueError as error:
        raise StoreError(f"'{source}' fits no {layout.name}: {error}") from error
    wanted = network.state_dict()
    _check_fit(source, layout, parameters, wanted)
    if others := [name for name in parameters if name not in wanted]:
        tell(f"{len(others)} tensors of '{source.name}' belong to no layer and were left out: {_some(others)}.")
    facts["title"] += f" (converted from {source.name}, SHA-256 {sha256_of(source)[:12]})"
    table = None
    if clip is not None:
        table = make_table(Card.model_validate({**facts, "sha256": "0" * 64}), clip)
    card = save_weights(folder, {name: parameters[name] for name in wanted}, facts)
    if table is not None:
        save_table(card, table)
    elif layout.reads_text:
        tell(f"{missing_table(card)}.")
    return card


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _check_fit(source: Path, layout: Layout, found: State, wanted: State) -> None:
    missing = [name for name in wanted if name not in found]
    foreign = [name for name in found if name not in wanted and layout.others == "refused"]
    if missing or foreign:
        parts = [f"{len(names)} {what} ({names[0]}, ...)" for what, names in
                 (("missing", missing), ("unknown", foreign)) if names]  # fmt: skip
        raise StoreError(f"'{source}' is no complete {layout.name}: tensors {' and '.join(parts)}; fetch it again.")
    for name, tensor in wanted.items():
        if found[name].shape != tensor.shape:
            raise StoreError(
                f"'{source}' does not fit {layout.name}: {name} is {tuple(found[name].shape)}, "
                f"not {tuple(tensor.shape)}."
            )
        if not bool(found[name].isfinite().all()):
            raise StoreError(f"'{source}' is damaged: {name} holds values that are not finite; fetch it again.")
