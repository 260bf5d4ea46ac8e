"""Priors: what predicts the noise in three-channel images, whatever the network behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch.nn import functional

from hsi_app.errors import WeightsError

CHANNELS = 3
# Quarter turns of an image and of its mirror image.
VIEWS = 8
# Bytes of one image's channels at full resolution below which images go through the network together.
_BATCH_PIXELS = 2**18

# What a network is given as level, and what it answers.
Level = Literal["timestep", "sqrt", "official"]
Prediction = Literal["epsilon", "v_prediction", "sample"]


@dataclass(frozen=True, eq=False)
class Prior:
    """A network that knows how images look.

    Parameters
    ----------
    predict : (images (N, 3, H, W), level (N,)) -> (N, 3, H, W), with H and W multiples of ``multiple_of``
    level : 'timestep' tells it the place on ``alpha_bars``, whole or not, so that any schedule works; 'sqrt' tells it
        sqrt(alpha_bar), as SR3 was trained; 'official' alpha_bar itself, as the published sampler does by mistake
    prediction : 'epsilon' the noise, 'v_prediction', or 'sample' the clean image
    alpha_bars : (T,) signal shares that 'timestep' is a place on, falling
    multiple_of : image sides the network takes
    name, digest : what it is, and the SHA-256 of its weights, for the record
    """

    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    level: Level = "timestep"
    prediction: Prediction = "epsilon"
    alpha_bars: np.ndarray | None = None
    multiple_of: int = 1
    name: str = ""
    digest: str = ""

    def noise(self, images: torch.Tensor, alpha_bar: float, view: int = 0) -> torch.Tensor:
        """The noise eps in x = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps.

        images : (N, 3, H, W) states for images in [-1, 1], any H and W
        view : one of the ``VIEWS`` turned and mirrored ways to look at them; the answer is turned back
        """
        if view:
            turned = torch.rot90(images, view % 4, (2, 3))
            answer = self.noise(turned.flip(3) if view >= 4 else turned, alpha_bar)
            return torch.rot90(answer.flip(3) if view >= 4 else answer, -(view % 4), (2, 3))
        height, width = images.shape[2:]
        padded = _mirrored(images, self.multiple_of)
        together = max(1, _BATCH_PIXELS // (padded.shape[2] * padded.shape[3]))
        level = torch.full((together,), self._told(alpha_bar), dtype=torch.float32, device=images.device)
        answers = [self.predict(part, level[: len(part)]) for part in padded.split(together)]
        answer = torch.cat(answers)[:, :, :height, :width]
        root, rest = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        if self.prediction == "v_prediction":
            return root * answer + rest * images
        if self.prediction == "sample":
            return (images - root * answer) / max(rest, 1e-6)
        return answer

    def denoise(self, images: torch.Tensor, sigma: float, view: int = 0) -> torch.Tensor:
        """Expected clean images (N, 3, H, W) in [-1, 1] given noisy ones of noise std ``sigma``, in one pass."""
        alpha_bar = 1 / (1 + sigma**2)
        return images - sigma * self.noise(images * alpha_bar**0.5, alpha_bar, view)

    def _told(self, alpha_bar: float) -> float:
        if self.level == "sqrt":
            return alpha_bar**0.5
        if self.level == "official":
            return alpha_bar
        assert self.alpha_bars is not None
        # Interpolated in the logarithm of the noise, where schedules are smooth.
        shares = np.clip(self.alpha_bars, 1e-12, 1 - 1e-12)
        share = min(max(alpha_bar, 1e-12), 1 - 1e-12)
        return float(
            np.interp(np.log((1 - share) / share), np.log((1 - shares) / shares), np.arange(len(shares), dtype=float))
        )


def no_prior() -> Prior:
    """Knows nothing: predicts no noise at all."""
    return Prior(lambda images, level: torch.zeros_like(images), level="sqrt", name="none")


def blur_prior(width_px: float = 2.0) -> Prior:
    """Believes images to be smooth: the clean image is the state blurred by a Gaussian of std ``width_px`` times
    the noise share. A yardstick for trained priors, not for use.
    """

    def predict(images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        root = float(level[0])
        std = max(width_px * (1 - root**2) ** 0.5, 0.05)
        side = 2 * int(np.ceil(3 * std)) + 1
        place = torch.arange(side, device=images.device, dtype=images.dtype) - side // 2
        profile = torch.exp(-0.5 * (place / std) ** 2)
        profile = (profile / profile.sum()).expand(CHANNELS, 1, 1, side)
        reach = [min(side // 2, length - 1) for length in (images.shape[3], images.shape[3])]
        padded = functional.pad(images, (*reach, 0, 0), mode="reflect")
        across = functional.conv2d(
            padded, profile[..., side // 2 - reach[0] : side // 2 + reach[0] + 1], groups=CHANNELS
        )
        reach = [min(side // 2, length - 1) for length in (images.shape[2], images.shape[2])]
        padded = functional.pad(across, (0, 0, *reach), mode="reflect")
        kernel = profile.transpose(2, 3)[:, :, side // 2 - reach[0] : side // 2 + reach[0] + 1]
        smooth = functional.conv2d(padded, kernel, groups=CHANNELS)
        return (images - smooth) / max((1 - root**2) ** 0.5, 1e-6)

    return Prior(predict, level="sqrt", name="blur")


def _mirrored(images: torch.Tensor, multiple: int) -> torch.Tensor:
    """Sides grown to multiples of ``multiple`` by mirroring, any number of times over."""
    for axis in (2, 3):
        length = images.shape[axis]
        if extra := -length % multiple:
            place = torch.arange(length + extra, device=images.device) % max(2 * (length - 1), 1)
            place = torch.where(place >= length, max(2 * (length - 1), 1) - place, place)
            images = images.index_select(axis, place)
    return images


def unet_prior(network: Any, scheduler: Mapping[str, Any], *, name: str = "", digest: str = "") -> Prior:
    """A prior from a diffusers ``UNet2DModel`` and the configuration of the scheduler it was trained with.

    Raises WeightsError if it does not work on three channels or the scheduler's prediction is unknown.
    """
    from diffusers import DDIMScheduler

    config = network.config
    if config.in_channels != CHANNELS or config.out_channels not in (CHANNELS, 2 * CHANNELS):
        raise WeightsError(
            f"prior '{name}' maps {config.in_channels} channels to {config.out_channels}; it must map 3 to 3."
        )
    known = set(cast(Any, DDIMScheduler()).config)
    trained = DDIMScheduler.from_config({key: value for key, value in scheduler.items() if key in known})
    prediction = str(scheduler.get("prediction_type", "epsilon"))
    if prediction not in get_args(Prediction):
        raise WeightsError(f"prior '{name}' predicts '{prediction}'; known are epsilon, v_prediction and sample.")

    def predict(images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        return network(images.contiguous(memory_format=torch.channels_last), level).sample[:, :CHANNELS].float()

    return Prior(
        predict, "timestep", cast(Prediction, prediction), trained.alphas_cumprod.double().numpy(),
        multiple_of=2 ** (len(config.block_out_channels) - 1), name=name, digest=digest,
    )  # fmt: skip


def read_scheduler(folder: Path) -> dict[str, Any]:
    """The scheduler configuration beside a network: ``scheduler_config.json`` there, beside it, or in 'scheduler'.

    Raises WeightsError if there is none: without it nobody knows which noise a timestep means.
    """
    for place in (folder, folder / "scheduler", folder.parent / "scheduler"):
        path = place / "scheduler_config.json"
        if path.is_file():
            return dict(json.loads(path.read_text(encoding="utf-8")))
    raise WeightsError(f"'{folder}' has no scheduler_config.json; copy it there from where the network came from.")
