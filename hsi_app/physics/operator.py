"""Linear operators: what an observation does to a cube, with adjoints that pass the dot test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Protocol, final, runtime_checkable

import torch

from hsi_app.errors import OperatorError

Shape = tuple[int, int, int]


class LinearOperator(ABC):
    """A linear map between cubes (B, H, W).

    A concrete operator sets its two shapes and writes ``_forward`` and ``_adjoint``; shapes are checked here.

    Parameters
    ----------
    in_shape, out_shape : (B, H, W) of what it takes and gives
    """

    def __init__(self, in_shape: Shape, out_shape: Shape) -> None:
        self.in_shape, self.out_shape = in_shape, out_shape

    @abstractmethod
    def _forward(self, cube: torch.Tensor) -> torch.Tensor: ...

    @abstractmethod
    def _adjoint(self, cube: torch.Tensor) -> torch.Tensor: ...

    @final
    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        """Apply to a cube of ``in_shape``; raises OperatorError for another shape."""
        self._check(cube, self.in_shape)
        return self._forward(cube)

    @final
    def adjoint(self, cube: torch.Tensor) -> torch.Tensor:
        """Apply the adjoint to a cube of ``out_shape``; raises OperatorError for another shape."""
        self._check(cube, self.out_shape)
        return self._adjoint(cube)

    @final
    def __matmul__(self, other: LinearOperator) -> LinearOperator:
        return Composition(self, other)

    @final
    def __add__(self, other: LinearOperator) -> LinearOperator:
        return Sum(self, other)

    @property
    @final
    def H(self) -> LinearOperator:
        """The adjoint as an operator."""
        return Adjoint(self)

    @final
    def norm(self, generator: torch.Generator, *, steps: int = 30) -> float:
        """Largest singular value by power iteration (Golub and Van Loan 2013, sec. 8.2), from below."""
        x = torch.randn(self.in_shape, generator=generator, device=generator.device)
        value = 0.0
        for _ in range(steps):
            x = x / x.norm().clamp_min(1e-30)
            x = self.adjoint(self.forward(x))
            value = float(x.norm())
        return value**0.5

    def __str__(self) -> str:
        return f"{type(self).__name__}{self.in_shape}->{self.out_shape}"

    @final
    def _check(self, cube: torch.Tensor, shape: Shape) -> None:
        if tuple(cube.shape) != shape:
            raise OperatorError(f"{self} was given a cube of shape {tuple(cube.shape)}; it needs {shape}.")


@runtime_checkable
class Decomposable(Protocol):
    """An operator with a known singular value decomposition A = U diag(s) V^T; all four maps are orthogonal.

    Coordinates are flat vectors: ``vt`` gives as many as ``in_shape`` has entries, ``ut`` as many as
    ``out_shape``; ``singulars`` has min of both, and the first coordinates of each belong to them.
    """

    def singulars(self) -> torch.Tensor:
        """(n,) singular values in the order of the coordinates; zeros allowed."""
        ...

    def vt(self, cube: torch.Tensor) -> torch.Tensor:
        """V^T x: flat coordinates of an input."""
        ...

    def v(self, coordinates: torch.Tensor) -> torch.Tensor:
        """V z: the input with these coordinates."""
        ...

    def ut(self, cube: torch.Tensor) -> torch.Tensor:
        """U^T y: flat coordinates of an output."""
        ...

    def u(self, coordinates: torch.Tensor) -> torch.Tensor:
        """U z: the output with these coordinates."""
        ...


@runtime_checkable
class Prox(Protocol):
    """An operator whose least-squares step has a closed form."""

    def prox(self, observed: torch.Tensor, centre: torch.Tensor, weight: float) -> torch.Tensor:
        """Minimiser of ||A x - y||^2 + weight ||x - centre||^2, weight > 0."""
        ...


def pseudo_inverse(operator: LinearOperator, observed: torch.Tensor) -> torch.Tensor:
    """Least-norm solution A^+ y of a Decomposable operator; directions it loses stay 0.

    Raises OperatorError if the operator has no known decomposition.
    """
    if not isinstance(operator, Decomposable):
        raise OperatorError(f"{operator} has no known decomposition; use an iterative solver.")
    singulars = operator.singulars()
    coordinates = operator.ut(observed)[: singulars.numel()]
    seen = singulars > 1e-6 * singulars.max()
    solved = torch.where(seen, coordinates / torch.where(seen, singulars, 1.0), 0.0)
    size = int(torch.tensor(operator.in_shape).prod())
    return operator.v(torch.cat([solved, solved.new_zeros(size - solved.numel())]))


@final
class Composition(LinearOperator):
    """``outer @ inner``: first the inner, then the outer one."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        if outer.in_shape != inner.out_shape:
            raise OperatorError(f"cannot compose: {inner} gives {inner.out_shape}, {outer} takes {outer.in_shape}.")
        super().__init__(inner.in_shape, outer.out_shape)
        self.outer, self.inner = outer, inner

    def _forward(self, cube: torch.Tensor) -> torch.Tensor:
        return self.outer.forward(self.inner.forward(cube))

    def _adjoint(self, cube: torch.Tensor) -> torch.Tensor:
        return self.inner.adjoint(self.outer.adjoint(cube))


@final
class Sum(LinearOperator):
    """``first + second``."""

    def __init__(self, first: LinearOperator, second: LinearOperator) -> None:
        if (first.in_shape, first.out_shape) != (second.in_shape, second.out_shape):
            raise OperatorError(f"cannot add {first} and {second}; their shapes must be equal.")
        super().__init__(first.in_shape, first.out_shape)
        self.first, self.second = first, second

    def _forward(self, cube: torch.Tensor) -> torch.Tensor:
        return self.first.forward(cube) + self.second.forward(cube)

    def _adjoint(self, cube: torch.Tensor) -> torch.Tensor:
        return self.first.adjoint(cube) + self.second.adjoint(cube)


@final
class Adjoint(LinearOperator):
    """The adjoint of an operator, as an operator."""

    def __init__(self, inner: LinearOperator) -> None:
        super().__init__(inner.out_shape, inner.in_shape)
        self.inner = inner

    def _forward(self, cube: torch.Tensor) -> torch.Tensor:
        return self.inner.adjoint(cube)

    def _adjoint(self, cube: torch.Tensor) -> torch.Tensor:
        return self.inner.forward(cube)


def dot_gap(operator: LinearOperator, dtype: torch.dtype, seeds: Iterable[int] = range(3)) -> float:
    """Largest | <A x, y> - <x, A^T y> | over random x and y, relative to ||A x|| ||y||.

    An exact adjoint stays below 1e-6 in float32 and 1e-13 in float64.
    """
    worst = 0.0
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(operator.in_shape, generator=generator, dtype=dtype)
        y = torch.randn(operator.out_shape, generator=generator, dtype=dtype)
        image, back = operator.forward(x).double(), operator.adjoint(y).double()
        gap = abs(float((image * y.double()).sum() - (x.double() * back).sum()))
        size = max(float(image.norm() * y.double().norm()), float(x.double().norm() * back.norm()), 1e-300)
        worst = max(worst, gap / size)
    return worst
