"""The prompted network: what depends on what."""

from __future__ import annotations

import pytest
import torch
from hsi_models.prompted import SIZE_MULTIPLE, PromptedNet

TASKS, NUMBERS, COMPONENTS, GROUP = 9, 8, 4, 8


@pytest.fixture(scope="module")
def network() -> PromptedNet:
    """A small one whose weights are all at work: those that begin at zero are drawn."""
    generator = torch.Generator().manual_seed(0)
    small = PromptedNet(COMPONENTS, GROUP, TASKS, NUMBERS, width=8, spectral_prompts=16, spectral_rank=4)
    with torch.no_grad():
        for parameter in small.parameters():
            if not bool(parameter.any()):
                parameter.normal_(0, 0.1, generator=generator)
    return small.train(False).requires_grad_(False)


def inputs(count: int, side: tuple[int, int] = (32, 64), seed: int = 1) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    seen = torch.randn(count, 3 * COMPONENTS + 2, *side, generator=generator)
    weights = torch.eye(TASKS)[torch.arange(count) % TASKS]
    return seen, weights, torch.randn(count, NUMBERS + COMPONENTS, generator=generator)


def test_at_the_start_it_changes_nothing() -> None:
    fresh = PromptedNet(COMPONENTS, GROUP, TASKS, NUMBERS, width=8)
    assert not bool(fresh.correct_components(*inputs(2)).any())
    change, veil = fresh.correct_bands(torch.randn(2, 3 * GROUP, 32, 32), *inputs(2)[1:])
    assert not bool(change.any() or veil.any())


@pytest.mark.parametrize("mate", range(TASKS))
def test_a_batch_mate_and_its_task_do_not_matter(network: PromptedNet, mate: int) -> None:
    seen, weights, measured = inputs(2)
    alone = network.correct_components(seen[:1], weights[:1], measured[:1])
    weights[1] = torch.eye(TASKS)[mate]
    seen[1] *= 3
    together = network.correct_components(seen, weights, measured)
    torch.testing.assert_close(together[:1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("part", ["text", "visual", "measured", "spectral"])
def test_every_kind_of_prompt_matters(network: PromptedNet, part: str) -> None:
    seen, weights, measured = inputs(1)
    whole = network.correct_components(seen, weights, measured)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    try:
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if {"text": name == "prompts.text", "visual": name == "prompts.visual",
                    "measured": name.startswith("prompts.measured"),
                    "spectral": name.endswith("gate.prompts")}[part]:  # fmt: skip
                    parameter.zero_()
        without = network.correct_components(seen, weights, measured)
    finally:
        network.load_state_dict(state)
    # The gates of an untrained network are nearly 1 whatever their prompts; that trained ones matter is for its scores.
    assert float((whole - without).square().mean().sqrt()) > (1e-6 if part == "spectral" else 1e-3)


@pytest.mark.parametrize("side", [(32, 32), (64, 96)])
def test_any_multiple_of_the_size_keeps_its_shape(network: PromptedNet, side: tuple[int, int]) -> None:
    assert not any(length % SIZE_MULTIPLE for length in side)
    seen, weights, measured = inputs(1, side)
    assert network.correct_components(seen, weights, measured).shape == (1, COMPONENTS, *side)


def test_shifted_windows_do_not_look_round_the_edge() -> None:
    from hsi_models.prompted import WindowAttention

    generator = torch.Generator().manual_seed(2)
    attention = WindowAttention(8, 2, shift=4)
    features = torch.randn(1, 32, 32, 8, generator=generator)
    moved = features.clone()
    moved[:, -1] += 1
    changed = (attention(moved) - attention(features)).abs().amax((0, 3)) > 1e-6
    assert bool(changed[-4:].any())
    assert not bool(changed[:8].any())


def test_a_mixture_of_tasks_is_one_prompt_of_the_mean_text(network: PromptedNet) -> None:
    weights = torch.zeros(1, TASKS)
    weights[0, :2] = 0.5
    mixed = weights @ network.prompts.text
    torch.testing.assert_close(mixed[0], network.prompts.text[:2].mean(0))


def test_spectral_prompts_are_shares(network: PromptedNet) -> None:
    gate = network.fine[0].gate
    shares = gate.weights(torch.randn(5, gate.choose.in_features))
    torch.testing.assert_close(shares.sum(-1), torch.ones(5))
