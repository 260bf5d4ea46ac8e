"""Weights are what their card says, or they are not used."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hsi_models.store import (
    PACKAGED,
    Card,
    StoreError,
    find_cards,
    list_cards,
    load_card,
    load_state,
    model_folders,
    read_foreign,
    save_weights,
    verify,
)

FACTS: dict[str, Any] = {
    "id": "tiny-3",
    "title": "A tiny network",
    "network": "hsi_models.tiny:Tiny",
    "hyper": {"width": 8, "groups": [1, 2]},
    "bands": 3,
    "prompts": ["denoise", "deblur"],
    "size_multiple": 8,
    "input_range": [-1.0, 1.0],
    "licence": "BSD-3-Clause",
    "data": ["synthetic mixtures of public-domain spectra"],
    "recipe": "models/recipes/tiny",
    "scores": [{"data": "a", "task": "gauss-50", "metric": "psnr", "value": 30.5, "command": "hsi-app score a b"}],
}


def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"conv.weight": torch.randn(4, 3, generator=generator), "conv.bias": torch.zeros(4, dtype=torch.float64)}


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return save_weights(tmp_path / "tiny-3", state(), FACTS)


def test_what_was_saved_is_loaded_with_its_names_numbers_and_types(card: Card) -> None:
    loaded = load_state(card)
    assert loaded.keys() == state().keys()
    for name, tensor in state().items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_a_card_read_again_is_the_card_written(card: Card, tmp_path: Path) -> None:
    assert load_card(tmp_path / "tiny-3") == card
    assert load_card(tmp_path / "tiny-3" / "card.json") == card


def test_views_of_one_tensor_are_saved_like_any_others(tmp_path: Path) -> None:
    whole = torch.arange(6.0)
    saved = save_weights(tmp_path / "views", {"a": whole[:3], "b": whole[::2], "c": whole}, {**FACTS, "id": "views"})
    assert load_state(saved)["b"].tolist() == [0, 2, 4]


def test_the_card_does_not_say_where_it_lies(card: Card) -> None:
    assert "folder" not in json.loads((card.path.parent / "card.json").read_text())


def test_one_changed_byte_is_found_before_anything_is_built(card: Card) -> None:
    content = bytearray(card.path.read_bytes())
    content[-1] ^= 1
    card.path.write_bytes(content)
    with pytest.raises(StoreError, match="SHA-256"):
        load_state(card)


def test_missing_weights_are_named(card: Card) -> None:
    card.path.unlink()
    with pytest.raises(StoreError, match=r"model\.safetensors' cannot be read"):
        verify(card)


def test_a_file_that_is_no_safetensors_is_refused_even_with_a_right_sum(card: Card) -> None:
    import hashlib

    card.path.write_bytes(b"not weights at all")
    right = card.model_copy(update={"sha256": hashlib.sha256(b"not weights at all").hexdigest()})
    with pytest.raises(StoreError, match="no safetensors file"):
        load_state(right)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sha256": "12"}, "sha256"),
        ({"network": "Tiny"}, "network"),
        ({"bands": 0}, "bands"),
        ({"data": []}, "data"),
        ({"licence": ""}, "licence"),
        ({"file": "../../etc/passwd"}, "file"),
        ({"file": "model.pth"}, "file"),
        ({"input_range": [1, 0]}, "must rise"),
        ({"colour": "red"}, "colour"),
        ({"scores": [{"metric": "psnr"}]}, "scores.0"),
        ({"scores": [{**FACTS["scores"][0], "value": float("nan")}]}, "scores.0.value"),
    ],
)
def test_an_incomplete_card_is_refused_in_one_line_that_names_the_field(
    card: Card, change: dict[str, Any], says: str
) -> None:
    path = card.path.parent / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(StoreError, match=says) as caught:
        load_card(path)
    assert "\n" not in str(caught.value)


def test_a_card_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(StoreError, match="the file"):
        load_card(tmp_path)


def test_unknown_weights_say_where_they_were_looked_for() -> None:
    with pytest.raises(StoreError, match="set HSI_MODELS_DIR"):
        load_card("no-such-weights")


def test_saving_never_replaces_weights(card: Card, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="exists"):
        save_weights(tmp_path / "tiny-3", state(), FACTS)
    verify(card)


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="licence"):
        save_weights(tmp_path / "x", state(), {**FACTS, "licence": ""})
    assert list(tmp_path.iterdir()) == []


def test_cards_are_listed_by_id_and_damaged_ones_do_not_hide_the_others(card: Card, tmp_path: Path) -> None:
    save_weights(tmp_path / "a", state(), {**FACTS, "id": "a-first"})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "card.json").write_text("{}")
    assert [c.id for c in list_cards(tmp_path)] == ["a-first", "tiny-3"]
    assert list(find_cards(tmp_path).broken) == [str(tmp_path / "broken")]


def test_the_first_folder_with_an_id_wins(tmp_path: Path) -> None:
    first = save_weights(tmp_path / "1" / "w", state(), FACTS)
    save_weights(tmp_path / "2" / "w", state(), {**FACTS, "title": "Other"})
    assert list_cards([tmp_path / "1", tmp_path / "2", tmp_path / "none"]) == (first,)


def test_own_folders_come_before_the_packaged_one(monkeypatch: pytest.MonkeyPatch, card: Card, tmp_path: Path) -> None:
    monkeypatch.setenv("HSI_MODELS_DIR", os.pathsep.join([str(tmp_path), "~/weights"]))
    folders = model_folders()
    assert folders[:2] == (tmp_path, Path.home() / "weights")
    assert folders[-1] == PACKAGED
    assert load_card("tiny-3") == card


def test_packaged_weights_are_what_their_cards_say() -> None:
    shelf = find_cards(PACKAGED)
    assert shelf.broken == {}
    for card in shelf.cards.values():
        verify(card)


def test_foreign_checkpoints_are_flattened_to_dotted_names(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(
        {"epoch": 3, "state_dict": {"module.w": torch.ones(2)}, "ema": [torch.zeros(1), {"b": torch.eye(2)}]}, path
    )
    assert {name: tuple(t.shape) for name, t in read_foreign(path).items()} == {
        "state_dict.module.w": (2,),
        "ema.0": (1,),
        "ema.1.b": (2, 2),
    }


class Payload:
    """What an attacker would put into a file of weights."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (os.environ["HSI_TEST_PAYLOAD"],))


def test_code_in_a_foreign_checkpoint_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSI_TEST_PAYLOAD", str(tmp_path / "ran"))
    path = tmp_path / "net.pth"
    torch.save({"w": torch.ones(1), "x": Payload()}, path)
    with pytest.raises(StoreError, match="more than tensors"):
        read_foreign(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 damaged"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(StoreError):
        read_foreign(path)


def test_a_checkpoint_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 1}, tmp_path / "net.pth")
    with pytest.raises(StoreError, match="holds no tensor"):
        read_foreign(tmp_path / "net.pth")
    with pytest.raises(StoreError, match="no file"):
        read_foreign(tmp_path / "absent.pth")
