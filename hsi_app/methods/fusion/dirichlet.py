"""The fit of u2-MDN: one encoder and one set of spectra for the pixels of both images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from hsi_app.fusion.pair import Pair
from hsi_app.jobs import Job
from hsi_app.methods.fusion.spec import DirichletParameters
from hsi_app.unmixing.vertices import vca

# Hyperspectral pixels in each step; smaller images are taken whole.
HSI_PX = 2048
# Hyperspectral pixels that each component needs, lest the mixtures learn them by heart.
PIXELS_EACH = 10
# Pixels of each image that the critic sees in a step.
JUDGED_PX = 512
# The fit ends where the loss of so many steps is within a share of that of the steps before.
STOP_STEPS, STOP_SHARE = 250, 1e-4
# Steps between two looks at the job: a tenth of a second.
_REPORT = 20
# Inside the root of l21, so that its slope at a perfect fit is zero and not infinite.
_ROUND = 1e-8


@dataclass(frozen=True, eq=False)
class Dirichlet:
    """A fitted encoder, collapsed to the affine map that it is, and the spectra it mixes.

    Parameters
    ----------
    affine : (l + 1, c + 1) tensor, standardised pixel and 1 -> logits of the sticks and raw beta
    spectra : (c, B) tensor >= 0
    centre, spread : (l,) tensors that standardise pixels
    mixed : (l, B) tensor, spectral response
    """

    affine: torch.Tensor
    spectra: torch.Tensor
    centre: torch.Tensor
    spread: torch.Tensor
    mixed: torch.Tensor

    def codes(self, pixels: torch.Tensor) -> torch.Tensor:
        """(l, N) pixels -> (c, N) codes, columns on the simplex."""
        from hsi_models.u2mdn import codes_of

        return codes_of(self.affine, ((pixels - self.centre[:, None]) / self.spread[:, None]).T).T

    def mix(self, codes: torch.Tensor) -> torch.Tensor:
        """(c, N) codes -> (B, N) spectra."""
        return self.spectra.T @ codes


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit came to.

    curve : (step, loss) pairs; stopped : last step; reason : why it ended there; information : mutual information of
    pixels and codes as the critic sees it, 0 to 2 ln 2, NaN without a critic
    """

    model: Dirichlet
    curve: list[tuple[int, float]]
    stopped: int
    reason: str
    information: float


def l21(misfit: torch.Tensor, axis: str = "pixel") -> torch.Tensor:
    """Mean length of a misfit (N, B): over its pixels (rows), or over its bands (columns).

    axis : 'pixel' is the collaborative norm of arXiv 1904.12175, to which a foreign pixel counts linearly; 'band' the
        one that a bad channel counts linearly to
    """
    along = {"pixel": 1, "band": 0}[axis]
    return (misfit.square().sum(along) + _ROUND).sqrt().mean()


def squared(misfit: torch.Tensor) -> torch.Tensor:
    """Mean squared length of the pixels of a misfit (N, B)."""
    return misfit.square().sum(1).mean()


def fit_dirichlet(pair: Pair, params: DirichletParameters, job: Job) -> Fit:
    """Fit encoder and spectra to both images of a pair, which need not line up.

    Nothing but the two images is looked at, also by the stop rule: the mean loss of 250 steps.

    Source: arXiv 1904.12175, with one mean for both images: separate ones are wrong as soon as the two show
    different ground.
    """
    from hsi_models.u2mdn import Critic, DirichletEncoder, SpectralDecoder, information

    device = pair.device
    # One stream of random numbers on the host, whatever the device.
    generator = job.generator("cpu")
    hsi = pair.spectra
    if hsi.shape[1] > HSI_PX:
        hsi = hsi[:, torch.randperm(hsi.shape[1], generator=generator)[:HSI_PX].to(device)]
    mixed = pair.mixed_bands()
    msi = pair.guide_pixels(params.msi_pixels, generator)
    bands = len(msi)
    components = min(params.components, len(hsi), max(hsi.shape[1] // PIXELS_EACH, 2))
    if components < params.components:
        job.note(f"{hsi.shape[1]} hyperspectral pixels carry {components} components, not {params.components}.")
    mean = hsi.mean(1)
    centre = mixed @ mean
    spread = (mixed @ hsi).std(1).clamp(min=1e-6)
    _, corners = vca(hsi.cpu(), components, generator)
    encoder = DirichletEncoder(bands, components, params.width, generator).to(device)
    decoder = SpectralDecoder(corners.T.float().to(device), mean)
    critic = Critic(bands, components, generator).to(device)
    spectra, pixels = hsi.T.contiguous(), msi.T.contiguous()
    inputs = (torch.cat([spectra @ mixed.T, pixels]) - centre) / spread
    parts = len(spectra), len(pixels)
    trained = [*encoder.parameters(), *decoder.parameters(), *(critic.parameters() if params.information else ())]
    optimiser = torch.optim.Adam(trained, lr=params.rate, fused=True)
    misfit = l21 if params.norm == "l21" else squared

    def judged(codes: tuple[torch.Tensor, ...]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Some pixels of each image, in random order; pairs are never made across images, whose brightness differs."""
        groups = []
        for x, s in zip(inputs.split(parts), codes, strict=True):
            order = torch.randperm(len(x), generator=generator)[:JUDGED_PX].to(device)
            groups.append((x.index_select(0, order), s.index_select(0, order)))
        return groups

    def loss() -> torch.Tensor:
        codes, mixtures = encoder(inputs), decoder()
        own, other = codes.split(parts)
        total = misfit(spectra - own @ mixtures) + misfit(pixels - other @ (mixtures @ mixed.T))
        if params.entropy:
            total = total - params.entropy * (codes * (codes + 1e-9).log()).sum(1).mean()
        if params.penalty:
            total = total + params.penalty * (decoder.inner.square().mean() + decoder.outer.square().mean())
        if params.information:
            total = total - params.information * information(critic, judged((own, other))).mean()
        return total

    curve, stopped, reason = _descend(loss, optimiser, params, job)
    with torch.no_grad():
        model = Dirichlet(encoder.affine().detach(), decoder().detach(), centre, spread, mixed)
        seen = float("nan")
        if params.information:
            seen = float(information(critic, judged(encoder(inputs).split(parts))).mean())
    return Fit(model, curve, stopped, reason, seen)


def _descend(
    loss_of: Callable[[], torch.Tensor], optimiser: torch.optim.Optimizer, params: DirichletParameters, job: Job
) -> tuple[list[tuple[int, float]], int, str]:
    """Steps of Adam; the curve of losses, the last step and why it was the last."""
    curve: list[tuple[int, float]] = []
    total, before = torch.zeros((), device=optimiser.param_groups[0]["params"][0].device), float("inf")
    for step in range(1, params.steps + 1):
        if step % _REPORT == 1:
            job.step((step - 1) / params.steps, f"fitting mixtures, step {step} of at most {params.steps}")
        with torch.enable_grad():
            optimiser.zero_grad()
            loss = loss_of()
            loss.backward()
        optimiser.step()
        for group in optimiser.param_groups:
            group["lr"] *= params.decay
        total += loss.detach()
        if step % STOP_STEPS == 0:
            # The only time that a number leaves the device.
            mean = float(total) / STOP_STEPS
            curve.append((step, mean))
            if before - mean < STOP_SHARE * abs(before):
                return curve, step, f"the loss fell by less than 1 in 10,000 over {STOP_STEPS} steps"
            total.zero_()
            before = mean
    return curve, params.steps, "the last step was reached"
