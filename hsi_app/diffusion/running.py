"""Mean and variance of images that come one by one."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(eq=False)
class Running:
    """Mean and variance of images that come one by one (Welford 1962): a sum of squares would lose a small spread.

    count : images so far; mean : theirs; power : sum of their squared deviations from it
    """

    count: int = 0
    mean: torch.Tensor | float = 0.0
    power: torch.Tensor | float = 0.0

    def add(self, images: torch.Tensor) -> None:
        """Take one more in."""
        self.count += 1
        gap = images - self.mean
        self.mean = self.mean + gap / self.count
        self.power = self.power + gap * (images - self.mean)

    @property
    def variance(self) -> torch.Tensor | float:
        """Of what has come so far; 0 for a single one."""
        return self.power / max(self.count - 1, 1)
