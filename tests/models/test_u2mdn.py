"""The networks of u2-MDN keep their promises whatever their weights."""

from __future__ import annotations

import math

import pytest
import torch
from hsi_models.u2mdn import Critic, DirichletEncoder, SpectralDecoder, break_sticks, codes_of, information


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def parameters(module: torch.nn.Module) -> int:
    return sum(weights.numel() for weights in module.parameters())


def test_the_published_sizes_have_the_published_numbers_of_parameters() -> None:
    # Two Adam states for encoder and decoder, one for the critic, and 420 more are the 48,292 floats of the checkpoint.
    encoder, critic = DirichletEncoder(4, 35, 8, generator()), Critic(4, 35, generator())
    decoder = SpectralDecoder(torch.rand(35, 103), torch.rand(103))
    assert [parameters(module) for module in (encoder, decoder, critic)] == [3785, 4830, 1599]


@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0, 1e4])
def test_codes_lie_on_the_simplex_however_far_out_a_pixel_is(scale: float) -> None:
    encoder = DirichletEncoder(4, 15, 6, generator())
    codes = encoder(scale * torch.randn(2000, 4, generator=generator()))
    assert float(codes.detach().min()) >= 0
    assert float((codes.detach().sum(1) - 1).abs().max()) <= 1e-5


def test_without_the_last_stick_codes_do_not_add_to_one() -> None:
    # The released code leaves it out; the law above must notice that.
    codes = DirichletEncoder(4, 15, 6, generator())(torch.randn(2000, 4, generator=generator()))
    assert float((codes[:, :-1].detach().sum(1) - 1).abs().max()) > 0.01


def test_sticks_are_broken_as_the_formula_says() -> None:
    logits, beta = torch.randn(50, 6, generator=generator()).double(), torch.full((50, 1), 1.7, dtype=torch.float64)
    v = torch.sigmoid(logits) ** (1 / beta)
    v[:, -1] = 1
    rest = torch.cat([torch.ones(50, 1), (1 - v).cumprod(1)[:, :-1]], 1)
    assert torch.allclose(break_sticks(logits, beta), v * rest, atol=1e-10)


def test_slopes_stay_finite_where_a_stick_takes_all_or_nothing() -> None:
    logits = torch.tensor([[80.0, 0.0, -80.0, 1.0]], requires_grad=True)
    beta = torch.tensor([[0.01]], requires_grad=True)
    break_sticks(logits, beta).square().sum().backward()
    assert logits.grad is not None
    assert beta.grad is not None
    assert bool(torch.isfinite(logits.grad).all() & torch.isfinite(beta.grad).all())


def test_the_affine_map_is_the_densely_connected_network() -> None:
    encoder = DirichletEncoder(3, 7, 4, generator()).double()
    pixels = torch.randn(20, 3, generator=generator()).double()
    seen, branch = pixels, pixels
    for depth, layer in enumerate(encoder.layers):
        seen = torch.cat([layer(seen), seen], 1)
        branch = seen if depth == 1 else branch
    for layer in encoder.beta_layers:
        branch = torch.cat([layer(branch), branch], 1)
    affine = encoder.affine()
    raw = pixels @ affine[:-1] + affine[-1]
    assert torch.allclose(raw[:, :-1], encoder.sticks(seen), atol=1e-12)
    assert torch.allclose(raw[:, -1:], encoder.beta(branch), atol=1e-12)
    assert torch.equal(encoder(pixels), codes_of(affine, pixels))


def test_spectra_are_never_negative_and_begin_where_they_are_told() -> None:
    spectra = torch.rand(5, 40, generator=generator())
    decoder = SpectralDecoder(spectra, spectra.mean(0))
    assert torch.allclose(decoder().detach(), spectra, atol=0.035)  # softplus(20 x) / 20 lifts zero by ln 2 / 20
    with torch.no_grad():
        decoder.outer.sub_(10)
    assert float(decoder().detach().min()) >= 0


def test_a_start_draws_nothing_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    DirichletEncoder(4, 15, 6, generator())
    Critic(4, 15, generator())
    assert torch.equal(before, torch.get_rng_state())


def trained_critic(groups: list[tuple[torch.Tensor, torch.Tensor]]) -> Critic:
    critic = Critic(groups[0][0].shape[1], groups[0][1].shape[1], generator())
    optimiser = torch.optim.Adam(critic.parameters(), lr=0.01)
    for _ in range(300):
        optimiser.zero_grad()
        (-information(critic, groups).mean()).backward()
        optimiser.step()
    return critic


def related(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    pixels = torch.randn(400, 3, generator=drawn)
    return pixels, torch.softmax(3 * torch.cat([pixels, -pixels], 1), 1)


def test_information_is_seen_where_codes_follow_from_pixels_and_not_where_they_do_not() -> None:
    critic = trained_critic([related(0), related(1)]).requires_grad_(False)
    pixels, codes = related(2)
    assert float(information(critic, [(pixels, codes)])) >= 0.3
    # Codes of other pixels on both sides.
    mixed = codes[torch.randperm(400, generator=generator())]
    assert float(information(critic, [(pixels, mixed)])) <= 0.05
    assert float(information(critic, [(pixels, codes)])) <= 2 * math.log(2)


def test_pixels_are_really_exchanged() -> None:
    # The released code exchanges along an axis of size one, so that its term is dead.
    seen: list[torch.Tensor] = []

    class Watching(Critic):
        def forward(self, pixels: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
            seen.extend((pixels, codes))
            return super().forward(pixels, codes)

    pixels, codes = related(0)
    information(Watching(3, 6, generator()), [(pixels, codes)])
    own, other = seen[0].split(400)
    assert torch.equal(own, pixels)
    assert int((own == other).all(1).sum()) == 0
    assert torch.equal(other.sort(0).values, own.sort(0).values)


def test_both_images_move_the_critic() -> None:
    for alone in (0, 1):
        groups = [related(0), related(1)]
        critic = Critic(3, 6, generator())
        information(critic, groups)[alone].backward()
        assert all(float(weights.grad.abs().sum()) > 0 for weights in critic.parameters() if weights.grad is not None)
        assert all(weights.grad is not None for weights in critic.parameters())
