"""MP-HSIR as published: the layout of its checkpoints, what its parts compute, and what it must not depend on."""

from __future__ import annotations

import hashlib
import math
import pickle
from collections import Counter
from copy import deepcopy

import pytest
import torch
from hsi_models.mphsir import MPHSIR, TaskPrompt, task_weights
from hsi_models.mphsir_blocks import ShiftMasks, SpectralBlock, WindowAttention, from_windows, shift_mask, to_windows
from torch.utils.flop_counter import FlopCounterMode

NATURAL, REMOTE_SENSING = (31, 64, 6), (100, 96, 7)
INSTANCES = pytest.mark.parametrize("instance", [NATURAL, REMOTE_SENSING], ids=["natural", "remote sensing"])
TABLE = torch.linspace(-0.5, 0.5, 6 * 512).reshape(6, 512).sin()

# Parameters at each prefix (natural, remote sensing), and how many tensors they are.
PREFIXES = {
    "patch_embed": (17_856, 86_400, 1),
    "prompt1": (419_254, 693_392, 22),
    "prompt2": (617_066, 1_183_454, 22),
    "fusion1": (214_380, 474_784, 12),
    "fusion2": (837_336, 1_870_034, 12),
    "encoder_level1": (158_016, 336_604, 50),
    "down1_2": (18_432, 41_472, 1),
    "encoder_level2": (1_150_176, 2_515_264, 100),
    "down2_3": (73_728, 165_888, 1),
    "latent": (6_582_384, 14_604_036, 150),
    "up3_2": (1_179_648, 2_654_208, 1),
    "reduce_chan_level2": (32_768, 73_728, 1),
    "decoder_level2": (1_150_176, 2_515_264, 100),
    "up2_1": (294_912, 663_552, 1),
    "decoder_level1": (581_880, 1_272_496, 50),
    "refinement": (1_163_760, 2_544_992, 100),
    "output": (35_712, 172_800, 1),
}
# Of the lines "name shape dtype" of the published state dicts, in their order.
LISTINGS = {
    NATURAL: "005a21e1abd74d15c711b4a8ae0963e3014ef97a3d3d2875e6cafe89cc94a45c",
    REMOTE_SENSING: "5ea7ad13093a6cd4eada2bae2047d5f03bb0d09cf928e9083d6393b2a4912901",
}


def blank(instance: tuple[int, int, int]) -> MPHSIR:
    """The layout, without memory for parameters."""
    with torch.device("meta"):
        return MPHSIR(*instance)


def small(**options: bool) -> MPHSIR:
    torch.manual_seed(0)
    return MPHSIR(5, 16, 6, blocks=(2, 2, 2), refinement=2, **options).eval()


def images(count: int, rows: int = 32, cols: int = 32) -> torch.Tensor:
    return torch.rand(count, 5, rows, cols, generator=torch.Generator().manual_seed(1))


def restored(network: MPHSIR, observed: torch.Tensor, *ids: int) -> torch.Tensor:
    with torch.inference_mode():
        return network(observed, torch.tensor(ids), TABLE.to(observed))


# The layout.


@INSTANCES
def test_names_shapes_types_and_order_are_those_of_the_published_state_dict(instance: tuple[int, int, int]) -> None:
    state = blank(instance).state_dict()
    lines = [f"{name} {tuple(tensor.shape)} {tensor.dtype}\n" for name, tensor in state.items()]
    assert len(lines) == 658
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == LISTINGS[instance]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("prompt1.text_prompt_learnable", (1, 6, 64, 1, 1)),
        ("prompt2.clip_linear.weight", (128, 512)),
        ("encoder_level1.blocks.1.attn_mask", (64, 64, 64)),
        ("latent.blocks.5.attn.relative_position_index", (64, 64)),
        ("latent.blocks.0.gobal_spectral_attn.temperature", (8, 1, 1)),
        ("decoder_level1.blocks.0.local_spectral_attn.prompt_param", (1, 1, 128, 16)),
        ("fusion2.transformer.ffn.project_in.weight", (1360, 256, 1, 1)),
        ("up2_1.body.0.weight", (256, 128, 3, 3)),
    ],
)
def test_parameters_have_the_names_of_the_checkpoint(name: str, shape: tuple[int, ...]) -> None:
    assert tuple(blank(NATURAL).state_dict()[name].shape) == shape


@INSTANCES
def test_every_part_has_its_number_of_parameters_and_tensors(instance: tuple[int, int, int]) -> None:
    numbers, tensors = Counter[str](), Counter[str]()
    for name, parameter in blank(instance).named_parameters():
        numbers[name.split(".")[0]] += parameter.numel()
        tensors[name.split(".")[0]] += 1
    column = 0 if instance == NATURAL else 1
    assert dict(numbers) == {prefix: row[column] for prefix, row in PREFIXES.items()}
    assert dict(tensors) == {prefix: row[2] for prefix, row in PREFIXES.items()}


@pytest.mark.parametrize(("instance", "total"), [(NATURAL, 14_527_484), (REMOTE_SENSING, 31_868_368)])
def test_the_network_has_its_number_of_parameters_and_buffers(instance: tuple[int, int, int], total: int) -> None:
    network = blank(instance)
    assert sum(parameter.numel() for parameter in network.parameters()) == total
    assert len(list(network.parameters())) == 625
    assert len([buffer for buffer in network.buffers() if buffer is not None]) == 33


@pytest.mark.parametrize(("instance", "gflop"), [(NATURAL, 31.2), (REMOTE_SENSING, 70.0)])
def test_a_patch_takes_the_published_number_of_operations(instance: tuple[int, int, int], gflop: float) -> None:
    bands, width, tasks = instance
    network = MPHSIR(bands, width, tasks, fused=False).requires_grad_(False)  # so that the counter sees every product
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(1, bands, 64, 64), torch.tensor([0]), torch.zeros(tasks, 512))
    print(f"{bands} bands: {counter.get_total_flops() / 1e9:.2f} GFLOP")
    assert counter.get_total_flops() / 1e9 == pytest.approx(gflop, rel=0.02)


# What it computes.


def oracle_value(name: str, index: int, like: torch.Tensor) -> torch.Tensor:
    """A parameter of the reference, from its place in the sorted names."""
    waves = torch.sin(0.7 * index + 0.37 * torch.arange(like.numel(), dtype=torch.float64)).reshape(like.shape)
    if name.endswith("temperature") or (name.endswith(".weight") and "norm" in name):
        return 1 + 0.1 * waves
    if like.ndim == 1:
        return 0.02 * waves
    if like.ndim in (2, 4) and "visual_prompt" not in name:
        return waves * math.sqrt(1.5 / like[0].numel())
    return 0.5 * waves


@pytest.fixture(scope="module")
def oracles() -> dict[tuple[int, int, int], MPHSIR]:
    """Both networks in double precision with the parameters of the reference."""
    found = {}
    for instance in (NATURAL, REMOTE_SENSING):
        network = MPHSIR(*instance).double().eval()
        state = network.state_dict()
        names = sorted(n for n, t in state.items() if t.is_floating_point() and not n.endswith("attn_mask"))
        state |= {name: oracle_value(name, index, state[name]) for index, name in enumerate(names)}
        network.load_state_dict(state)
        found[instance] = network
    return found


# Mean, population deviation and four samples of output less input, from an implementation written independently.
@pytest.mark.parametrize(
    ("instance", "ids", "expected"),
    [
        (NATURAL, [0], [-0.04564613, 15.01322130, -1.11144436, 7.69897008, 1.29541935, 11.48188967]),
        (NATURAL, [3], [-0.03790797, 12.59956152, -4.76923158, 13.82514039, -1.49419119, 3.13667109]),
        (NATURAL, [0, 2], [0.00063227, 0.49871812, 0.42422321, -0.13433763, 0.31281472, 0.75844652]),
        (REMOTE_SENSING, [0], [-0.00184513, 0.34494508, -0.10055059, 0.03970993, 0.04015521, -0.51377476]),
        (REMOTE_SENSING, [3], [-0.00157795, 0.28652789, -0.19475896, 0.16860106, 0.04812207, -0.16776708]),
        (REMOTE_SENSING, [0, 2], [-0.00059459, 0.06622232, -0.07225846, -0.00970452, 0.02199361, -0.07385861]),
    ],
)
def test_outputs_are_those_of_the_published_network(
    oracles: dict[tuple[int, int, int], MPHSIR],
    instance: tuple[int, int, int],
    ids: list[int],
    expected: list[float],
) -> None:
    bands, _, tasks = instance
    task, place = torch.arange(tasks, dtype=torch.float64), torch.arange(512, dtype=torch.float64)
    table = 0.3 * torch.sin(0.05 * place + 1.3 * task[:, None])
    band, row, col = (torch.arange(size, dtype=torch.float64) for size in (bands, 64, 64))
    ramp = (0.5 + 0.4 * torch.sin(0.11 * band[:, None, None] + 0.07 * row[:, None] + 0.05 * col))[None]
    with torch.inference_mode():
        change = (oracles[instance](ramp, torch.tensor([ids]), table) - ramp)[0]
    places = [(0, 0, 0), (bands // 2, 32, 32), (bands - 1, 63, 63), (7, 5, 29)]
    found = torch.stack([change.mean(), change.std(correction=0), *(change[place] for place in places)])
    gap = (found - torch.tensor(expected, dtype=torch.float64)).abs().max()
    print(f"{bands} bands, tasks {ids}: largest difference {gap:.1e}")
    assert gap < 1e-6


@pytest.mark.parametrize("sides", [(32, 32), (64, 32)])
def test_fused_attention_is_the_softmax_written_out(sides: tuple[int, int]) -> None:
    fused, plain = small(), small(fused=False)
    observed = images(2, *sides)
    torch.testing.assert_close(restored(fused, observed, 0, 4), restored(plain, observed, 0, 4), atol=1e-5, rtol=0)


def test_masked_attention_sees_only_its_own_side_of_the_border() -> None:
    torch.manual_seed(0)
    attention, windows = WindowAttention(8, 2), torch.randn(4, 64, 8)
    mask = shift_mask(16, 16)
    with torch.no_grad():
        before = attention(windows, mask)
        hidden = mask[3, 0] < 0  # from the first pixel of the window at the corner
        windows[3, hidden] += 100
        torch.testing.assert_close(attention(windows, mask)[3, 0], before[3, 0])
    assert int(hidden.sum()) == 48


def test_windows_are_cut_row_by_row_and_put_back() -> None:
    features = torch.arange(2 * 16 * 24 * 3).reshape(2, 16, 24, 3)
    windows = to_windows(features)
    assert windows.shape == (12, 64, 3)
    assert torch.equal(windows[1].reshape(8, 8, 3), features[0, :8, 8:16])
    assert torch.equal(from_windows(windows, 16, 24), features)


# What it must not depend on.


@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("second", [0, 3])
def test_batch_mates_and_their_tasks_change_nothing(first: int, second: int) -> None:
    network, observed = small(), images(2)
    together = restored(network, observed, first, second)
    torch.testing.assert_close(together[:1], restored(network, observed[:1], first), atol=1e-5, rtol=0)
    torch.testing.assert_close(together[1:], restored(network, observed[1:], second), atol=1e-5, rtol=0)


def test_the_task_matters() -> None:
    network, observed = small(), images(1)
    assert (restored(network, observed, 0) - restored(network, observed, 1)).abs().max() > 1e-3


def test_the_text_lies_along_the_columns_of_the_prompt() -> None:
    """A property of the published network, kept since its weights were trained with it."""
    prompt = TaskPrompt(16, 6, 64)
    seen: list[torch.Tensor] = []
    prompt.cross_transformer.norm11.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    weights, text = task_weights(torch.tensor([2]), 6), TABLE[2:3] / 6
    with torch.no_grad():
        prompt(weights, text, (32, 32))
    task = prompt.text_prompt_learnable[0, 2, :, 0, 0].detach() / 6
    expected = (task[:, None, None] * text[0, ::8]).expand(16, 64, 64)
    torch.testing.assert_close(seen[0][0], expected)


def test_kept_prompts_and_masks_change_nothing() -> None:
    network, observed = small(), images(2, 64, 96)
    first = restored(network, observed, 1, 2)
    assert network._kept_prompts
    assert torch.equal(restored(network, observed, 1, 2), first)
    fresh = small()
    learning = fresh(observed, torch.tensor([1, 2]), TABLE).detach()
    assert not fresh._kept_prompts
    torch.testing.assert_close(learning, first, atol=1e-5, rtol=0)


def test_the_mask_of_a_size_is_the_one_among_the_weights() -> None:
    for level, size in (("encoder_level1", 64), ("encoder_level2", 32), ("latent", 16)):
        kept = getattr(small(), level).blocks[1].attn_mask
        assert torch.equal(ShiftMasks().find(size, size, kept), kept)


def test_few_masks_are_kept_and_the_same_one_is_given_again() -> None:
    masks, like = ShiftMasks(most=2), torch.zeros(1)
    first = masks.find(8, 16, like)
    assert masks.find(8, 16, like) is first
    masks.find(8, 24, like)
    masks.find(8, 32, like)
    assert masks.find(8, 16, like) is not first


@pytest.mark.parametrize("change", ["in place", "loaded", "assigned", "another type and back"])
def test_prompts_are_not_kept_when_parameters_change(change: str) -> None:
    network, observed = small(), images(1)
    before = restored(network, observed, 0)
    other = {name: 1.5 * t if "prompt1" in name else t for name, t in small().state_dict().items()}
    if change == "in place":
        with torch.no_grad():
            network.prompt1.conv_last.weight *= 1.5
    elif change == "another type and back":
        network.to(torch.bfloat16).float()
    else:
        network.load_state_dict(other, assign=change == "assigned")
    after = restored(network, observed, 0)
    assert (after - before).abs().max() > 1e-6
    assert torch.equal(restored(deepcopy(network), observed, 0), after)


def test_prompts_are_kept_for_few_tasks_and_sizes_only() -> None:
    network = small()
    for size in (32, 64):
        restored(network, images(6, size, size), *range(6))
    assert len(network._kept_prompts) == 8


def test_training_after_inference_reaches_every_parameter_that_is_used() -> None:
    network, observed = small(), images(2, 64, 96)
    restored(network, observed, 0, 1)
    network.train()
    torch.manual_seed(3)
    network(observed, torch.tensor([0, 1]), TABLE).square().mean().backward()
    unused = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert {name.split(".")[1] for name in unused} == {"text_linear", "clip_linear"}


# Sizes.


@pytest.mark.parametrize("sides", [(32, 32), (33, 47), (5, 17), (1, 40)])
def test_images_of_any_size_come_back_in_theirs(sides: tuple[int, int]) -> None:
    found = restored(small(), images(1, *sides), 0)
    assert found.shape == (1, 5, *sides)
    assert bool(found.isfinite().all())


def test_an_odd_size_is_mirrored_and_cut_back() -> None:
    network, observed = small(), images(1, 40, 50)
    mirrored = torch.nn.functional.pad(observed, (0, 14, 0, 24), mode="reflect")
    assert torch.equal(restored(network, observed, 0), restored(network, mirrored, 0)[:, :, :40, :50])


def test_the_input_is_not_changed() -> None:
    observed = images(1, 40, 40)
    restored(small(), observed, 0)
    assert torch.equal(observed, images(1, 40, 40))


# What is refused, and how tasks are told.


def test_a_missing_or_unfit_table_is_told() -> None:
    network, observed, task = small(), images(1), torch.tensor([0])
    with pytest.raises(ValueError, match="CLIP table is missing"):
        network(observed, task)
    with pytest.raises(ValueError, match=r"\(7, 512\).*needs \(6, 512\)"):
        network(observed, task, torch.zeros(7, 512))


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        (torch.tensor([6]), "knows 0 to 5"),
        (torch.tensor([-1]), "reach from -1"),
        (torch.tensor([0, 1]), "1 images were given with tasks for 2"),
        (torch.rand(1, 5), "takes \\(N, 6\\)"),
        (torch.full((1, 6), torch.nan), "finite"),
        (torch.zeros(1, 0, dtype=torch.long), "give \\(N,\\)"),
    ],
)
def test_unfit_tasks_are_told(tasks: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        small()(images(1), tasks, TABLE)


def test_unfit_images_and_widths_are_told() -> None:
    with pytest.raises(ValueError, match=r"takes \(N, 5, H, W\)"):
        small()(torch.zeros(1, 4, 32, 32), torch.tensor([0]), TABLE)
    with pytest.raises(ValueError, match="multiple of 8"):
        MPHSIR(width=60)
    with pytest.raises(ValueError, match="refinement"):
        MPHSIR(blocks=(1, 1, 1), refinement=3)


def test_several_ids_are_their_mean_and_the_same_as_weights() -> None:
    weights = task_weights(torch.tensor([[0, 2], [3, 3]]), 6)
    assert weights.tolist() == [[0.5, 0, 0.5, 0, 0, 0], [0, 0, 0, 1, 0, 0]]
    network, observed = small(), images(2)
    with torch.inference_mode():
        assert torch.equal(network(observed, weights, TABLE), network(observed, torch.tensor([[0, 2], [3, 3]]), TABLE))


# Training.


def test_stochastic_depth_drops_samples_in_training_only_and_keeps_the_mean() -> None:
    block = SpectralBlock(16, 2, 2, 32, shifted=False, drop=0.25)
    branch = torch.ones(4000, 1, 1, 16)
    torch.manual_seed(0)
    dropped = block._dropped(branch)[:, 0, 0, 0]
    torch.testing.assert_close(dropped.unique(), torch.tensor([0, 4 / 3]))
    assert float(dropped.mean()) == pytest.approx(1, abs=0.03)  # 3.3 deviations of the mean of 4000
    block.eval()
    assert torch.equal(block._dropped(branch), branch)


def test_deeper_blocks_are_dropped_more_up_to_a_tenth() -> None:
    network = blank(NATURAL)
    drops = {
        name: [round(block._drop * 110) for block in getattr(network, name).blocks]
        for name in ("encoder_level1", "encoder_level2", "latent", "decoder_level2", "decoder_level1", "refinement")
    }
    assert drops == {
        "encoder_level1": [0, 1],
        "encoder_level2": [2, 3, 4, 5],
        "latent": [6, 7, 8, 9, 10, 11],
        "decoder_level2": [2, 3, 4, 5],
        "decoder_level1": [0, 1],
        "refinement": [2, 3, 4, 5],
    }


def test_half_precision_stays_near() -> None:
    network, observed = small(), images(1)
    with torch.autocast("cpu", torch.bfloat16):
        near = restored(network, observed, 0)
    torch.testing.assert_close(near.float(), restored(network, observed, 0), atol=0.05, rtol=0)


def test_a_network_with_what_it_keeps_can_be_sent_to_another_process() -> None:
    network, observed = small(), images(1, 64, 64)
    first = restored(network, observed, 0)
    assert torch.equal(restored(pickle.loads(pickle.dumps(network)), observed, 0), first)
