"""Networks of u2-MDN: one Dirichlet encoder for both images of a pair, the spectra it mixes, and a critic.

Source: Qu, Qi, Kwan, Yokoya and Chanussot 2021 (arXiv 1904.12175). The layers of the encoder are linear and densely
connected, so that all of them together are one affine map of the pixel: it is worked out once a step, on the l + 1
vectors that fix it, and not on every pixel. Spectra are rows here, as pixels are: (N, bands).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

# Smallest exponent's denominator, and the least that a stick may leave for those after it.
_LEAST_BETA, _LEAST_REST = 1e-3, 1e-7
# Sharpness of the soft floor at zero of the decoder's spectra.
_FLOOR = 20.0


class DirichletEncoder(nn.Module):
    """Maps pixels to the simplex; the same weights serve both images.

    Parameters
    ----------
    inputs : l, bands of the multispectral image
    components : c, entries of the code
    width : n, outputs of the first layer; each of the four after it has one more
    generator : of the first weights (Glorot, zero bias)
    """

    def __init__(self, inputs: int, components: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.inputs, self.components = inputs, components
        sizes, taken = [], inputs
        for outputs in range(width, width + 5):
            sizes.append((taken, outputs))
            taken += outputs
        branch = inputs + 2 * width + 1
        beta_sizes = [(branch, width + 2), (branch + width + 2, width + 3)]
        self.layers = nn.ModuleList(_linear(*size, generator) for size in sizes)
        self.sticks = _linear(taken, components, generator)
        self.beta_layers = nn.ModuleList(_linear(*size, generator) for size in beta_sizes)
        self.beta = _linear(branch + 2 * width + 5, 1, generator)

    def affine(self) -> torch.Tensor:
        """(l + 1, c + 1) tensor A with (logits of the sticks, raw beta) = (x, 1) A."""
        like = self.beta.weight
        basis = torch.eye(self.inputs + 1, dtype=like.dtype, device=like.device)
        constant = basis[:, -1:]

        def dense(layer: nn.Module, seen: torch.Tensor) -> torch.Tensor:
            assert isinstance(layer, nn.Linear)
            return seen @ layer.weight.T + constant * layer.bias

        seen = basis[:, :-1]
        branch = seen
        for depth, layer in enumerate(self.layers):
            seen = torch.cat([dense(layer, seen), seen], 1)
            if depth == 1:
                branch = seen
        for layer in self.beta_layers:
            branch = torch.cat([dense(layer, branch), branch], 1)
        return torch.cat([dense(self.sticks, seen), dense(self.beta, branch)], 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """(N, l) centred pixels -> (N, c) code, entries >= 0 that add to one."""
        return codes_of(self.affine(), pixels)


def codes_of(affine: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Codes of pixels by an encoder's affine map.

    affine : (l + 1, c + 1) tensor, as ``DirichletEncoder.affine`` gives; pixels : (N, l) tensor
    Returns an (N, c) tensor, rows on the simplex.
    """
    raw = pixels @ affine[:-1] + affine[-1]
    return break_sticks(raw[:, :-1], functional.softplus(raw[:, -1:]) + _LEAST_BETA)


def break_sticks(logits: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """Shares of a stick of length one, broken again and again; the last share is all that is left.

    Parameters
    ----------
    logits : (N, c) tensor, of the uniform variables u; the last column has no effect
    beta : (N, 1) tensor > 0, one for all sticks of a pixel: v = u^(1 / beta)

    Returns
    -------
    (N, c) tensor: s_k = v_k prod_{j<k} (1 - v_j), with v_c = 1, so that the entries of a row add to one.

    Source: the Kumaraswamy construction of arXiv 1904.12175, in logarithms. The released code leaves the last stick
    out; its shares add to 0.5 to 0.97.
    """
    log_v = functional.logsigmoid(logits[:, :-1]) / beta
    # 1 - v from the logarithm of v: for v near one the plain difference has no digits left.
    rest = torch.log(-torch.expm1(log_v).clamp(max=-_LEAST_REST))
    left = torch.cumsum(rest, 1)
    shares = torch.cat([log_v, torch.zeros_like(log_v[:, :1])], 1)
    shares = (shares + functional.pad(left, (1, 0))).exp()
    # The clamp and rounding cost the sum its last digits.
    return shares / shares.sum(1, keepdim=True)


class SpectralDecoder(nn.Module):
    """The spectra that codes mix: Phi = softplus(W1 W2 + mean), never negative.

    Parameters
    ----------
    spectra : (c, B) tensor of first spectra
    mean : (B,) tensor, mean spectrum of the hyperspectral image
    """

    mean: torch.Tensor

    def __init__(self, spectra: torch.Tensor, mean: torch.Tensor) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.eye(len(spectra), dtype=spectra.dtype, device=spectra.device))
        self.outer = nn.Parameter((spectra - mean).clone())
        self.register_buffer("mean", mean)

    def forward(self) -> torch.Tensor:
        """(c, B) spectra >= 0."""
        return functional.softplus(self.inner @ self.outer + self.mean, _FLOOR)


class Critic(nn.Module):
    """Tells pairs of a pixel and its own code from pairs with another pixel's code.

    inputs : l; components : c; generator : of the first weights
    """

    def __init__(self, inputs: int, components: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = _linear(inputs + components, inputs + components, generator)
        self.last = _linear(inputs + components, 1, generator, bias=False)

    def forward(self, pixels: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """(N, l) pixels and (N, c) codes -> (N,) scores; high where they belong together."""
        # Without a bend the score would be a sum of one of the pixel and one of the code.
        hidden = functional.leaky_relu(self.hidden(torch.cat([pixels, codes], 1)), 0.2)
        scores: torch.Tensor = self.last(hidden)[:, 0]
        return scores


def information(critic: Critic, groups: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Mutual information of pixels and codes as the critic sees it, from below; 0 where it sees none.

    Parameters
    ----------
    critic : told the same of every group, so that it learns from all
    groups : of (N, l) pixels and their (N, c) codes, in random order: each code's partner in the pairs that do not
        belong together is the next pixel of its own group, never the pixel itself

    Returns
    -------
    (groups,) tensor: E[-softplus(-T)] - E'[softplus(T)] + 2 ln 2, at most 2 ln 2

    Source: the Jensen-Shannon bound of Hjelm et al. 2019 (arXiv 1808.06670), as in arXiv 1904.12175, whose released
    code exchanges nothing, so that its term sits at 0.
    """
    pixels = [x for x, _ in groups] + [x.roll(1, 0) for x, _ in groups]
    codes = [s for _, s in groups] * 2
    scores = critic(torch.cat(pixels), torch.cat(codes)).split([len(x) for x in pixels])
    joint = [-functional.softplus(-score).mean() for score in scores[: len(groups)]]
    apart = [functional.softplus(score).mean() for score in scores[len(groups) :]]
    return torch.stack(joint) - torch.stack(apart) + 2 * math.log(2)


def _linear(inputs: int, outputs: int, generator: torch.Generator, *, bias: bool = True) -> nn.Linear:
    # skip_init: the default start would draw from the global generator.
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias, device=generator.device)
    bound = math.sqrt(6 / (inputs + outputs))
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        if bias:
            layer.bias.zero_()
    return layer
