"""Priors from wherever they lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel

from hsi_app.diffusion.load import load_prior
from hsi_app.errors import WeightsError


def network(channels: int = 3) -> UNet2DModel:
    torch.manual_seed(0)
    return UNet2DModel(
        in_channels=channels, out_channels=channels, layers_per_block=1, block_out_channels=(8, 8), norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, add_attention=False,
    )  # fmt: skip


def folder_of(place: Path, prediction: str = "epsilon", channels: int = 3) -> Path:
    """As diffusers writes pipelines: the network in 'unet', the scheduler beside it."""
    network(channels).save_pretrained(place / "unet")
    DDIMScheduler(prediction_type=prediction).save_pretrained(place / "scheduler")
    return place


def test_the_shipped_prior_removes_noise_and_is_loaded_once() -> None:
    prior = load_prior("triple-prior")
    assert load_prior("triple-prior") is prior
    assert len(prior.digest) == 64
    rows, cols = torch.meshgrid(torch.linspace(-3, 3, 64), torch.linspace(-3, 3, 64), indexing="ij")
    clean = torch.stack([rows.sin(), cols.cos(), (rows + cols).sin()])[None] / 2
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    for sigma in (0.05, 0.3, 1.0):
        left = (prior.denoise(clean + sigma * noise, sigma) - clean).square().mean().sqrt()
        assert left < 0.5 * sigma


def test_priors_at_hand_are_offered_by_name() -> None:
    from hsi_app.methods.registry import method
    from hsi_app.params import options

    for name in ("hirdiff", "lowrank"):
        (prior,) = (option for option in options(method(name).parameters) if option.name == "prior")
        offered = prior.offered()
        assert offered[0] == prior.default == "triple-prior"
        assert {"blur", "none"} <= set(offered)
        for entry in offered:
            load_prior(entry)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_folder_of_diffusers_predicts_what_its_network_says(tmp_path: Path, prediction: str) -> None:
    prior = load_prior(str(folder_of(tmp_path, prediction)))
    bars = DDIMScheduler().alphas_cumprod
    bar = float(bars[300])
    images = torch.randn(1, 3, 16, 16)
    said = UNet2DModel.from_pretrained(tmp_path / "unet")(images, 300).sample.detach()
    scheduler = DDIMScheduler(prediction_type=prediction, clip_sample=False)
    scheduler.set_timesteps(1000)
    guess = scheduler.step(said, 300, images).pred_original_sample
    found = (images - (1 - bar) ** 0.5 * prior.noise(images, bar)) / bar**0.5
    torch.testing.assert_close(found, guess, atol=1e-4, rtol=1e-4)


def test_what_is_no_prior_is_refused_in_one_line(tmp_path: Path) -> None:
    four = folder_of(tmp_path / "four", channels=4)
    odd = folder_of(tmp_path / "odd")
    config = odd / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "prediction_type": "flow"}))
    alone = tmp_path / "alone"
    network().save_pretrained(alone)
    torn = folder_of(tmp_path / "torn")
    (torn / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"torn")
    (tmp_path / "empty").mkdir()
    for place, says in (
        (four, "must map 3 to 3"), (odd, "predicts 'flow'"), (alone, "no scheduler_config.json"),
        (torn, "no readable UNet2DModel"), (tmp_path / "empty", "it needs config.json"), ("absent", "no weights"),
    ):  # fmt: skip
        with pytest.raises(WeightsError, match=says) as caught:
            load_prior(str(place))
        assert "\n" not in str(caught.value)
