"""The sentences of the published MP-HSIR networks, and the table of vectors that a local CLIP makes of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hsi_models.clip_text import TASK_TEXTS, embed_texts, load_table, make_table, save_table, task_names
from hsi_models.store import Card, StoreError, save_weights
from safetensors.torch import load_file, save_file

TABLE = torch.linspace(-1, 1, 6 * 512).reshape(6, 512)


@pytest.fixture
def card(tmp_path: Path) -> Card:
    """Weights that need a table of six tasks."""
    facts = {
        "id": "natural",
        "title": "t",
        "network": "hsi_models.mphsir:MPHSIR",
        "hyper": {"bands": 31, "width": 64, "tasks": 6},
        "licence": "l",
        "data": ["d"],
        "recipe": "r",
    }
    return save_weights(tmp_path / "natural", {"a": torch.zeros(1)}, facts)


def write_clip(folder: Path, *, length: int = 512, patch: int = 32) -> Any:
    """A CLIP of one layer with random weights, as a local copy of a published one is laid out."""
    transformers = pytest.importorskip("transformers", reason="needs the extra 'clip'")
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text("{}")
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    last = len(vocabulary) - 1
    tokens = {"vocab_size": last + 1, "bos_token_id": last - 1, "eos_token_id": last, "pad_token_id": last}
    torch.manual_seed(0)
    model = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config={**size, **tokens, "projection_dim": length},
            vision_config={**size, "patch_size": patch, "image_size": 64},
            projection_dim=length,
        )
    )
    model.eval().save_pretrained(folder)
    return model


def test_the_sentences_keep_the_misspelling_they_were_trained_with() -> None:
    assert TASK_TEXTS["blur"] == "A hyperspectral image degraded by Gasussian blur."
    assert len(set(TASK_TEXTS.values())) == 7


def test_tasks_have_the_order_of_the_published_ids() -> None:
    assert task_names(7) == ("gauss", "complex", "blur", "sr", "inpaint", "haze", "bandloss")
    assert task_names(6) == ("gauss", "complex", "blur", "sr", "inpaint", "bandloss")
    assert task_names(5) == ()


def test_vectors_are_projected_and_not_normalised(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = write_clip(tmp_path / "clip")
    capfd.readouterr()
    texts = list(TASK_TEXTS.values())
    table = embed_texts(texts, tmp_path / "clip")
    assert (table.shape, table.dtype, table.requires_grad) == ((7, 512), torch.float32, False)
    assert capfd.readouterr() == ("", "")
    # By hand: letters that end a word are other tokens, and the vector is taken at the end of the text.
    vocabulary = json.loads((tmp_path / "clip" / "vocab.json").read_text())
    for text, found in zip(texts, table, strict=True):
        words = text.lower().replace(".", " .").split()
        letters = [[*word[:-1], f"{word[-1]}</w>"] for word in words]
        tokens = ["<|startoftext|>", *(letter for word in letters for letter in word), "<|endoftext|>"]
        ids = torch.tensor([[vocabulary[token] for token in tokens]])
        with torch.no_grad():
            told = model.text_projection(model.text_model(ids).last_hidden_state[0, -1])
        torch.testing.assert_close(found, told, atol=1e-5, rtol=1e-5)
    assert (table.norm(dim=1) - 1).abs().min() > 0.1


def test_what_is_installed_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(StoreError, match=r"pip install 'hsi-app\[clip\]'"):
        embed_texts(["a"], tmp_path)


@pytest.mark.parametrize("content", [None, "no json", "[]", '{"vision_config": 3}'])
def test_a_folder_without_a_clip_is_refused(tmp_path: Path, content: str | None) -> None:
    pytest.importorskip("transformers", reason="needs the extra 'clip'")
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(StoreError, match="no folder with a CLIP"):
        embed_texts(["a"], tmp_path)


@pytest.mark.parametrize(
    ("options", "words"), [({"length": 256}, "vectors of 256 numbers"), ({"patch": 16}, "patches of 16 px")]
)
def test_another_kind_of_clip_is_refused(tmp_path: Path, options: dict[str, int], words: str) -> None:
    write_clip(tmp_path / "clip", **options)
    with pytest.raises(StoreError, match=words):
        embed_texts(["a"], tmp_path / "clip")


def test_a_clip_that_lacks_tensors_is_refused_and_not_filled_up(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip")
    weights = load_file(tmp_path / "clip" / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, tmp_path / "clip" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StoreError, match=r"1 tensors are missing or unfit.*text_projection"):
        embed_texts(["a"], tmp_path / "clip")


@pytest.mark.parametrize("fault", ["no weights", "damaged weights", "no tokenizer"])
def test_a_damaged_clip_is_refused_in_one_line(tmp_path: Path, fault: str) -> None:
    write_clip(tmp_path / "clip")
    if fault == "no tokenizer":
        (tmp_path / "clip" / "vocab.json").unlink()
    elif fault == "no weights":
        (tmp_path / "clip" / "model.safetensors").unlink()
    else:
        (tmp_path / "clip" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(StoreError) as caught:
        embed_texts(["a"], tmp_path / "clip")
    assert "\n" not in str(caught.value)


def test_a_table_made_from_a_card_lies_beside_the_weights(card: Card, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip")
    table = make_table(card, tmp_path / "clip")
    assert table.shape == (6, 512)
    save_table(card, table)
    assert sorted(path.name for path in card.path.parent.iterdir()) == [
        "card.json",
        "clip.json",
        "clip.safetensors",
        "model.safetensors",
    ]
    assert torch.equal(load_table(card), table)


def test_a_table_comes_back_as_it_was(card: Card) -> None:
    save_table(card, TABLE)
    assert torch.equal(load_table(card), TABLE)
    facts = json.loads((card.path.parent / "clip.json").read_text())
    assert facts["texts"] == [TASK_TEXTS[name] for name in task_names(6)]


def test_a_missing_table_is_told_with_the_command_that_adds_it(card: Card) -> None:
    with pytest.raises(StoreError, match="hsi-app models clip natural FOLDER"):
        load_table(card)


def test_a_table_is_never_replaced(card: Card) -> None:
    save_table(card, TABLE)
    with pytest.raises(StoreError, match="never replaced"):
        save_table(card, TABLE)


@pytest.mark.parametrize("table", [torch.zeros(7, 512), torch.zeros(6, 256), torch.full((6, 512), torch.nan)])
def test_a_table_that_does_not_fit_is_refused(card: Card, table: torch.Tensor) -> None:
    with pytest.raises(StoreError, match=r"needs \(6, 512\)"):
        save_table(card, table)
    assert not (card.path.parent / "clip.json").exists()


@pytest.mark.parametrize("fault", ["changed table", "no table", "changed texts", "damaged card", "another file"])
def test_a_damaged_table_is_not_used(card: Card, fault: str) -> None:
    save_table(card, TABLE)
    folder = card.path.parent
    facts = json.loads((folder / "clip.json").read_text())
    if fault == "changed table":
        content = (folder / "clip.safetensors").read_bytes()
        (folder / "clip.safetensors").write_bytes(content[:-1] + b"\1")
    elif fault == "no table":
        (folder / "clip.safetensors").unlink()
    elif fault == "changed texts":
        (folder / "clip.json").write_text(json.dumps({**facts, "texts": facts["texts"][::-1]}))
    elif fault == "damaged card":
        (folder / "clip.json").write_text("[]")
    else:
        from hsi_models.store import sha256_of

        (folder / "clip.safetensors").write_bytes(b"no table")
        sha256 = sha256_of(folder / "clip.safetensors")
        (folder / "clip.json").write_text(json.dumps({**facts, "sha256": sha256}))
    with pytest.raises(StoreError):
        load_table(card)


def test_weights_of_another_network_take_no_table(card: Card) -> None:
    other = card.model_copy(update={"network": "hsi_models.sr3:SR3UNet"})
    with pytest.raises(StoreError, match="take no CLIP table"):
        save_table(other, TABLE)
