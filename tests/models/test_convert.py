"""Published checkpoints become weights only if every tensor fits."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from pathlib import Path

import pytest
import torch
from hsi_models import sr3
from hsi_models.convert import SR3_SCHEDULE, convert
from hsi_models.store import StoreError, load_state, own_folder


def checkpoint(network: torch.nn.Module) -> OrderedDict[str, torch.Tensor]:
    """As the published one: the network under a prefix, twelve buffers of the schedule beside it."""
    state = OrderedDict((f"denoise_fn.{name}", tensor) for name, tensor in network.state_dict().items())
    state.update((name, torch.linspace(0, 1, 2000)) for name in sorted(SR3_SCHEDULE))
    return state


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """A small network in place of the 391 million parameters."""
    make = partial(sr3.SR3UNet, inner=32, multipliers=(1, 2))
    monkeypatch.setattr(sr3, "SR3UNet", make)
    torch.manual_seed(0)
    return make()


def test_the_published_schedule_has_twelve_buffers() -> None:
    assert len(SR3_SCHEDULE) == 12


def test_a_checkpoint_is_stripped_checked_and_carded(small: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(checkpoint(small), tmp_path / "I190000_E97_gen.pth")
    card = convert(tmp_path / "I190000_E97_gen.pth", tmp_path / "weights" / "sr3")
    assert (card.id, card.bands, card.size_multiple, card.input_range) == ("sr3", 3, 16, (-1.0, 1.0))
    state = load_state(card)
    assert set(state) == set(small.state_dict())
    for name, tensor in small.state_dict().items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("fault", ["a tensor short", "a tensor too many", "another shape", "not a number"])
def test_what_does_not_fit_is_refused_in_one_line(small: torch.nn.Module, tmp_path: Path, fault: str) -> None:
    state = checkpoint(small)
    if fault == "a tensor short":
        del state["denoise_fn.init_conv.bias"]
    elif fault == "a tensor too many":
        state["denoise_fn.extra"] = torch.zeros(1)
    elif fault == "another shape":
        state["denoise_fn.init_conv.bias"] = torch.zeros(7)
    else:
        state["denoise_fn.init_conv.bias"] = torch.full((32,), torch.nan)
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(StoreError) as caught:
        convert(tmp_path / "file.pth", tmp_path / "sr3")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sr3").exists()


def test_an_unknown_layout_is_refused_and_the_known_named(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "file.pth")
    with pytest.raises(StoreError, match=r"conv\.weight.*known are: SR3"):
        convert(tmp_path / "file.pth", tmp_path / "sr3")


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    torch.save({"denoise_fn.noise_level_mlp.1.weight": Trap()}, tmp_path / "file.pth")
    with pytest.raises(StoreError, match="more than tensors"):
        convert(tmp_path / "file.pth", tmp_path / "sr3")
    assert not (tmp_path / "sprung").exists()


def test_weights_are_never_replaced(small: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(checkpoint(small), tmp_path / "file.pth")
    (tmp_path / "sr3").mkdir()
    with pytest.raises(StoreError, match="exists"):
        convert(tmp_path / "file.pth", tmp_path / "sr3")


def test_own_weights_go_where_the_user_says_or_into_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HSI_MODELS_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert own_folder() == tmp_path / "data" / "hsi-app" / "models"
    monkeypatch.setenv("HSI_MODELS_DIR", str(tmp_path / "mine"))
    assert own_folder() == tmp_path / "mine"


@pytest.mark.slow
def test_the_full_checkpoint_is_converted_and_denoises(tmp_path: Path) -> None:
    from hsi_app.diffusion.load import load_prior

    with torch.device("meta"):
        layout = sr3.SR3UNet().state_dict()
    rng = torch.Generator().manual_seed(0)
    state = {f"denoise_fn.{name}": 0.01 * torch.randn(t.shape, generator=rng) for name, t in layout.items()}
    state |= {name: torch.zeros(2000) for name in SR3_SCHEDULE}
    torch.save(state, tmp_path / "I190000_E97_gen.pth")
    card = convert(tmp_path / "I190000_E97_gen.pth", tmp_path / "sr3")
    prior = load_prior(str(card.folder))
    noise = prior.noise(torch.randn(1, 3, 20, 36, generator=rng), 0.5)
    assert noise.shape == (1, 3, 20, 36)
    assert bool(noise.isfinite().all())
