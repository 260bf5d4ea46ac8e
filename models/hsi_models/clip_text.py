"""What the published MP-HSIR networks are told of their tasks: sentences, and the vectors CLIP makes of them.

The vectors are no part of the published checkpoints, and CLIP does not come with this program: a user's own copy of
``openai/clip-vit-base-patch32`` makes them once. They lie beside the weights::

    mphsir-natural/
      card.json, model.safetensors
      clip.json           sum of the table, and the sentences by order of id
      clip.safetensors    'clip_table', (tasks, 512)

Source: Wu et al. 2025 (arXiv 2503.09131); CLIP: Radford et al. 2021 (arXiv 2103.00020), ViT-B/32.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from hsi_models.store import Card, StoreError, sha256_of

if TYPE_CHECKING:
    import torch

TABLE_FILE, TABLE_CARD, TABLE_NAME = "clip.safetensors", "clip.json", "clip_table"
TEXT_LENGTH = 512
# Side of the image patches of the CLIP whose text vectors the networks were trained with.
CLIP_PATCH = 32

# The misspelling was there in training, so it is part of the vector.
TASK_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "gauss": "A hyperspectral image corrupted by Gaussian noise.",
        "complex": "A hyperspectral image affected by complex noise patterns.",
        "blur": "A hyperspectral image degraded by Gasussian blur.",
        "sr": "A hyperspectral image with reduced spatial resolution.",
        "inpaint": "A hyperspectral image compressed to a certain ratio.",
        "haze": "A hyperspectral image degraded by atmospheric haze.",
        "bandloss": "A hyperspectral image with missing spectral bands.",
    }
)


def task_names(tasks: int) -> tuple[str, ...]:
    """Tasks in the order of their ids: 6 of the network for natural scenes, 7 of that for remote sensing.

    Empty for any other number, which no published network has.

    >>> task_names(6)
    ('gauss', 'complex', 'blur', 'sr', 'inpaint', 'bandloss')
    """
    remote_sensing = tuple(TASK_TEXTS)
    natural = tuple(name for name in remote_sensing if name != "haze")
    return {6: natural, 7: remote_sensing}.get(tasks, ())


def embed_texts(texts: Sequence[str], clip: Path) -> torch.Tensor:
    """Text vectors of sentences, as CLIP projects them, not normalised.

    Parameters
    ----------
    texts : T sentences
    clip : folder with a local copy of ``openai/clip-vit-base-patch32``: ``config.json``, the weights, the tokenizer
        Nothing is fetched.

    Returns
    -------
    (T, 512) float32 tensor on the CPU

    Raises
    ------
    StoreError
        If transformers is not installed, or the folder holds no complete CLIP text encoder of this size.
    """
    import torch

    try:
        from transformers import CLIPTextModelWithProjection, CLIPTokenizer
    except ImportError as error:
        raise StoreError(
            "text vectors are made with the package transformers, which is not installed: pip install 'hsi-app[clip]'."
        ) from error
    _check_kind(clip)
    try:
        with _quiet():
            tokenizer = CLIPTokenizer.from_pretrained(clip, local_files_only=True)
            encoder, loaded = CLIPTextModelWithProjection.from_pretrained(
                clip, local_files_only=True, output_loading_info=True
            )
    except Exception as error:  # whatever a damaged file makes of the libraries that read it
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise StoreError(f"'{clip}' holds no text encoder of CLIP that can be read: {reason}") from error
    # transformers fills what is missing with random numbers.
    if missing := sorted(map(str, (*loaded["missing_keys"], *loaded["mismatched_keys"]))):
        raise StoreError(
            f"'{clip}' is no complete CLIP: {len(missing)} tensors are missing or unfit ({missing[0]}, ...)."
        )
    tokens = tokenizer(list(texts), padding=True, return_tensors="pt")
    with torch.no_grad():
        table: torch.Tensor = encoder.float().train(False)(**tokens).text_embeds
    if table.shape[1] != TEXT_LENGTH:
        raise StoreError(f"the CLIP in '{clip}' makes vectors of {table.shape[1]} numbers; {TEXT_LENGTH} are needed.")
    return table.contiguous()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the list of the image encoder's tensors, which are not wanted."""
    from transformers.utils import logging

    level, shows_progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shows_progress:
            logging.enable_progress_bar()


def _check_kind(clip: Path) -> None:
    """Other kinds of CLIP make vectors of the same length, which mean something else."""
    try:
        config = json.loads((clip / "config.json").read_bytes())
        patch = config.get("vision_config", {}).get("patch_size", CLIP_PATCH)
    except (OSError, ValueError, AttributeError) as error:
        raise StoreError(
            f"'{clip}' is no folder with a CLIP (config.json, model.safetensors, tokenizer); "
            "give a local copy of openai/clip-vit-base-patch32."
        ) from error
    if patch != CLIP_PATCH:
        raise StoreError(f"the CLIP in '{clip}' has patches of {patch} px; ViT-B/32 is needed, with {CLIP_PATCH}.")


def make_table(card: Card, clip: Path) -> torch.Tensor:
    """Text vectors of the tasks on a card.

    Parameters
    ----------
    card : of an MP-HSIR network as published
    clip : see ``embed_texts``

    Returns
    -------
    (tasks, 512) float32 tensor

    Raises
    ------
    StoreError
        See ``embed_texts``; and if the card is of another network.
    """
    return embed_texts(_texts(card), clip)


def save_table(card: Card, table: torch.Tensor) -> None:
    """Put a table of text vectors beside weights.

    Parameters
    ----------
    card : as read from the folder of the weights
    table : (tasks, 512)

    Raises
    ------
    StoreError
        If there is one already, or the table or the network is of another kind.
    """
    from safetensors.torch import save

    texts, folder = _texts(card), card.path.parent
    _check_table(card, table)
    if (folder / TABLE_CARD).exists():
        raise StoreError(f"'{folder / TABLE_CARD}' exists; tables are never replaced in place: remove it first.")
    # The card of the table comes last: a table without one does not count.
    _put(folder / TABLE_FILE, save({TABLE_NAME: table.detach().cpu().float().contiguous()}))
    facts = {"file": TABLE_FILE, "sha256": sha256_of(folder / TABLE_FILE), "texts": texts}
    _put(folder / TABLE_CARD, (json.dumps(facts, indent=2) + "\n").encode())


def load_table(card: Card) -> torch.Tensor:
    """The text vectors beside weights, from a file that was checked first.

    Parameters
    ----------
    card : as read from the folder of the weights

    Returns
    -------
    (tasks, 512) float32 tensor on the CPU

    Raises
    ------
    StoreError
        If there are none (the message tells how to add them), or they are damaged or of other sentences.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    texts, folder = _texts(card), card.path.parent
    if not (folder / TABLE_CARD).is_file():
        raise StoreError(f"{missing_table(card)}.")
    path = folder / TABLE_FILE
    try:
        facts = json.loads((folder / TABLE_CARD).read_bytes())
        expected, told = facts["sha256"], facts["texts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"'{folder / TABLE_CARD}' is no card of a CLIP table: remove it and make another.") from error
    if sha256_of(path) != expected or told != texts:
        raise StoreError(f"'{path}' is not what {TABLE_CARD} says, or of other tasks: remove both and make others.")
    try:
        table = load_file(path)[TABLE_NAME]
    except (SafetensorError, KeyError) as error:
        raise StoreError(f"'{path}' holds no '{TABLE_NAME}': remove it and make another.") from error
    _check_table(card, table)
    return table


def missing_table(card: Card) -> str:
    """That weights have no table of text vectors, and how they get one; no full stop."""
    return (
        f"the weights '{card.id}' lack the CLIP text vectors of their tasks; add them with 'hsi-app models clip "
        f"{card.id} FOLDER', where FOLDER is a local copy of openai/clip-vit-base-patch32"
    )


def _texts(card: Card) -> list[str]:
    names = task_names(card.hyper.get("tasks", 0)) if card.network == "hsi_models.mphsir:MPHSIR" else ()
    if not names:
        raise StoreError(f"the weights '{card.id}' take no CLIP table: only MP-HSIR as published, with 6 or 7 tasks.")
    return [TASK_TEXTS[name] for name in names]


def _check_table(card: Card, table: torch.Tensor) -> None:
    wanted = (card.hyper["tasks"], TEXT_LENGTH)
    if tuple(table.shape) != wanted or not bool(table.isfinite().all()):
        raise StoreError(f"the CLIP table is {tuple(table.shape)} or not finite; '{card.id}' needs {wanted}.")


def _put(path: Path, content: bytes) -> None:
    """A whole file or none."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as place:
        making = Path(place) / path.name
        making.write_bytes(content)
        making.replace(path)
