"""The run of DDS2M: the network is fitted to the states of the chain, and its average is the chain's guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hsi_app.diffusion.ddrm import Tied
from hsi_app.diffusion.schedule import below, linear_bars, sigma_of
from hsi_app.jobs import Job
from hsi_app.methods.dds2m.generator import Generator
from hsi_app.methods.dds2m.held_out import Judge
from hsi_app.methods.dds2m.spec import Dds2mParameters
from hsi_app.methods.dds2m.start import Lesson

# arXiv 2303.06682, official settings.
BETAS = (1e-4, 5e-3)
# A start from the estimate begins with this much of the data's own noise, and with no less than this.
START_NOISE, LEAST_START = 2.0, 0.05
RATES = {"lite": 3e-3, "full": 5e-4}
# Few of the samples may have a say, and then slopes are far smaller than Adam's own floor of 1e-8.
ADAM_EPS = 1e-13
# How often held-out samples are asked, in updates.
LOOK_EVERY = 10
# Told at each step: (update, guess (B, H, W) in half ranges, text)
Watch = Callable[[int, torch.Tensor, str], None]


def noise_levels(params: Dds2mParameters, noise_std: float) -> np.ndarray:
    """Noise over signal of the states of a run: (updates + 1,), falling to 0.

    noise_std : of the data, in half ranges
    """
    bars = linear_bars(params.steps, BETAS)
    if params.start == "cold":
        start = sigma_of(float(bars[params.steps // 2]))
    else:
        start = params.level or max(START_NOISE * noise_std, LEAST_START)
    shares = below(bars, start, params.updates)
    return np.sqrt(np.maximum(1 / shares - 1, 0.0))


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a run found.

    cube : (B, H, W) in half ranges; spread : the same shape, standard deviation of the network's outputs around it
    updates : made; kept : update whose state this is
    curve : rows of (update, held-out mean square in units of the noise, loss over its limit, mean and variance of the
        residual noise)
    reason : why the run stopped
    """

    cube: torch.Tensor
    spread: torch.Tensor
    updates: int
    kept: int
    curve: list[list[float]]
    reason: str


class Run:
    """One fit; see ``fitted``.

    Parameters
    ----------
    params : see ``Dds2mParameters``
    generator : the networks
    tied : the observation and its chain, over the bands to fit
    bands : (b,) indices of these
    lesson : what the network is shown, or None for a cold start, with ``images`` of noise
    judge : of the held-out samples
    noise_std : of the data, in half ranges
    draws : random numbers of this run, on the device
    """

    def __init__(
        self,
        params: Dds2mParameters,
        generator: Generator,
        tied: Tied,
        bands: torch.Tensor,
        lesson: Lesson | None,
        images: torch.Tensor | None,
        start: torch.Tensor,
        judge: Judge,
        noise_std: float,
        draws: torch.Generator,
    ) -> None:
        self.params, self.generator, self.tied, self.bands = params, generator, tied, bands
        self.lesson, self.images, self.judge, self.draws = lesson, images, judge, draws
        self.noise_std, self.levels = noise_std, noise_levels(params, noise_std)
        self.optimiser = torch.optim.Adam(
            generator.parameters(), lr=params.rate or RATES[params.generator], eps=ADAM_EPS, fused=True
        )
        self.update, self.weight = 0, torch.zeros((), device=start.device)
        self.guess, self.power = start.clone(), torch.zeros_like(start)
        self.best, self.best_power = self.guess, self.power
        self.state = tied.begin(start[bands], float(self.levels[0]), self._fresh(start[bands]))
        self.curve: list[list[float]] = []
        # Loss over its limit 1 - alpha_bar, mean and variance of the residual, at the last look.
        self.told = [0.0, 0.0, 1.0]
        if lesson is not None:
            self._look(start)

    def fitted(self, job: Job, watch: Watch, beside: Mapping[str, torch.Tensor]) -> Fitted:
        """Run to the end of the schedule, or until held-out samples are predicted no better.

        beside : what else a checkpoint shall keep
        """
        reason = "the end of the schedule was reached"
        while self.update < self.params.updates:
            is_look = (self.update + 1) % LOOK_EVERY == 0 or self.update + 1 == self.params.updates
            self._step(is_look)
            if is_look:
                self._look(self.guess)
            watch(self.update, self.guess, f"residual mean {self.told[1]:+.3f}, variance {self.told[2]:.2f}")
            if is_look and self.params.stop == "held-out" and self.judge.is_past:
                reason = f"held-out samples were predicted no better for {self.params.patience} updates"
                break
            job.keep(lambda: {**self.state_dict(), **beside})
        at_best = self.params.stop == "held-out"
        cube, power = (self.best, self.best_power) if at_best else (self.guess, self.power)
        kept = self.judge.kept if at_best else self.update
        return Fitted(cube, power.clamp_min(0).sqrt(), self.update, kept, self.curve, reason)

    def _fresh(self, like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=self.draws, device=like.device)

    def _step(self, is_look: bool) -> None:
        """One state of the chain; before a look it notes how the fit goes, which a device must be waited for."""
        sigma, after = (float(level) for level in self.levels[self.update : self.update + 2])
        hidden = None if self.lesson is None else self.lesson.hide(self.draws)
        shown, base = (self.images, None) if self.lesson is None else self.lesson.shown(hidden)
        assert shown is not None
        for _ in range(self.params.inner):
            with torch.enable_grad():
                cube = self.generator(shown, base)
                # sqrt(alpha_bar) times both sides of ||x - x0||: the loss tends to 1 - alpha_bar.
                loss = self._left(cube).square().mean() / (1 + sigma**2)
                self.optimiser.zero_grad(set_to_none=True)
                loss.backward()
            self.optimiser.step()
        cube = cube.detach()
        if is_look:
            left = self._left(cube) / sigma
            ratio = loss.detach() * (1 + sigma**2) / sigma**2
            self.told = torch.stack([ratio, left.mean(), left.var()]).tolist()
        self._average(cube, hidden)
        self.update += 1
        guess = self.guess[self.bands]
        self.state = self.tied.follow(self.state, guess, sigma, after, self._fresh(guess))

    def _left(self, cube: torch.Tensor) -> torch.Tensor:
        """What a cube leaves of the state, where there is something to learn from.

        In a gap the state only repeats the last guess, which would hold the network back.
        """
        left = self.state - cube[self.bands]
        return left[:, self.lesson.seen] if self.lesson is not None and self.lesson.has_gaps else left

    def _average(self, cube: torch.Tensor, hidden: torch.Tensor | None) -> None:
        """Moving average and variance of the outputs, free of the bias of a start from nothing.

        What was hidden from the network in this update it could only guess: it does not count there.
        """
        keep = self.params.average
        self.weight = keep * self.weight + (1 - keep)
        share = (1 - keep) / self.weight
        if hidden is not None:
            share = share * ~hidden
        gap = cube - self.guess
        self.guess = self.guess + share * gap
        self.power = (1 - share) * (self.power + share * gap.square())

    def _look(self, cube: torch.Tensor) -> None:
        if self.judge.look(self.update, cube):
            self.best, self.best_power = self.guess.clone(), self.power.clone()
        error = self.judge.curve[-1][1] / self.noise_std**2
        self.curve.append([float(self.update), error, *self.told])

    # What a checkpoint keeps

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything that the rest of the run depends on."""
        state = {f"net {name}": value for name, value in self.generator.state_dict().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            state |= {f"adam {index} {name}": value for name, value in moments.items()}
        return {
            **state,
            "update": torch.tensor(self.update),
            "weight": self.weight, "guess": self.guess, "power": self.power, "best": self.best,
            "best power": self.best_power, "chain": self.state, "draws": self.draws.get_state(),
            "curve": torch.tensor(self.curve, dtype=torch.float64),
            "judge": torch.tensor(self.judge.curve, dtype=torch.float64), "kept": torch.tensor(self.judge.kept),
            "best errors": torch.zeros(0) if self.judge.best is None else self.judge.best,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from there."""
        device = self.guess.device
        self.generator.load_state_dict({k[4:]: v for k, v in state.items() if k.startswith("net ")})
        saved = self.optimiser.state_dict()
        saved["state"] = {}
        for key, value in state.items():
            if key.startswith("adam "):
                _, index, name = key.split(" ")
                saved["state"].setdefault(int(index), {})[name] = value
        self.optimiser.load_state_dict(saved)
        self.update = int(state["update"])
        self.weight, self.guess, self.power, self.best, self.best_power, self.state = (
            state[name].to(device) for name in ("weight", "guess", "power", "best", "best power", "chain")
        )
        self.draws.set_state(state["draws"])
        self.curve = state["curve"].tolist()
        self.told = self.curve[-1][2:] if self.curve else self.told
        self.judge.kept = int(state["kept"])
        self.judge.best = state["best errors"].to(device) if self.curve else None
        self.judge.curve = [(int(update), error) for update, error in state["judge"].tolist()]
