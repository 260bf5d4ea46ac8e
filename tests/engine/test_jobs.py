"""A job reports rising progress, stops at its next step when asked, and owns its random numbers."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_app.errors import Cancelled
from hsi_app.jobs import Job, Progress

fractions = st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=20)


@given(fractions)
def test_reported_progress_never_falls_and_stays_in_bounds(steps: list[float]) -> None:
    seen: list[float] = []
    job = Job(on_progress=lambda p: seen.append(p.fraction))
    for fraction in steps:
        job.step(fraction)
    assert seen == sorted(seen)
    assert all(0 <= fraction <= 1 for fraction in seen)


def test_parts_nest_as_intervals_of_their_parent() -> None:
    seen: list[float] = []
    inner = Job(on_progress=lambda p: seen.append(p.fraction)).part(0.2, 0.5).part(0.5, 0.4)
    for fraction in (0, 0.5, 1):
        inner.step(fraction)
    # 0.2 + 0.5 * (0.5 + 0.4 f)
    np.testing.assert_allclose(seen, [0.45, 0.55, 0.65])


def test_cancelling_stops_at_the_next_step_of_any_part() -> None:
    job = Job()
    part = job.part(0, 0.5)
    part.step(0.1)
    job.cancel()
    assert part.is_cancelled
    with pytest.raises(Cancelled):
        part.step(0.2)


def test_a_cancelled_job_reports_no_more() -> None:
    seen: list[Progress] = []
    job = Job(on_progress=seen.append)
    job.cancel()
    with pytest.raises(Cancelled):
        job.step(0.5)
    assert seen == []


def test_cancelling_from_the_listener_lets_that_step_return() -> None:
    job = Job(on_progress=lambda p: job.cancel())
    job.step(0.1)
    with pytest.raises(Cancelled):
        job.step(0.2)


def test_no_time_left_is_claimed_before_there_is_anything_to_judge_by() -> None:
    seen: list[Progress] = []
    Job(on_progress=seen.append).step(0.5)
    assert seen[0].remaining_s is None


def test_a_note_is_kept_once_and_seen_by_all_parts() -> None:
    job = Job()
    job.part(0, 0.5).note("a")
    job.note("a")
    job.note("b")
    assert job.part(0.5, 0.5).notes == ("a", "b")


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    import torch

    first, again, other = (torch.rand(8, generator=Job(seed=s).generator()) for s in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_generator_goes_on_where_it_stopped_in_every_part() -> None:
    import torch

    job = Job(seed=1)
    both = torch.cat([torch.rand(4, generator=job.generator()), torch.rand(4, generator=job.part(0, 1).generator())])
    assert torch.equal(both, torch.rand(8, generator=Job(seed=1).generator()))


def test_a_generator_leaves_the_global_ones_alone() -> None:
    import torch

    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    torch.rand(4, generator=Job(seed=5).generator())
    assert torch.equal(before[0], torch.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert before[2] == random.getstate()


def test_a_tensor_shown_as_preview_arrives_as_an_array_of_its_own() -> None:
    import torch

    seen: list[Progress] = []
    tensor = torch.ones(2, 3, requires_grad=True)
    Job(on_progress=seen.append).step(0.5, preview=tensor)
    assert isinstance(seen[0].preview, np.ndarray)
    with torch.no_grad():
        tensor.zero_()
    assert (seen[0].preview == 1).all()
