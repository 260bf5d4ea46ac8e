"""Memory sizes are read as written, devices by name, and out-of-memory is told from other failures."""

from __future__ import annotations

import pytest

from hsi_app import device
from hsi_app.errors import CapabilityError, ParameterError


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("8G", 8 * 2**30),
        ("512M", 512 * 2**20),
        ("1.5GiB", 3 * 2**29),
        (" 2 tb ", 2**41),
        ("100k", 100 * 2**10),
        ("4096", 4096),
        ("4096B", 4096),
    ],
)
def test_memory_is_read_in_units_of_1024(text: str, count: int) -> None:
    assert device.parse_memory(text) == count


@pytest.mark.parametrize("text", ["", "G", "8 giga", "-1G", "0", "0M", "1e9", "8G 2M", "nan", "8Gi b"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ParameterError, match="8G or 512M"):
        device.parse_memory(text)


@pytest.mark.parametrize("count", [1, 1023, 2**20, 3 * 2**29, 2**45])
def test_a_formatted_size_reads_back_to_two_digits(count: int) -> None:
    assert device.parse_memory(device.format_bytes(count)) == pytest.approx(count, rel=0.05)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU ", "mps:0"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(ParameterError, match="use auto, cpu, cuda or cuda:0"):
        device.choose_device(name)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(CapabilityError, match="GPUs are usable here"):
        device.choose_device("cuda:99")


def test_auto_is_always_a_device_that_works() -> None:
    import torch

    assert torch.ones(2, device=device.choose_device("auto")).sum() == 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_out_of_memory_is_told_from_other_failures(error: BaseException, expected: bool) -> None:
    assert device.is_out_of_memory(error) is expected


def test_what_the_allocator_really_raises_is_recognised() -> None:
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert device.is_out_of_memory(caught.value)


def test_the_peak_is_never_below_what_is_held_now() -> None:
    assert device.peak_memory() >= 0.9 * device.resident_memory() > 0
