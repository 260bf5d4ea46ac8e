"""Published MP-HSIR checkpoints become weights of this program if every tensor is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from hsi_models import clip_text
from hsi_models import convert as conversion
from hsi_models.convert import convert
from hsi_models.mphsir import MPHSIR
from hsi_models.store import StoreError, load_card, load_state
from test_clip_text import write_clip

from hsi_app.cli.main import cli
from hsi_app.weights import load_network


def state_of(bands: int = 9, width: int = 16, tasks: int = 6) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return MPHSIR(bands, width, tasks).state_dict()


def lightning(state: dict[str, torch.Tensor], prefix: str = "net.") -> dict[str, Any]:
    """As PyTorch Lightning saves a training: the network in a module, and what goes on with it."""
    return {
        "epoch": 99,
        "global_step": 420_000,
        "pytorch-lightning_version": "2.0.6",
        "state_dict": {f"{prefix}{name}": tensor for name, tensor in state.items()},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 100}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5), "dirpath": "/a"}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}],
        "lr_schedulers": [{"last_epoch": 99, "_last_lr": [1e-6]}],
        "MixedPrecisionPlugin": {"scale": 65536.0, "growth_factor": torch.tensor(2.0)},
    }


def converted(content: Any, folder: Path, **options: Any) -> tuple[Any, list[str]]:
    """The card, and the lines that were told."""
    torch.save(content, folder / "Natural_scene.ckpt")
    lines: list[str] = []
    card = convert(folder / "Natural_scene.ckpt", folder / "weights" / "mphsir", tell=lines.append, **options)
    return card, lines


@pytest.mark.parametrize(
    ("instance", "prompts", "title"),
    [
        ((31, 64, 6), ("gauss", "complex", "blur", "sr", "inpaint", "bandloss"), "natural scenes, 31 bands"),
        ((100, 96, 7), ("gauss", "complex", "blur", "sr", "inpaint", "haze", "bandloss"), "remote sensing, 100 bands"),
    ],
)
def test_both_published_networks_come_back_as_they_were(
    instance: tuple[int, int, int], prompts: tuple[str, ...], title: str, tmp_path: Path
) -> None:
    state = state_of(*instance)
    card, _ = converted(lightning(state), tmp_path)
    assert card.hyper == dict(zip(("bands", "width", "tasks"), instance, strict=True))
    assert title in card.title
    assert card.prompts == prompts
    network = load_network(card)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name])


@pytest.mark.parametrize("prefix", ["net.", "", "module.", "net._orig_mod.", "net.module.", "_orig_mod.net."])
def test_wrappers_around_the_network_are_taken_off(prefix: str, tmp_path: Path) -> None:
    state = state_of()
    card, lines = converted(lightning(state, prefix), tmp_path)
    found = load_state(card)
    assert set(found) == set(state)
    assert all(torch.equal(found[name], state[name]) for name in state)
    assert [line for line in lines if "left out" in line] == []


def test_a_bare_state_dict_is_taken_too(tmp_path: Path) -> None:
    assert set(load_state(converted(state_of(), tmp_path)[0])) == set(state_of())


def test_the_card_tells_what_a_user_must_know(tmp_path: Path) -> None:
    card, _ = converted(lightning(state_of(tasks=7)), tmp_path)
    assert card.network == "hsi_models.mphsir:MPHSIR"
    assert card.hyper == {"bands": 9, "width": 16, "tasks": 7}
    assert (card.bands, card.size_multiple, card.input_range) == (9, 32, (0.0, 1.0))
    assert card.licence == "not stated by its authors; ask them before passing it on"
    assert card.prompts == clip_text.task_names(7)
    assert "converted from Natural_scene.ckpt" in card.title


def test_the_loaded_network_restores_as_the_saved_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    saved = MPHSIR(9, 16, 6).eval()
    card, _ = converted(lightning(saved.state_dict()), tmp_path)
    given = torch.rand(1, 9, 32, 32), torch.tensor([2]), torch.randn(6, 512)
    with torch.inference_mode():
        torch.testing.assert_close(load_network(card)(*given), saved(*given), atol=1e-5, rtol=0)


def test_unknown_tensors_are_told_of_and_left_out(tmp_path: Path) -> None:
    content = lightning(state_of())
    content["state_dict"] |= {"net.extra.weight": torch.zeros(1), "loss.scale": torch.ones(1)}
    card, lines = converted(content, tmp_path)
    assert set(load_state(card)) == set(state_of())
    told = next(line for line in lines if "left out" in line)
    assert told.startswith("2 tensors")
    assert "extra.weight, loss.scale" in told


@pytest.mark.parametrize(
    "name", ["patch_embed.proj.weight", "prompt1.text_prompt_learnable", "latent.blocks.3.attn_mask", "output.weight"]
)
def test_a_missing_tensor_is_an_error(name: str, tmp_path: Path) -> None:
    state = state_of(31, 64) if name.startswith("p") else state_of()
    del state[name]
    with pytest.raises(StoreError, match=rf"missing \({name}"):
        converted(lightning(state), tmp_path)
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("fault", ["another shape", "another width", "odd axes", "not a number", "twice"])
def test_what_does_not_fit_is_refused_in_one_line(fault: str, tmp_path: Path) -> None:
    content = lightning(state_of())
    state = content["state_dict"]
    if fault == "another shape":
        state["net.output.weight"] = torch.zeros(9, 32, 1, 1)
    elif fault == "another width":
        state["net.patch_embed.proj.weight"] = torch.zeros(20, 9, 3, 3)
    elif fault == "odd axes":
        state["net.patch_embed.proj.weight"] = torch.zeros(3)
    elif fault == "not a number":
        state["net.output.weight"] = torch.full((9, 32, 3, 3), torch.nan)
    else:
        state["module.output.weight"] = state["net.output.weight"]
    with pytest.raises(StoreError) as caught:
        converted(content, tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "weights").exists()


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "sprung",)

    with pytest.raises(StoreError, match="more than tensors"):
        converted({**lightning(state_of()), "callbacks": Trap()}, tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_without_a_clip_the_missing_table_is_told(tmp_path: Path) -> None:
    card, lines = converted(lightning(state_of()), tmp_path)
    assert "hsi-app models clip mphsir FOLDER" in lines[-1]
    with pytest.raises(StoreError, match="lack the CLIP text vectors"):
        clip_text.load_table(card)


def test_with_a_clip_the_table_is_made_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = torch.rand(6, 512)
    monkeypatch.setattr(conversion, "make_table", lambda card, clip: table)
    card, lines = converted(lightning(state_of()), tmp_path, clip=tmp_path)
    assert lines == []
    assert torch.equal(clip_text.load_table(card), table)


def test_a_local_clip_makes_the_table(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip")
    card, _ = converted(lightning(state_of()), tmp_path, clip=tmp_path / "clip")
    texts = [clip_text.TASK_TEXTS[name] for name in card.prompts]
    assert torch.equal(clip_text.load_table(card), clip_text.embed_texts(texts, tmp_path / "clip"))


def test_a_clip_that_fails_leaves_no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(card: object, clip: Path) -> torch.Tensor:
        raise StoreError("no CLIP")

    monkeypatch.setattr(conversion, "make_table", fail)
    with pytest.raises(StoreError, match="no CLIP"):
        converted(lightning(state_of()), tmp_path, clip=tmp_path)
    assert not (tmp_path / "weights").exists()


def test_a_network_that_reads_no_text_takes_no_clip(tmp_path: Path) -> None:
    torch.save({"denoise_fn.noise_level_mlp.1.weight": torch.zeros(1)}, tmp_path / "sr3.pth")
    with pytest.raises(StoreError, match="reads no text"):
        convert(tmp_path / "sr3.pth", tmp_path / "sr3", clip=tmp_path)


def command(*args: str | Path) -> tuple[int, str]:
    found = CliRunner().invoke(cli, [str(arg) for arg in ("models", *args)])
    return found.exit_code, found.output


def test_a_table_is_added_by_a_command_later(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HSI_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setattr(clip_text, "embed_texts", lambda texts, clip: torch.ones(len(texts), 512))
    torch.save(lightning(state_of()), tmp_path / "Natural_scene.ckpt")
    code, text = command("convert", tmp_path / "Natural_scene.ckpt")
    assert code == 0
    assert "hsi-app models clip natural_scene FOLDER" in text
    assert "hirdiff" not in text
    assert command("clip", "natural_scene", tmp_path)[0] == 0
    assert clip_text.load_table(load_card("natural_scene")).sum() == 6 * 512
    code, text = command("clip", "natural_scene", tmp_path)
    assert code == 6
    assert "never replaced" in text
    assert command("clip", "nothing", tmp_path)[0] == 6


def test_a_table_is_made_with_the_option_at_conversion(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clip_text, "embed_texts", lambda texts, clip: torch.ones(len(texts), 512))
    torch.save(lightning(state_of()), tmp_path / "a.ckpt")
    code, text = command("convert", tmp_path / "a.ckpt", "--to", tmp_path / "models", "--clip", tmp_path)
    assert code == 0
    assert "FOLDER" not in text
    assert (tmp_path / "models" / "a" / "clip.safetensors").is_file()
