"""Abundances of given endmembers: exact constrained least squares, whatever the number of materials.

Up to six endmembers every support (set of materials present) is tried in closed form. Above that supports are improved
by exchanging all materials that break the optimality conditions, until none does; the few pixels that go round in
circles are finished by an accelerated projected gradient, stopped by the same conditions. Both are exact.
"""

from __future__ import annotations

from itertools import combinations

import torch

from hsi_app.errors import SubspaceError

# 2^6 - 1 supports in closed form cost less than the iterations they replace.
ENUMERATED = 6
# Pixels at a time: 2^15 x 200 bands x 8 B = 52 MB.
CHUNK_PX = 2**15
# Abundances above -1e-10 count as zero, slopes below 1e-9 of the data's as flat.
FEASIBLE, FLAT = 1e-10, 1e-9
MAX_ITERATIONS = 5000
_POLISH_EVERY = 25
# Supports of up to so many materials have a code of 64 bits.
_CODED = 62
# Exchanges of supports: most pixels need fewer than ten.
_MAX_EXCHANGES = 60
# Each pixel has a system of K + 1 equations of its own: 2^22 numbers of 8 B at a time.
_SYSTEM_NUMBERS = 2**22


def solve_abundances(
    spectra: torch.Tensor,
    endmembers: torch.Tensor,
    *,
    nonnegative: bool = True,
    sum_to_one: bool = True,
    weights: torch.Tensor | None = None,
    valid: torch.Tensor | None = None,
) -> torch.Tensor:
    """Least-squares abundances: argmin_a sum_b w_b (y_b - (M a)_b)^2, with a >= 0 and sum(a) = 1 where asked.

    Both constraints give FCLS, non-negativity alone NNLS, neither UCLS.

    Parameters
    ----------
    spectra : (B, N) float tensor, one column a pixel
    endmembers : (B, K) float tensor M, on the same device
    nonnegative, sum_to_one : the constraints
    weights : (B,) float tensor >= 0 of the channels, or None for ones
    valid : (B, N) bool tensor, True = observed, or None for all; what is missing takes no part

    Returns
    -------
    (K, N) float64 tensor; NaN for pixels with fewer observed bands than endmembers. Above six endmembers the normal
    equations are solved: of endmembers that agree to five digits (condition of M above 1e5) single pixels may share the
    abundance in another way, at a residual that is the same to six digits.

    Raises
    ------
    SubspaceError
        If there are more endmembers than bands and no constraint would make the answer unique.

    Source: fully constrained least squares, Heinz and Chang 2001; the support enumeration and its optimality
    conditions are those of any strictly convex quadratic program (Nocedal and Wright 2006, sec. 16.4).
    """
    bands, count = endmembers.shape
    if count > bands and not (nonnegative or sum_to_one):
        raise SubspaceError(f"{count} endmembers in {bands} bands have no unique abundances; give fewer endmembers.")
    root = None if weights is None else weights.double().sqrt()[:, None]
    model = endmembers.double() if root is None else endmembers.double() * root
    result = torch.empty((count, spectra.shape[1]), dtype=torch.float64, device=spectra.device)
    for start in range(0, spectra.shape[1], CHUNK_PX):
        stop = start + CHUNK_PX
        part = spectra[:, start:stop].double()
        part = part if root is None else part * root
        seen = None if valid is None else valid[:, start:stop]
        if seen is None or bool(seen.all()):
            result[:, start:stop] = _solve(part, model, nonnegative, sum_to_one)
            continue
        whole = seen.all(0)
        found = torch.full((count, part.shape[1]), torch.nan, dtype=torch.float64, device=part.device)
        if bool(whole.any()):
            found[:, whole] = _solve(part[:, whole], model, nonnegative, sum_to_one)
        gappy = ~whole & (seen.sum(0) >= min(count, bands))
        if bool(gappy.any()):
            found[:, gappy] = _solve_gappy(part[:, gappy], seen[:, gappy], model, nonnegative, sum_to_one)
        result[:, start:stop] = found
    return result


def _solve(spectra: torch.Tensor, model: torch.Tensor, nonnegative: bool, sum_to_one: bool) -> torch.Tensor:
    """One chunk of complete pixels."""
    count = model.shape[1]
    if count <= min(ENUMERATED, model.shape[0]):
        # With M = Q R the problem is K-dimensional, and R keeps the condition that M^T M would square.
        q, r = torch.linalg.qr(model)
        size = r.diagonal().abs()
        if float(size.min()) > 1e-9 * float(size.max()):
            return _enumerate(q.T @ spectra, r, nonnegative, sum_to_one)
    gram, slope = model.T @ model, model.T @ spectra
    step = max(_SYSTEM_NUMBERS // (count + 1) ** 2, 64)
    parts = [_optimise(gram, part, nonnegative, sum_to_one) for part in slope.split(step, dim=1)]
    return torch.cat(parts, 1)


def _solve_gappy(
    spectra: torch.Tensor, seen: torch.Tensor, model: torch.Tensor, nonnegative: bool, sum_to_one: bool
) -> torch.Tensor:
    """One chunk of pixels that each have bands of their own."""
    bands, count = model.shape
    weight = seen.double()
    pairs = (model[:, :, None] * model[:, None, :]).reshape(bands, count * count)
    result = torch.empty((count, spectra.shape[1]), dtype=torch.float64, device=spectra.device)
    step = max(_SYSTEM_NUMBERS // (count + 1) ** 2, 64)
    for start in range(0, spectra.shape[1], step):
        part = slice(start, start + step)
        gram = (weight[:, part].T @ pairs).reshape(-1, count, count)
        slope = model.T @ (spectra[:, part] * weight[:, part])
        result[:, part] = _optimise(gram, slope, nonnegative, sum_to_one)
    return result


def _enumerate(coordinates: torch.Tensor, r: torch.Tensor, nonnegative: bool, sum_to_one: bool) -> torch.Tensor:
    """Best feasible support of each pixel. ``coordinates`` (K, N) = Q^T y, ``r`` (K, K) upper triangular."""
    count = len(coordinates)
    full = tuple(range(count))
    matrix, shift = _closed_form(r, full, sum_to_one)
    best = matrix @ coordinates + shift
    if not nonnegative:
        return best
    # Where the answer without the sign constraint is feasible it is the answer.
    left = (best < -FEASIBLE).any(0).nonzero()[:, 0]
    best.clamp_(min=0)
    if left.numel():
        part = coordinates[:, left]
        found = torch.zeros((count, left.numel()), dtype=best.dtype, device=best.device)
        # The empty support is an answer only where the sum is free.
        cost = torch.full_like(found[0], torch.inf) if sum_to_one else part.square().sum(0)
        for size in range(1, count):
            for support in combinations(full, size):
                matrix, shift = _closed_form(r, support, sum_to_one)
                candidate = matrix @ part + shift
                value = (part - r[:, support] @ candidate).square_().sum(0)
                better = ((candidate >= -FEASIBLE).all(0) & (value < cost)).nonzero()[:, 0]
                if better.numel():
                    cost[better] = value[better]
                    column = torch.zeros((count, better.numel()), dtype=best.dtype, device=best.device)
                    column[list(support)] = candidate[:, better].clamp_(min=0)
                    found[:, better] = column
        best[:, left] = found
    return best / best.sum(0) if sum_to_one else best


def _closed_form(r: torch.Tensor, support: tuple[int, ...], sum_to_one: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Least squares on a support as an affine map: abundances = matrix @ coordinates + shift."""
    chosen = r[:, support]
    matrix = torch.linalg.pinv(chosen)
    if not sum_to_one:
        return matrix, torch.zeros((len(support), 1), dtype=r.dtype, device=r.device)
    # Lagrange: a = a_free + G^-1 1 (1 - 1^T a_free) / (1^T G^-1 1), with G^-1 = pinv pinv^T.
    direction = matrix @ matrix.sum(0)[:, None]
    direction = direction / direction.sum()
    return matrix - direction @ matrix.sum(0)[None, :], direction


def _optimise(gram: torch.Tensor, slope: torch.Tensor, nonnegative: bool, sum_to_one: bool) -> torch.Tensor:
    """Exact abundances from the normal equations.

    gram : (K, K), or (N, K, K) where pixels have bands of their own; slope : (K, N) = M^T y

    Source: block principal pivoting, Kim and Park, SIAM J. Sci. Comput. 33(6), 2011.
    """
    every = torch.ones_like(slope, dtype=torch.bool)
    start = _on_support(gram, slope, every, sum_to_one)
    if not nonnegative:
        return start
    count, pixels = slope.shape
    result = _project(torch.nan_to_num(start, nan=1 / count), sum_to_one)
    support = result > FEASIBLE
    left = torch.arange(pixels, device=slope.device)
    stuck: list[torch.Tensor] = []
    here_gram, here_slope = gram, slope
    for _ in range(_MAX_EXCHANGES):
        exact, wrong = _check(here_gram, here_slope, support, sum_to_one)
        is_solved = torch.isfinite(exact).all(0)
        done = is_solved & ~wrong.any(0)
        result[:, left[done]] = _cleaned(exact[:, done], sum_to_one)
        support = support ^ wrong
        # A support that is empty, or that has no unique solution, is left to the gradient.
        lost = ~is_solved | (~support.any(0) if sum_to_one else torch.zeros_like(done))
        stuck.append(left[lost & ~done])
        going = ~done & ~lost
        left, support, here_slope = left[going], support[:, going], here_slope[:, going]
        here_gram = here_gram if gram.ndim == 2 else here_gram[going]
        if not left.numel():
            break
    rest = torch.cat([*stuck, left])
    if rest.numel():
        own = gram if gram.ndim == 2 else gram[rest]
        result[:, rest] = _iterate(own, slope[:, rest], result[:, rest], sum_to_one)
    return result


def _check(
    gram: torch.Tensor, slope: torch.Tensor, support: torch.Tensor, sum_to_one: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Least squares on a support, and which materials break the optimality conditions of the whole problem."""
    exact = _on_support(gram, slope, support, sum_to_one)
    gradient = _times(gram, exact) - slope
    if sum_to_one:
        # On the support all slopes equal minus the multiplier.
        gradient = gradient - (gradient * support).sum(0) / support.sum(0).clamp(min=1)
    scale = slope.abs().amax(0).clamp(min=torch.finfo(slope.dtype).tiny)
    return exact, torch.where(support, exact < -FEASIBLE, gradient < -FLAT * scale)


def _cleaned(exact: torch.Tensor, sum_to_one: bool) -> torch.Tensor:
    """Without the last bits below zero."""
    exact = exact.clamp(min=0)
    return exact / exact.sum(0).clamp(min=1e-300) if sum_to_one else exact


def _iterate(gram: torch.Tensor, slope: torch.Tensor, start: torch.Tensor, sum_to_one: bool) -> torch.Tensor:
    """Accelerated projected gradient with exact finish, from a feasible start (K, N)."""
    pixels = slope.shape[1]
    result = start.clone()
    left = torch.arange(pixels, device=slope.device)
    # Largest eigenvalue of each Gram matrix: the steepest curvature that a step may meet.
    curvature = torch.linalg.eigvalsh(gram)[..., -1].clamp(min=torch.finfo(slope.dtype).tiny)
    at, ahead = start, start.clone()
    pace = torch.ones(pixels, dtype=slope.dtype, device=slope.device)
    for iteration in range(1, MAX_ITERATIONS + 1):
        if iteration % _POLISH_EVERY == 0 or iteration == 1:
            exact, wrong = _check(gram, slope, at > 1e-9, sum_to_one)
            is_optimal = torch.isfinite(exact).all(0) & ~wrong.any(0)
            result[:, left] = torch.where(is_optimal, _cleaned(exact, sum_to_one), at)
            kept = ~is_optimal
            if not bool(kept.any()):
                return result
            left, at, ahead, slope, pace = left[kept], at[:, kept], ahead[:, kept], slope[:, kept], pace[kept]
            if gram.ndim == 3:
                gram, curvature = gram[kept], curvature[kept]
        following = _project(ahead - (_times(gram, ahead) - slope) / curvature, sum_to_one)
        # Adaptive restart (O'Donoghue and Candes 2015): forget the momentum where it points uphill.
        uphill = ((ahead - following) * (following - at)).sum(0) > 0
        pace = torch.where(uphill, torch.ones_like(pace), pace)
        quicker = (1 + (1 + 4 * pace * pace).sqrt()) / 2
        ahead = following + torch.where(uphill, 0.0, (pace - 1) / quicker) * (following - at)
        at, pace = following, quicker
    result[:, left] = at
    return result


def _on_support(gram: torch.Tensor, slope: torch.Tensor, support: torch.Tensor, sum_to_one: bool) -> torch.Tensor:
    """Least squares with the abundances outside ``support`` (K, N) held at zero; NaN where that is singular."""
    count, pixels = slope.shape
    right = _right_side(slope, support, sum_to_one)
    if gram.ndim == 2 and count <= _CODED:
        # Few materials meet in few ways: one small system for each way.
        code = (support * (2 ** torch.arange(count, device=support.device))[:, None]).sum(0)
        ways, index = torch.unique(code, return_inverse=True)
        if ways.numel() * 2 <= pixels:
            members = torch.argsort(index, stable=True)
            first = members[torch.searchsorted(index[members], torch.arange(ways.numel(), device=index.device))]
            systems = _bordered(gram.expand(ways.numel(), count, count), support[:, first], sum_to_one)
            return torch.einsum("nij,jn->in", _inverse(systems)[index], right)[:count]
    systems = _bordered(gram.expand(pixels, count, count), support, sum_to_one)
    solved, info = torch.linalg.solve_ex(systems, right.T[:, :, None])
    solved[info != 0] = torch.nan
    return solved[:, :count, 0].T


def _bordered(gram: torch.Tensor, support: torch.Tensor, sum_to_one: bool) -> torch.Tensor:
    """(n, K', K') systems: the Gram matrix on each support, identity off it, bordered by the sum where asked."""
    inside = support.T.to(gram.dtype)
    systems = gram * inside[:, :, None] * inside[:, None, :] + torch.diag_embed(1 - inside)
    if not sum_to_one:
        return systems
    n, count = inside.shape
    bordered = torch.zeros((n, count + 1, count + 1), dtype=gram.dtype, device=gram.device)
    bordered[:, :count, :count] = systems
    bordered[:, count, :count] = inside
    bordered[:, :count, count] = inside
    return bordered


def _right_side(slope: torch.Tensor, support: torch.Tensor, sum_to_one: bool) -> torch.Tensor:
    right = slope * support
    return torch.cat([right, torch.ones_like(right[:1])]) if sum_to_one else right


def _inverse(systems: torch.Tensor) -> torch.Tensor:
    """Inverses; NaN for singular systems instead of an error for all."""
    inverse, info = torch.linalg.inv_ex(systems)
    if bool((info != 0).any()):
        inverse[info != 0] = torch.nan
    return inverse


def _times(gram: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    return gram @ columns if gram.ndim == 2 else torch.einsum("nij,jn->in", gram, columns)


def _project(columns: torch.Tensor, sum_to_one: bool) -> torch.Tensor:
    return project_to_simplex(columns) if sum_to_one else columns.clamp(min=0)


def project_to_simplex(columns: torch.Tensor) -> torch.Tensor:
    """Nearest point with entries >= 0 that add to 1, for each column of (K, N).

    Source: Held, Wolfe and Crowder 1974.
    """
    ordered = columns.sort(dim=0, descending=True).values
    excess = ordered.cumsum(0) - 1
    rank = torch.arange(1, len(columns) + 1, dtype=columns.dtype, device=columns.device)[:, None]
    last = (ordered * rank > excess).sum(0, keepdim=True)
    level = excess.gather(0, last - 1) / last
    return (columns - level).clamp(min=0)
