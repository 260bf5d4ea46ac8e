"""Weights on disk: a folder with a card that says what they are, and one safetensors file that is checked against it.

A folder of weights looks like this::

    hirdiff-rgb/
      card.json           see Card
      model.safetensors   parameters by name

Folders are looked for in ``HSI_MODELS_DIR`` (several are separated as in PATH), then in the user's data folder, then
beside this module.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

if TYPE_CHECKING:
    import torch

CARD_FILE = "card.json"
PACKAGED = Path(__file__).with_name("weights")
_CHUNK = 2**22


class StoreError(OSError):
    """Weights are missing, damaged, or not what their card says; one line for a person."""


class Score(BaseModel):
    """One measured figure and the command that measured it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data: str = Field(min_length=1, description="Cube or data set it was measured on.")
    task: str = Field(min_length=1, description="Degradation it undid, by its name.")
    metric: Literal["psnr", "ssim", "sam", "ergas", "rmse"]
    value: float
    command: str = Field(min_length=1, description="Command that prints this figure again.")


class Card(BaseModel):
    """What a file of weights is, where it comes from and what it may be used for.

    network : 'module:Class' inside hsi_models, or 'diffusers:UNet2DModel'
    hyper : arguments the network is built with
    bands : number of channels in, or None where any number goes
    prompts : tasks the network can be told, in the order of their index; empty where it takes none
    size_multiple : height and width must be multiples of this
    input_range : range the input is scaled to before it enters
    sha256 : of the file of weights, lower-case hexadecimal
    recipe : how it was trained, a path in the project or an address
    scores : what it reaches, with the commands
    folder : where it lies; not stored
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    title: str = Field(min_length=1)
    network: str = Field(pattern=r"^[\w.]+:\w+$")
    hyper: dict[str, Any] = Field(default_factory=dict)
    bands: int | None = Field(None, ge=1)
    prompts: tuple[str, ...] = ()
    size_multiple: int = Field(1, ge=1)
    input_range: tuple[float, float] = (0.0, 1.0)
    file: str = "model.safetensors"
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str = Field(min_length=1)
    data: tuple[str, ...] = Field(min_length=1)
    recipe: str = Field(min_length=1)
    references: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    folder: Path | None = Field(None, exclude=True)

    @field_validator("file")
    @classmethod
    def _inside_its_folder(cls, name: str) -> str:
        # A card from elsewhere must not be able to point at other files of this machine.
        if not re.fullmatch(r"[\w.-]+\.safetensors", name):
            raise ValueError("must be the name of a .safetensors file beside the card")
        return name

    @model_validator(mode="after")
    def _range_rises(self) -> Card:
        if not self.input_range[0] < self.input_range[1]:
            raise ValueError(f"input_range {self.input_range} must rise")
        return self

    @property
    def path(self) -> Path:
        """The file of weights."""
        if self.folder is None:
            raise StoreError(f"the card of '{self.id}' was not read from a folder, so it has no weights beside it.")
        return self.folder / self.file


@dataclass(frozen=True)
class Shelf:
    """What was found in the folders of weights: readable cards by id, and why others are not."""

    cards: Mapping[str, Card] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)


def model_folders() -> tuple[Path, ...]:
    """Where weights are looked for, first come first served."""
    from platformdirs import user_data_path

    own = [Path(part).expanduser() for part in os.environ.get("HSI_MODELS_DIR", "").split(os.pathsep) if part]
    return (*own, user_data_path("hsi-app", appauthor=False) / "models", PACKAGED)


def own_folder() -> Path:
    """Where a user's own weights go: the first of ``model_folders()``."""
    return model_folders()[0]


def find_cards(roots: Path | Iterable[Path] | None = None) -> Shelf:
    """Look through folders of weights without opening the weights.

    Parameters
    ----------
    roots : one folder or several that hold folders with cards; ``model_folders()`` when not given
        An id found twice counts where it was found first. Folders that do not exist count as empty.
    """
    folders = model_folders() if roots is None else (roots,) if isinstance(roots, Path) else tuple(roots)
    cards: dict[str, Card] = {}
    broken: dict[str, str] = {}
    for root in folders:
        for path in sorted(root.glob(f"*/{CARD_FILE}")):
            try:
                card = load_card(path)
            except StoreError as error:
                broken[str(path.parent)] = str(error)
            else:
                cards.setdefault(card.id, card)
    return Shelf(cards, broken)


def list_cards(roots: Path | Iterable[Path] | None = None) -> tuple[Card, ...]:
    """The readable cards, by id; see ``find_cards`` for those that are not."""
    return tuple(card for _, card in sorted(find_cards(roots).cards.items()))


def load_card(where: str | Path) -> Card:
    """Read a card.

    Parameters
    ----------
    where : a card, the folder it lies in, or the id of weights in one of ``model_folders()``

    Raises
    ------
    StoreError
        If there is none, or it is not a complete card.
    """
    path = Path(where)
    if path.is_dir():
        path = path / CARD_FILE
    if not path.is_file():
        if isinstance(where, str) and (found := find_cards().cards.get(where)):
            return found
        looked = ", ".join(map(str, model_folders()))
        raise StoreError(f"no weights '{where}'; looked in {looked}: put them there or set HSI_MODELS_DIR.")
    try:
        card = Card.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        what = ".".join(map(str, first["loc"])) or "the file"
        raise StoreError(f"card '{path}': {what}: {first['msg'].lower()}.") from None
    return card.model_copy(update={"folder": path.parent})


def verify(card: Card) -> None:
    """Compare the file of weights with the sum on its card.

    Raises StoreError if the file is missing or differs.
    """
    found = sha256_of(card.path)
    if found != card.sha256:
        raise StoreError(
            f"'{card.path}' has SHA-256 {found[:12]}..., its card says {card.sha256[:12]}...; fetch the weights again."
        )


def load_state(card: Card) -> dict[str, torch.Tensor]:
    """The parameters by name, on the CPU, from a file that was checked first.

    Raises StoreError if the file is missing, differs from its card, or is no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    verify(card)
    try:
        return load_file(card.path)
    except SafetensorError as error:
        raise StoreError(f"'{card.path}' is no safetensors file: {error}.") from error


def save_weights(
    folder: Path, state: Mapping[str, torch.Tensor], facts: Mapping[str, Any], texts: Mapping[str, str] | None = None
) -> Card:
    """Write weights and their card into a new folder; the card gets the sum of what was written.

    Parameters
    ----------
    folder : made if needed; appears complete or not at all
    state : parameters by name
    facts : the fields of Card but ``sha256`` and ``folder``
    texts : further small files beside the card, by name (the configuration another library reads)

    Raises
    ------
    StoreError
        If the folder exists already.
    ValidationError
        If the facts make no card.
    """
    from safetensors.torch import save_file

    if folder.exists():
        raise StoreError(f"'{folder}' exists; weights are never replaced in place: choose another name.")
    Card.model_validate({**facts, "sha256": "0" * 64})
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
        making = Path(place) / folder.name
        making.mkdir()
        weights = making / str(facts.get("file", "model.safetensors"))
        save_file({key: tensor.detach().cpu().contiguous().clone() for key, tensor in state.items()}, weights)
        card = Card.model_validate({**facts, "sha256": sha256_of(weights)})
        for name, text in {CARD_FILE: card.model_dump_json(indent=2), **(texts or {})}.items():
            (making / name).write_text(text + "\n", encoding="utf-8")
        making.rename(folder)
    return card.model_copy(update={"folder": folder})


def read_foreign(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of somebody else's ``.pth`` / ``.ckpt`` file, flattened to one level of dotted names.

    Wrappers such as ``{'state_dict': {'module.conv.weight': ...}}`` become part of the name; nothing is guessed.
    Code in the file is never run: it is read with ``torch.load(weights_only=True)``.

    Raises
    ------
    StoreError
        If the file is missing, holds anything but plain data, or holds no tensor.
    """
    import pickle

    import torch

    if not path.is_file():
        raise StoreError(f"no file '{path}'.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).strip().splitlines()[0][:120]
        raise StoreError(f"'{path}' holds more than tensors and plain values, so it is not read: {reason}") from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise StoreError(f"'{path}' is no file of torch, or a damaged one: {str(error)[:120]}.") from error
    found = dict(_flattened(content, ""))
    if not found:
        raise StoreError(f"'{path}' holds no tensor.")
    return found


def _flattened(node: Any, name: str) -> Iterable[tuple[str, torch.Tensor]]:
    import torch

    if isinstance(node, torch.Tensor):
        yield name or "tensor", node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flattened(value, f"{name}.{key}" if name else str(key))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _flattened(value, f"{name}.{index}" if name else str(index))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, lower-case hexadecimal; StoreError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise StoreError(f"'{path}' cannot be read: {error.strerror}; fetch the weights again.") from error
    return digest.hexdigest()
