"""Priors: every way to tell and to ask a network, on networks whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsi_app.diffusion.prior import Prior, blur_prior, no_prior, unet_prior
from hsi_app.diffusion.sample import sample
from hsi_app.diffusion.schedule import chain
from hsi_app.errors import WeightsError

BARS = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))


def images(count: int = 2, height: int = 8, width: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


def level_told(level: str, alpha_bar: float) -> float:
    heard: list[float] = []

    def predict(states: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        heard.append(float(told[0]))
        return states

    Prior(predict, level, alpha_bars=BARS).noise(images(), alpha_bar)
    return heard[0]


def test_the_published_network_is_told_the_root_of_the_signal_share() -> None:
    first = float(chain("exponential", 20, 8.0)[0])
    assert level_told("sqrt", first) == pytest.approx(0.5702, abs=1e-4)
    assert level_told("official", first) == pytest.approx(0.3251, abs=1e-4)


@pytest.mark.parametrize("place", [0, 17, 500, 999])
def test_a_share_of_the_training_schedule_is_told_as_its_own_timestep(place: int) -> None:
    assert level_told("timestep", float(BARS[place])) == pytest.approx(place, abs=1e-3)


def test_a_share_between_two_timesteps_is_told_between_them() -> None:
    assert 300 < level_told("timestep", float((BARS[300] + BARS[301]) / 2)) < 301


def test_shares_beyond_the_schedule_are_told_as_its_ends() -> None:
    assert level_told("timestep", 1 - 1e-9) == 0
    assert level_told("timestep", 1e-9) == 999


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_all_predictions_of_one_image_give_the_same_noise(prediction: str) -> None:
    alpha_bar, clean, noise = 0.6, images(seed=1), images(seed=2)
    state = alpha_bar**0.5 * clean + (1 - alpha_bar) ** 0.5 * noise
    answers = {
        "epsilon": noise, "sample": clean, "v_prediction": alpha_bar**0.5 * noise - (1 - alpha_bar) ** 0.5 * clean,
    }  # fmt: skip
    prior = Prior(lambda states, told: answers[prediction], "sqrt", prediction)
    torch.testing.assert_close(prior.noise(state, alpha_bar), noise, atol=1e-5, rtol=0)


def test_one_pass_takes_away_the_noise_that_the_network_names() -> None:
    clean, noise, sigma = images(seed=1), images(seed=2), 0.4
    prior = Prior(lambda states, told: noise, "sqrt")
    torch.testing.assert_close(prior.denoise(clean + sigma * noise, sigma), clean, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (13, 9), (3, 40), (1, 1)])
def test_any_size_is_padded_for_the_network_and_cut_again(height: int, width: int) -> None:
    def predict(states: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        assert states.shape[2] % 8 == 0
        assert states.shape[3] % 8 == 0
        return 2 * states

    state = images(2, height, width)
    torch.testing.assert_close(Prior(predict, "sqrt", multiple_of=8).noise(state, 0.5), 2 * state)


def test_without_a_prior_nothing_is_noise() -> None:
    assert float(no_prior().noise(images(), 0.5).abs().max()) == 0


def test_the_blurring_prior_smooths_and_keeps_the_mean() -> None:
    noisy = images(1, 32, 32)
    smooth = blur_prior().denoise(noisy, 1.0)
    assert float(smooth.std()) < 0.5 * float(noisy.std())
    assert float(smooth.mean()) == pytest.approx(float(noisy.mean()), abs=0.02)


def small_network(channels: int = 3) -> torch.nn.Module:
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    return UNet2DModel(
        in_channels=channels, out_channels=channels, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, add_attention=False,
    ).eval()  # fmt: skip


@pytest.fixture
def keep_generator() -> object:
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


@pytest.mark.usefixtures("keep_generator")
@torch.no_grad()
def test_a_diffusers_network_answers_at_whole_and_broken_timesteps() -> None:
    network = small_network()
    schedule = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
    prior, state = unet_prior(network, schedule), images(1, 12, 10)
    padded = torch.nn.functional.pad(state, (0, 0, 0, 0))
    direct = network(padded, torch.tensor([250.0])).sample
    torch.testing.assert_close(prior.noise(state, float(BARS[250])), direct, atol=1e-4, rtol=0)
    assert not torch.equal(prior.noise(state, 0.9), prior.noise(state, 0.901))


@pytest.mark.usefixtures("keep_generator")
def test_networks_for_other_channels_and_predictions_are_refused() -> None:
    with pytest.raises(WeightsError, match="must map 3 to 3"):
        unet_prior(small_network(4), {})
    with pytest.raises(WeightsError, match="known are epsilon"):
        unet_prior(small_network(), {"prediction_type": "flow"})


def test_guidance_through_the_network_sees_its_gradient() -> None:
    seen: list[torch.Tensor] = []

    def push(state: torch.Tensor, guess: torch.Tensor, sigma: float) -> torch.Tensor:
        (slope,) = torch.autograd.grad(guess.square().sum() / 2, state)
        seen.append(slope)
        return 0.1 * slope

    start = images(1)
    plain = sample(lambda x, a: 0.5 * x, start, [0.5, 0.9, 1.0])
    pushed = sample(lambda x, a: 0.5 * x, start, [0.5, 0.9, 1.0], push=push)
    assert len(seen) == 2
    assert not pushed.requires_grad
    assert float(pushed.norm()) < float(plain.norm())


def test_a_corrected_guess_decides_the_last_state() -> None:
    target = images(1, seed=5).clamp(-1, 1)
    found = sample(
        lambda x, a: torch.zeros_like(x), images(1), chain("exponential", 5).tolist(),
        correct=lambda guess, sigma: target,
    )  # fmt: skip
    torch.testing.assert_close(found, target)


def test_renewed_noise_is_the_one_that_was_drawn() -> None:
    def run(seed: int) -> torch.Tensor:
        states = [0.3, 0.6, 0.9, 1.0]
        return sample(
            lambda x, a: 0.1 * x, images(1), states, fresh=lambda step: images(1, seed=seed + step), renewal=0.5
        )

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
