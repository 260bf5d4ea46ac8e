"""How well coefficient images explain what was observed, and the exact step towards it.

The model of all of these: y = H E u + n with unit noise, where u are r images on the prior's scale, E (B, r) lifts
them to whitened bands and H acts on every band's image alike (gaps, blur, coarser grid). A guess c of the prior with
error variance t is corrected to the minimiser of ||y - H E u||^2 + ||u - c||^2 / t.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from hsi_app.errors import CapabilityError
from hsi_app.physics.operator import LinearOperator
from hsi_app.physics.spatial import Separable

# Normal matrices held at a time while they are decomposed: 2^24 float32 entries = 64 MB.
_CHUNK_ENTRIES = 2**24
_SOLVER_STEPS, _SOLVER_GAP = 25, 1e-4


class DataTerm(ABC):
    """A data term; see the module.

    Parameters
    ----------
    lift : (B, r) matrix E
    """

    def __init__(self, lift: torch.Tensor) -> None:
        self.lift = lift

    @abstractmethod
    def residual(self, images: torch.Tensor) -> torch.Tensor:
        """H E u - y, 0 where nothing was observed: shaped like the observation."""

    @abstractmethod
    def pull_back(self, residual: torch.Tensor) -> torch.Tensor:
        """E^T H^T of something shaped like the observation: (r, H, W)."""

    @abstractmethod
    def correct(self, guess: torch.Tensor, variance: float, extra: torch.Tensor | None = None) -> torch.Tensor:
        """The minimiser for a guess (r, H, W) of error variance ``variance``.

        extra : (r, H, W) added to the right hand side, for a further term whose gradient is minus this, or None
        """


class PointwiseTerm(DataTerm):
    """Every sample observed by itself, or not at all (H keeps samples): solved pixel by pixel.

    observed : (B, H, W), 0 where not ``seen``; seen : (B, H, W) bool
    """

    def __init__(self, lift: torch.Tensor, observed: torch.Tensor, seen: torch.Tensor) -> None:
        super().__init__(lift)
        self._observed, self._seen = observed, seen
        # In double precision once: strong images exceed weak ones by more than the digits of single precision.
        double = lift.double()
        if bool(seen.all()):
            values, vectors = torch.linalg.eigh(double.T @ double)
            self._values, self._vectors = values[None].to(lift), vectors[None].to(lift)
            target = (vectors.T @ double.T).to(lift) @ observed.flatten(1)
            self._target = target.T.contiguous()
        else:
            self._values, self._vectors, self._target = self._decomposed(observed.flatten(1), seen.flatten(1))

    def _decomposed(self, observed: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Of each pixel's normal matrix eigenvalues (P, r) and vectors (P, r, r), and the right hand side in these."""
        bands, rank = self.lift.shape
        lift = self.lift.double()
        pairs = (lift[:, :, None] * lift[:, None, :]).reshape(bands, rank * rank)
        values, target = (self.lift.new_empty(seen.shape[1], rank) for _ in range(2))
        vectors = self.lift.new_empty(seen.shape[1], rank, rank)
        chunk = max(1, _CHUNK_ENTRIES // max(rank, bands) ** 2)
        for begin in range(0, seen.shape[1], chunk):
            part = slice(begin, begin + chunk)
            known = seen[:, part].to(pairs).T
            values[part], found = torch.linalg.eigh((known @ pairs).reshape(-1, rank, rank))
            right = (known * observed[:, part].T) @ lift
            vectors[part], target[part] = found, torch.einsum("pij,pi->pj", found, right)
        return values.clamp_min_(0), vectors, target

    def residual(self, images: torch.Tensor) -> torch.Tensor:
        """E u - y where seen, else 0."""
        predicted = (self.lift @ images.flatten(1)).reshape(self._observed.shape)
        return torch.where(self._seen, predicted - self._observed, 0.0)

    def pull_back(self, residual: torch.Tensor) -> torch.Tensor:
        """E^T of a cube."""
        return (self.lift.T @ residual.flatten(1)).reshape(-1, *residual.shape[1:])

    def correct(self, guess: torch.Tensor, variance: float, extra: torch.Tensor | None = None) -> torch.Tensor:
        """Exact, one small system a pixel."""
        right = self._turned(guess) / variance + self._target
        right = right if extra is None else right + self._turned(extra)
        solved = right / (self._values + 1 / variance)
        if len(self._vectors) == 1:
            back = self._vectors[0] @ solved.T
        else:
            back = torch.einsum("pij,pj->ip", self._vectors, solved)
        return back.reshape(guess.shape)

    def _turned(self, images: torch.Tensor) -> torch.Tensor:
        """Images (P, r) in the eigenvectors of their pixels."""
        if len(self._vectors) == 1:
            return (self._vectors[0].T @ images.flatten(1)).T
        return torch.einsum("pij,ip->pj", self._vectors, images.flatten(1))


class SeparableTerm(DataTerm):
    """A blur or a coarser grid seen through matrices on rows and columns, all of it observed.

    In the singular vectors of rows, columns and lift every entry of the images stands alone, and what the observation
    cannot see stays apart from what it sees however strong that is.

    operator : ``Separable`` that takes the fine grid; observed : (B, H', W')
    """

    def __init__(self, lift: torch.Tensor, observed: torch.Tensor, operator: Separable) -> None:
        super().__init__(lift)
        self._observed = observed
        parts = [torch.linalg.svd(lift.double(), full_matrices=False)]
        parts += [torch.linalg.svd(matrix.double()) for matrix in (operator.rows, operator.cols)]
        self._outer = [left.to(lift) for left, _, _ in parts]
        self._inner = [right.to(lift) for _, _, right in parts]
        spectral, down, across = (values for _, values, _ in parts)
        self._gain = (spectral[:, None, None] * torch.outer(down, across)).to(lift)
        self._read_out = self._read(observed)
        squares = torch.zeros(len(spectral), len(self._inner[1]), len(self._inner[2]), dtype=lift.dtype)
        self._squares = self._grown(self._gain.square(), squares.to(lift))

    def residual(self, images: torch.Tensor) -> torch.Tensor:
        """H E u - y."""
        return self._seen_as(self._turned(images)) - self._observed

    def pull_back(self, residual: torch.Tensor) -> torch.Tensor:
        """E^T H^T."""
        return self._turned_back(self._read(residual))

    def correct(self, guess: torch.Tensor, variance: float, extra: torch.Tensor | None = None) -> torch.Tensor:
        """Exact, entry by entry."""
        right = self._turned(guess) / variance + self._read_out
        right = right if extra is None else right + self._turned(extra)
        return self._turned_back(right / (self._squares + 1 / variance))

    def _turned(self, images: torch.Tensor) -> torch.Tensor:
        """Images in the singular vectors: (r, H, W)."""
        spectral, down, across = self._inner
        return down @ _mixed(spectral, images) @ across.T

    def _turned_back(self, turned: torch.Tensor) -> torch.Tensor:
        spectral, down, across = self._inner
        return _mixed(spectral.T, down.T @ turned @ across)

    def _seen_as(self, turned: torch.Tensor) -> torch.Tensor:
        """H E of turned images: (B, H', W')."""
        spectral, down, across = self._outer
        height, width = self._gain.shape[1:]
        seen = self._gain * turned[:, :height, :width]
        return _mixed(spectral, down[:, :height] @ seen @ across[:, :width].T)

    def _read(self, values: torch.Tensor) -> torch.Tensor:
        """E^T H^T of something shaped like the observation, turned: (r, H, W)."""
        spectral, down, across = self._outer
        height, width = self._gain.shape[1:]
        found = self._gain * (down[:, :height].T @ _mixed(spectral.T, values) @ across[:, :width])
        return self._grown(found, found.new_zeros(len(found), len(self._inner[1]), len(self._inner[2])))

    def _grown(self, seen: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        """Entries that the observation sees, put into all of them."""
        whole[:, : seen.shape[1], : seen.shape[2]] = seen
        return whole


class GappyTerm(SeparableTerm):
    """A blur or a coarser grid of which samples are missing: solved by preconditioned conjugate gradients (Hestenes,
    Stiefel 1952).

    seen : (B, H', W') bool, the others as in ``SeparableTerm``
    """

    def __init__(self, lift: torch.Tensor, observed: torch.Tensor, operator: Separable, seen: torch.Tensor) -> None:
        self._seen = seen
        super().__init__(lift, torch.where(seen, observed, 0.0), operator)

    def residual(self, images: torch.Tensor) -> torch.Tensor:
        """H E u - y where seen, else 0."""
        return torch.where(self._seen, super().residual(images), 0.0)

    def correct(self, guess: torch.Tensor, variance: float, extra: torch.Tensor | None = None) -> torch.Tensor:
        """To a ten-thousandth of the error that the guess leaves."""
        # What is sought is the change of the guess; were nothing missing, the first direction would be it.
        rest = -self._read(self.residual(guess))
        rest = rest if extra is None else rest + self._turned(extra)
        over = 1 / (self._squares + 1 / variance)
        change, direction = torch.zeros_like(rest), over * rest
        power = (rest * direction).sum()
        enough = _SOLVER_GAP**2 * power
        for _ in range(_SOLVER_STEPS):
            if power <= enough:
                break
            image = self._read(torch.where(self._seen, self._seen_as(direction), 0.0)) + direction / variance
            length = power / (direction * image).sum()
            change = change + length * direction
            rest = rest - length * image
            power, before = (rest * over * rest).sum(), power
            direction = over * rest + power / before * direction
        return guess + self._turned_back(change)


def data_term(
    lift: torch.Tensor, observed: torch.Tensor, seen: torch.Tensor, operator: LinearOperator | None
) -> DataTerm:
    """The term that fits: pointwise without an operator, exact with one that is fully observed, else iterative.

    Raises CapabilityError for an operator that does not act along rows and columns.
    """
    if operator is None:
        return PointwiseTerm(lift, observed, seen)
    if not isinstance(operator, Separable):
        raise CapabilityError(
            f"no exact step is known for a {type(operator).__name__}; use a blur or a grid along rows and columns."
        )
    if bool(seen.all()):
        return SeparableTerm(lift, observed, operator)
    return GappyTerm(lift, observed, operator, seen)


def _mixed(matrix: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return (matrix @ images.flatten(1)).reshape(-1, *images.shape[1:])
