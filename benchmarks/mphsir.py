"""MP-HSIR on the test split: against its input, its classical start and plain baselines; prompts; blind use; time.

    python benchmarks/mphsir.py [table] [prompts] [blind] [clean] [time] [--cases gauss-50,haze-0.75] [--scenes samson]

table: PSNR and SAM of the input, a plain baseline of each task, 'lowrank' where it has the task, the classical start
(``--weights none``), the shipped network, and the same with its tensors shuffled, which must gain nothing.
prompts: the network told of another degradation than there is, and with each kind of prompt switched off.
blind: what is found in scenes that nothing is told of, and what that costs.
clean: what comes back of a scene that nothing is wrong with. time: 256 x 256 x 198, seconds and peak memory.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hsi_models.store import load_card, load_state, save_weights
from scenes import TEST, reference
from scipy.ndimage import gaussian_filter, median_filter

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.device import format_bytes, peak_memory
from hsi_app.methods.mphsir import network as networks
from hsi_app.methods.mphsir import run as method_run
from hsi_app.methods.mphsir.bands import fill_lost
from hsi_app.methods.mphsir.names import DEGRADATIONS
from hsi_app.metrics import score
from hsi_app.physics.degrade import Degraded, blur_std, degrade
from hsi_app.physics.spatial import FWHM_TO_STD
from hsi_app.runner import Result, Settings, restore
from hsi_app.tiling import Window

# As the paper tests them, with the settings of remote sensing (arXiv 2503.09131, appendix).
CASES = {
    "gauss": ("gauss-30", "gauss-50", "gauss-70"),
    "complex": ("mixed-1", "mixed-2", "mixed-3", "mixed-4"),
    "blur": ("blur-7", "blur-11", "blur-15"),
    "sr": ("sr-x2", "sr-x4"),
    "inpaint": ("inpaint-0.7", "inpaint-0.8", "inpaint-0.9"),
    "haze": ("haze-0.5", "haze-0.75", "haze-1"),
    "bandloss": ("bandloss-0.1", "bandloss-0.2", "bandloss-0.3"),
}
TASKS = {"blur": "deblur", "sr": "sr", "inpaint": "inpaint", "haze": "dehaze", "bandloss": "inpaint"}
RANK_SHARE, FILL_ROUNDS, DECONVOLUTIONS = 0.999, 6, 10


def kind_of(case: str) -> str:
    return next(kind for kind, cases in CASES.items() if case in cases)


def degraded(name: str, case: str, seed: int = 0) -> tuple[Cube, Degraded]:
    truth = reference(name)
    if case.startswith("sr-x"):
        scale = int(case[4:])
        height, width = (length // scale * scale for length in truth.shape[1:])
        truth = truth.crop(Window(0, 0, height, width))
    return truth, degrade(truth, case, seed=seed)


def settings_of(case: str) -> Settings:
    kind = kind_of(case)
    fwhm = blur_std(int(case.split("-")[1])) / FWHM_TO_STD if kind == "blur" else None
    return Settings(
        task=TASKS.get(kind, "denoise"), device="cpu", scale=int(case[4:]) if kind == "sr" else None, psf_fwhm=fwhm,
    )  # fmt: skip


def undo(given: Degraded, case: str, method: str = "mphsir", **options: Any) -> Result:
    return restore(given.observed, method, options, settings_of(case), mask=given.mask)


def scored(values: np.ndarray, truth: Cube, lost: np.ndarray | None = None) -> tuple[float, float]:
    """PSNR in dB, of the lost bands only where there are such, and SAM in degrees, of all."""
    found = score(truth.replace(np.ascontiguousarray(values, np.float32), "result"), truth)
    if lost is None:
        return found["psnr"], found["sam"]
    errors = np.square(values[lost] - truth.read()[lost]).mean((1, 2))
    return float(np.mean(-10 * np.log10(errors + 1e-12))), found["sam"]


def lost_bands(given: Degraded, case: str) -> np.ndarray | None:
    return ~given.mask.any((1, 2)) if case.startswith("bandloss") and given.mask is not None else None


# Baselines


def truncated(values: np.ndarray) -> np.ndarray:
    """SVD with the rank of a hard threshold at 2.858 times the median singular value (Gavish and Donoho 2014)."""
    flat = values.reshape(len(values), -1)
    left, scale, right = np.linalg.svd(flat, full_matrices=False)
    rank = max(1, int((scale > 2.858 * np.median(scale)).sum()))
    return ((left[:, :rank] * scale[:rank]) @ right[:rank]).reshape(values.shape)


def destriped(values: np.ndarray) -> np.ndarray:
    """Impulses replaced by the median of 3 x 3 px, columns levelled to their neighbours' medians, then truncated."""
    middle = median_filter(values, (1, 3, 3))
    spread = 1.4826 * np.median(np.abs(values - middle), axis=(1, 2), keepdims=True)
    values = np.where(np.abs(values - middle) > 4 * spread, middle, values)
    columns = np.median(values, axis=1)
    return truncated(values - (columns - median_filter(columns, (1, 9)))[:, None])


def filled(given: Degraded) -> np.ndarray:
    """Means of neighbours, then rounds of truncation where samples are missing."""
    seen, values = given.mask, np.nan_to_num(given.observed.read())
    near = [gaussian_filter(np.where(seen, part, 0).astype(np.float64), (0, 1, 1)) for part in (values, 1.0)]
    start = np.where(seen, values, near[0] / np.maximum(near[1], 1e-6)).astype(np.float32)
    for _ in range(FILL_ROUNDS):
        start = np.where(seen, values, truncated(start))
    return start


def deconvolved(values: np.ndarray, std: float) -> np.ndarray:
    """Richardson-Lucy with the true kernel."""
    values = np.maximum(values, 1e-6)
    estimate = values.copy()
    for _ in range(DECONVOLUTIONS):
        ratio = values / np.maximum(gaussian_filter(estimate, (0, std, std)), 1e-6)
        estimate = estimate * gaussian_filter(ratio, (0, std, std))
    return estimate


def baseline(given: Degraded, case: str) -> np.ndarray:
    kind, values = kind_of(case), np.nan_to_num(given.observed.read())
    if kind == "gauss":
        return truncated(values)
    if kind == "complex":
        return destriped(values)
    if kind == "blur":
        return deconvolved(values, blur_std(int(case.split("-")[1])))
    if kind == "sr":
        return undo(given, case, "lowrank", denoiser="none").observed.read()
    if kind == "inpaint":
        return filled(given)
    if kind == "haze":
        return values - values.min((1, 2), keepdims=True)
    centres = given.observed.axis.centres_nm
    places = None if centres is None else torch.from_numpy(np.asarray(centres, np.float32))
    known = torch.from_numpy(~lost_bands(given, case))
    return fill_lost(torch.from_numpy(values), known, places).numpy()


def shown(given: Degraded, truth: Cube, case: str) -> np.ndarray:
    """The input as it is scored: pixels repeated to the size of the truth, gaps 0."""
    values = np.nan_to_num(given.observed.read())
    scale = truth.shape[1] // values.shape[1]
    return values.repeat(scale, 1).repeat(scale, 2)


@contextmanager
def shuffled_weights(name: str = "prompted") -> Iterator[str]:
    """The same numbers in every tensor, in random order."""
    card, generator = load_card(name), torch.Generator().manual_seed(0)
    state = {key: value.flatten()[torch.randperm(value.numel(), generator=generator)].reshape(value.shape)
             for key, value in load_state(card).items()}  # fmt: skip
    facts = card.model_dump(exclude={"sha256", "folder"})
    with tempfile.TemporaryDirectory() as folder:
        yield str(save_weights(Path(folder) / "shuffled", state, {**facts, "id": "shuffled"}).folder)


def table(given: argparse.Namespace) -> None:
    """Rows of cases and means of kinds."""
    columns = ["input", "baseline", "lowrank", "start", "mphsir", "shuffled"]
    with shuffled_weights(given.weights) as shuffled:
        kinds: dict[str, list[np.ndarray]] = {}
        for case in given.cases:
            rows = []
            for scene in given.scenes:
                truth, bad = degraded(scene, case)
                lost = lost_bands(bad, case)
                has_lowrank = kind_of(case) not in ("blur", "haze")
                results = {
                    "input": shown(bad, truth, case),
                    "baseline": baseline(bad, case),
                    "lowrank": undo(bad, case, "lowrank").cube.read() if has_lowrank else None,
                    "start": undo(bad, case, weights="none").cube.read(),
                    "mphsir": undo(bad, case, weights=given.weights).cube.read(),
                    "shuffled": undo(bad, case, weights=shuffled).cube.read(),
                }
                rows.append([(np.nan, np.nan) if results[name] is None else scored(results[name], truth, lost)
                             for name in columns])  # fmt: skip
            means = np.mean(rows, 0)
            kinds.setdefault(kind_of(case), []).append(means)
            told = "  ".join(f"{name} {psnr:6.2f}/{sam:5.2f}" for name, (psnr, sam) in zip(columns, means, strict=True))
            each = " ".join(f"{row[4][0] - row[3][0]:+.2f}" for row in rows)
            print(f"{case:12} {told}   over start: {each}", flush=True)
    gains = {}
    for kind, means in kinds.items():
        mean = np.mean(means, 0)
        gains[kind] = mean[4, 0] - mean[3, 0]
        told = "  ".join(f"{name} {psnr:6.2f}/{sam:5.2f}" for name, (psnr, sam) in zip(columns, mean, strict=True))
        print(f"{kind:12} {told}   network {gains[kind]:+.2f}, over baseline {mean[4, 0] - mean[1, 0]:+.2f} dB")
    four = [gains[kind] for kind in ("gauss", "complex", "inpaint", "haze") if kind in gains]
    print(f"mean gain over the start of gauss, complex, inpaint, haze: {np.mean(four):+.2f} dB", flush=True)


@contextmanager
def told_of(name: str | None) -> Iterator[None]:
    """The network is told of this degradation instead, everything else as it is; None tells what is so."""
    true = method_run._prompted

    def other(*args: Any) -> Any:
        prompted = true(*args)
        weights = torch.tensor([float(one == name) for one in DEGRADATIONS])
        return networks.Prompted(prompted.network, weights, prompted.measured, prompted.is_soft)

    if name is not None:
        method_run._prompted = other
    try:
        yield
    finally:
        method_run._prompted = true


KINDS: dict[str, Callable[[str], bool]] = {
    "text": lambda name: name in ("prompts.text", "prompts.unknown"),
    "visual": lambda name: name in ("prompts.visual", "prompts.value.weight", "prompts.value.bias"),
    "measured": lambda name: name.startswith("prompts.measured"),
    "spectral": lambda name: name.endswith(("gate.up.weight", "gate.prompts")),
}


@contextmanager
def without(kind: str, weights: str) -> Iterator[None]:
    """One kind of prompt switched off in the loaded network."""
    network, _ = networks.load(weights, torch.device("cpu"))
    state = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if KINDS[kind](name):
                parameter.zero_()
    try:
        yield
    finally:
        network.load_state_dict(state)


def prompts(given: argparse.Namespace) -> None:
    """The right prompt against wrong ones, and each kind of prompt switched off."""
    gains, losses = [], {kind: [] for kind in KINDS}
    for case in (cases[len(cases) // 2] for cases in CASES.values()):
        right, wrong, off = [], [], {kind: [] for kind in KINDS}
        for scene in given.scenes:
            truth, bad = degraded(scene, case)
            lost = lost_bands(bad, case)

            def psnr(
                bad: Degraded = bad, truth: Cube = truth, lost: np.ndarray | None = lost, case: str = case
            ) -> float:
                return scored(undo(bad, case, weights=given.weights).cube.read(), truth, lost)[0]

            right.append(psnr())
            for name in list(DEGRADATIONS)[:7]:
                if name != kind_of(case):
                    with told_of(name):
                        wrong.append(psnr())
            for kind in KINDS:
                with without(kind, given.weights):
                    off[kind].append(psnr())
        gains.append(np.mean(right) - np.mean(wrong))
        for kind, values in off.items():
            losses[kind].append(np.mean(right) - np.mean(values))
        told = "  ".join(f"without {kind} {-losses[kind][-1]:+.2f}" for kind in KINDS)
        print(
            f"{case:12} right {np.mean(right):.2f}, wrong {np.mean(wrong):.2f} ({gains[-1]:+.2f})  {told}", flush=True
        )
    told = "  ".join(f"without {kind} {-np.mean(values):+.3f}" for kind, values in losses.items())
    print(f"mean: right over wrong {np.mean(gains):+.2f} dB, {sum(g > 0 for g in gains)} of {len(gains)}; {told}")


def blind(given: argparse.Namespace) -> None:
    """What is found, and the PSNR of what is done or advised against what a user who knows would have done."""
    right, total, differences = 0, 0, []
    for case in (*(case for kind, cases in CASES.items() if kind != "sr" for case in cases), "clean"):
        for scene in given.scenes:
            truth, bad = (reference(scene), None) if case == "clean" else degraded(scene, case)
            observed, mask = (truth, None) if bad is None else (bad.observed, bad.mask)
            task = "denoise" if mask is None else "inpaint"
            options = {"degradations": "auto", "weights": given.weights}
            found = restore(observed, "mphsir", options, Settings(task=task, device="cpu"), mask=mask)
            if bad is not None and any("task 'dehaze'" in note for note in found.record["notes"]):
                # 'auto' only names haze; what it advises is done.
                found = restore(observed, "mphsir", options, Settings(task="dehaze", device="cpu"))
            prompts_found = list(found.record["trace"].get("prompts", {}))
            note = next((n for n in found.record["notes"] if n.startswith("measured")), "")
            wanted = "nothing" if case == "clean" else DEGRADATIONS[kind_of(case)]
            is_right = wanted in note
            right, total = right + is_right, total + 1
            told = ""
            if bad is not None:
                lost = lost_bands(bad, case)
                values = [scored(r.cube.read(), truth, lost)[0]
                          for r in (undo(bad, case, weights=given.weights), found)]  # fmt: skip
                differences.append(values[1] - values[0])
                told = f"told {values[0]:.2f} blind {values[1]:.2f}"
            print(f"{case:12} {scene:20} {note} {prompts_found} {'' if is_right else 'WRONG'} {told}", flush=True)
    print(f"{right} of {total} right ({right / total:.0%}); blind against told {np.mean(differences):+.2f} dB")


def clean(given: argparse.Namespace) -> None:
    """PSNR of what comes back of clean scenes."""
    for scene in given.scenes:
        truth = reference(scene)
        found = restore(truth, "mphsir", {"degradations": "auto", "weights": given.weights}, Settings(device="cpu"))
        print(f"{scene:20} {scored(found.cube.read(), truth)[0]:.2f} dB  {found.record['notes']}", flush=True)


def timed(given: argparse.Namespace) -> None:
    """Seconds and peak memory at 256 x 256 x 198."""
    rng = np.random.default_rng(0)
    fields = np.stack([gaussian_filter(rng.normal(size=(256, 256)), 3) for _ in range(6)])
    spectra = np.abs(np.cumsum(rng.normal(size=(6, 198)), 1))
    values = np.tensordot(spectra.T, np.exp(20 * fields), 1)
    truth = Cube((values / np.quantile(values, 0.999)).astype(np.float32), BandAxis(198), name="made")
    for case in ("gauss-50", "mixed-4", "blur-11", "sr-x2", "haze-0.75", "bandloss-0.2", "inpaint-0.8"):
        bad = degrade(truth, case)
        began = time.perf_counter()
        undo(bad, case, weights=given.weights)
        print(f"{case:14} {time.perf_counter() - began:6.1f} s  peak {format_bytes(peak_memory())} so far", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = {"table": table, "prompts": prompts, "blind": blind, "clean": clean, "time": timed}
    parser.add_argument("what", nargs="*", default=["table"], metavar="|".join(actions))
    parser.add_argument("--cases", default=",".join(case for cases in CASES.values() for case in cases))
    parser.add_argument("--scenes", default=",".join(TEST))
    parser.add_argument("--weights", default="prompted")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    given.cases, given.scenes = given.cases.split(","), given.scenes.split(",")
    torch.set_num_threads(given.threads)
    for one in given.what:
        actions[one](given)


if __name__ == "__main__":
    main()
