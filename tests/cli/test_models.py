"""``hsi-app models``."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from hsi_models import sr3

from hsi_app.cli.main import cli


@pytest.fixture(autouse=True)
def own_shelf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HSI_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


def call(*args: str | Path) -> tuple[int, str]:
    found = CliRunner().invoke(cli, [str(arg) for arg in ("models", *args)])
    return found.exit_code, found.output


def test_what_ships_is_listed_shown_and_whole() -> None:
    code, text = call("list")
    assert code == 0
    assert "triple-prior" in text
    listed = json.loads(call("list", "--json")[1])
    assert listed["broken"] == {}
    card = next(card for card in listed["weights"] if card["id"] == "triple-prior")
    assert Path(card["folder"], card["file"]).stat().st_size <= 16 * 2**20
    code, text = call("show", "triple-prior")
    assert code == 0
    assert card["sha256"] in text
    assert call("verify")[0] == 0


def test_unknown_weights_are_an_error_of_weights() -> None:
    code, text = call("show", "nothing")
    assert code == 6
    assert "no weights 'nothing'" in text


def test_a_changed_file_is_found(own_shelf: Path) -> None:
    from hsi_models.store import save_weights

    facts = {
        "id": "mine",
        "title": "t",
        "network": "hsi_models.sr3:SR3UNet",
        "licence": "l",
        "data": ["d"],
        "recipe": "r",
    }
    card = save_weights(own_shelf / "mine", {"a": torch.zeros(3)}, facts)
    assert call("verify", "mine") == (0, "mine: as on its card\n")
    card.path.write_bytes(card.path.read_bytes()[:-1] + b"\1")
    code, text = call("verify", "mine")
    assert code == 6
    assert "fetch the weights again" in text
    assert call("verify")[0] == 6


def test_a_published_checkpoint_is_converted_and_then_at_hand(
    monkeypatch: pytest.MonkeyPatch, own_shelf: Path, tmp_path: Path
) -> None:
    make = partial(sr3.SR3UNet, inner=32, multipliers=(1, 2))
    monkeypatch.setattr(sr3, "SR3UNet", make)
    torch.save({f"denoise_fn.{k}": v for k, v in make().state_dict().items()}, tmp_path / "I190000_E97_gen.pth")
    code, text = call("convert", tmp_path / "I190000_E97_gen.pth")
    assert code == 0
    assert "--prior i190000_e97_gen" in text
    assert "i190000_e97_gen" in call("list")[1]
    code, text = call("convert", tmp_path / "I190000_E97_gen.pth")
    assert code == 6
    assert "exists" in text


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    assert call("convert", tmp_path / "none.pth")[0] == 6
    (tmp_path / "text.pth").write_text("no tensors")
    assert call("convert", tmp_path / "text.pth")[0] == 6
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pth")
    assert call("convert", tmp_path / "x.pth", "--name", "Bad Name")[0] == 2
