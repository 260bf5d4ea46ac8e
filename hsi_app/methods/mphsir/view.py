"""What the network is shown of component images: each patch in units of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

# Error of the estimate, squared: a share of the noise (1), and of what the estimate took away.
NOISE_SHARE, REMOVED_SHARE = 0.1, 0.2
# Where the estimate did nothing against a blur, its error is a share of the detail that it shows.
DETAIL_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class View:
    """Patches as the network takes them.

    seen : (N, 3 K + 2, h, w), see ``PromptedNet.correct_components``
    unit : (N, K, 1, 1) expected error of the estimate: what the network's answer is multiplied by
    level : (N, K) log10 of signal over expected error
    """

    seen: torch.Tensor
    unit: torch.Tensor
    level: torch.Tensor


def view_components(images: torch.Tensor, solved: torch.Tensor, share: torch.Tensor, *, is_soft: bool = False) -> View:
    """Scale patches of component images.

    images, solved : (N, K, h, w) in units of the data's noise, 0 where there is no component; share : (N, 2, h, w)
    is_soft : the estimate is as blurred as what was observed
    """
    removed = solved - images
    detail = images - functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), "reflect"), 3, 1)
    squares = NOISE_SHARE + REMOVED_SHARE * removed.square()
    unit = (squares + DETAIL_SHARE * is_soft * detail.square()).mean((2, 3), keepdim=True).sqrt()
    mean = images.mean((2, 3), keepdim=True)
    spread = (images - mean).square().mean((2, 3), keepdim=True).sqrt()
    # Images weaker than their error are shown as weak as they are.
    shown = (images - mean) / torch.maximum(spread, unit)
    seen = torch.cat([shown, torch.asinh(detail / unit), torch.asinh(removed / unit), share], 1)
    return View(seen, unit, torch.log10(spread / unit + 0.1)[:, :, 0, 0])
