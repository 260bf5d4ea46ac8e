"""Time the subspace of a 512 x 512 x 191 cube against one float32 Gram product of the same matrix, in one run.

python benchmarks/subspace_speed.py [--threads 1]
"""

from __future__ import annotations

import argparse
import time

import torch

from hsi_app.noise import noise_from_covariance
from hsi_app.subspace import Moments, fit_subspace


def best_of(repeats: int, work) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    generator = torch.Generator().manual_seed(0)
    bands, pixels = 191, 512 * 512
    cube = torch.rand(bands, 8, generator=generator) @ torch.rand(8, pixels, generator=generator)
    cube += 0.01 * torch.randn(bands, pixels, generator=generator)

    def subspace() -> None:
        moments = Moments(bands)
        moments.add(cube)
        covariance = moments.covariance
        fit_subspace(moments.mean, covariance, noise_from_covariance(covariance, pixels), pixels)

    gram = best_of(given.repeats, lambda: cube @ cube.T)
    ours = best_of(given.repeats, subspace)
    print(f"float32 Gram {gram:.3f} s, subspace with noise and rank {ours:.3f} s, ratio {ours / gram:.2f}")


if __name__ == "__main__":
    main()
