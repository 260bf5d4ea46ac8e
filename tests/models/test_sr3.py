"""The SR3 network: the layout of the published checkpoint, and what its parts compute."""

from __future__ import annotations

import math

import pytest
import torch
from hsi_models.sr3 import SR3UNet


def small() -> SR3UNet:
    torch.manual_seed(0)
    network = SR3UNet(inner=32, multipliers=(1, 2, 2))
    network.train(False)
    return network


def test_the_published_layout_has_its_number_of_tensors_and_parameters() -> None:
    with torch.device("meta"):
        state = SR3UNet().state_dict()
    assert len(state) == 362
    assert sum(tensor.numel() for tensor in state.values()) == 391_048_067


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("noise_level_mlp.1.weight", (512, 128)),
        ("noise_level_mlp.3.bias", (128,)),
        ("init_conv.weight", (128, 3, 3, 3)),
        ("downs.0.res_block.noise_func.noise_func.0.weight", (128, 128)),
        ("downs.3.res_block.res_conv.weight", (256, 128, 1, 1)),
        ("downs.11.conv.weight", (1024, 1024, 3, 3)),
        ("downs.13.attn.qkv.weight", (3072, 1024, 1, 1)),
        ("mid.0.attn.out.bias", (1024,)),
        ("ups.2.attn.norm.weight", (1024,)),
        ("ups.15.conv.bias", (256,)),
        ("ups.18.res_block.block2.block.3.weight", (128, 128, 3, 3)),
        ("final_conv.block.0.weight", (128,)),
        ("final_conv.block.3.weight", (3, 128, 3, 3)),
    ],
)
def test_parameters_have_the_names_of_the_checkpoint(name: str, shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        assert tuple(SR3UNet().state_dict()[name].shape) == shape


def test_only_the_deepest_level_and_the_middle_attend_and_queries_have_no_bias() -> None:
    with torch.device("meta"):
        names = SR3UNet().state_dict()
    attending = {name.split(".attn")[0] for name in names if ".attn." in name}
    assert attending == {"downs.12", "downs.13", "mid.0", "ups.0", "ups.1", "ups.2"}
    assert not any(name.endswith("qkv.bias") for name in names)
    assert "downs.0.res_block.res_conv.weight" not in names


def test_the_level_enters_as_sines_and_cosines_of_a_continuous_number() -> None:
    network = SR3UNet()
    found = network.noise_level_mlp[0](torch.tensor([[0.7]]))[0]
    expected = [0.7 * math.exp(-math.log(1e4) * i / 64) for i in range(64)]
    torch.testing.assert_close(found[:64], torch.tensor(expected).sin())
    torch.testing.assert_close(found[64:], torch.tensor(expected).cos())


@pytest.mark.parametrize("sides", [(16, 16), (24, 40), (4, 12)])
def test_images_of_any_allowed_size_come_back_in_theirs(sides: tuple[int, int]) -> None:
    network = small()
    assert network.size_multiple == 4
    with torch.no_grad():
        assert network(torch.randn(2, 3, *sides), torch.tensor([0.9, 0.1])).shape == (2, 3, *sides)


def test_every_image_is_told_its_own_level() -> None:
    network, images = small(), torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        together = network(images, torch.tensor([0.9, 0.1]))
        torch.testing.assert_close(together[1:], network(images[1:], torch.tensor([0.1])), atol=1e-5, rtol=0)
        assert (together[1] - network(images[1:], torch.tensor([0.9]))[0]).abs().max() > 1e-3


def test_attention_is_the_scaled_product_over_all_places_added_to_the_input() -> None:
    attention, x = small().mid[0].attn, torch.randn(1, 64, 4, 5)
    with torch.no_grad():
        query, key, value = attention.qkv(attention.norm(x)).flatten(2).chunk(3, 1)
        weights = torch.softmax(torch.einsum("ncq,nck->nqk", query, key) / 64**0.5, -1)
        expected = x + attention.out(torch.einsum("nqk,nck->ncq", weights, value).reshape(x.shape))
        torch.testing.assert_close(attention(x), expected, atol=1e-5, rtol=1e-4)
