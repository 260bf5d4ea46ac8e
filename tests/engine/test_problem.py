"""What a method is given."""

from __future__ import annotations

import torch

from hsi_app.problem import Problem
from hsi_app.tiling import Window


def test_a_scene_of_its_own_lies_at_its_corner() -> None:
    values = torch.zeros(3, 4, 5)
    assert Problem(values, values == 0, "denoise").place == Window(0, 0, 4, 5)
