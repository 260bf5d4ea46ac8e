"""Quality, seconds and sensitivity of the fusion methods, on the test split.

    python benchmarks/fusion.py table [--pairs jasper-6,samson-3] [--methods 'ridge;joint'] [--threads 2]
    python benchmarks/fusion.py table --pairs training          the scenes that rules were chosen on
    python benchmarks/fusion.py misregistration --out FILE.png   quality against turn and shift, as a picture
    python benchmarks/fusion.py bend                             the same against smooth random bends
    python benchmarks/fusion.py real --out FILE.png              the real pair at its own ratio
    python benchmarks/fusion.py time                             seconds of 4,000 steps
    python benchmarks/fusion.py memory                           peak of 2048 x 2048 x 4 streamed to a file

PSNR, SAM and ERGAS are those of `hsi-app score` (one peak for all bands); 'dB by band' is the mean of the bands' PSNR,
each with its own maximum as peak, as the papers have it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fusion_scenes import PAIRS, TRAINING, FusionPair, berlin, misregistered

from hsi_app.cube import Cube
from hsi_app.device import format_bytes
from hsi_app.fusion.grids import Grids
from hsi_app.fusion.placement import Placement
from hsi_app.fusion.runner import FusionSettings, fuse
from hsi_app.metrics import score

# Name in the table, method, options, registration.
ROWS: dict[str, tuple[str, dict[str, Any], str]] = {
    "bicubic": ("bicubic", {}, "auto"),
    "ridge": ("ridge", {}, "none"),
    "gsa": ("gsa", {}, "auto"),
    "cnmf": ("cnmf", {}, "auto"),
    "u2mdn": ("u2mdn", {}, "none"),
    "joint, not registered": ("joint", {}, "none"),
    "joint": ("joint", {}, "auto"),
    "auto, not registered": ("auto", {}, "none"),
    "auto": ("auto", {}, "auto"),
}
ANGLES, SHIFTS = (0, 5, 10, 20, 30), ((0, 0), (2, 2), (4, 4), (8, 8), (16, 16))
BENDS = (0.5, 1.0, 3.0, 5.0)


def run(pair: FusionPair, method: str, options: dict[str, Any], registration: str, seed: int = 0) -> Cube:
    if method == "bicubic":
        return replace(pair.truth or pair.msi, values=interpolated(pair))
    srf = None
    if pair.msi.axis.fwhm_nm is None:
        # Only registered pixels tell the response, which then is given to all methods alike.
        srf, registration = "estimate", "auto"
    settings = FusionSettings(srf=srf, registration=registration, device="cpu", seed=seed)
    result = fuse(pair.hsi, pair.msi, method, options, settings)
    notes = [note for note in result.record["notes"] if "no result" not in note]
    if method == "auto":
        print(f"    auto: {result.record['method']}; {' '.join(result.record['reasons'])} {' '.join(notes)}")
    return result.cube


def interpolated(pair: FusionPair) -> np.ndarray:
    step = 1 / pair.ratio
    placement = Placement((step, 0, step / 2 - 0.5, 0, step, step / 2 - 0.5))
    grids = Grids(placement, pair.hsi.shape[1:], pair.msi.shape[1:])
    return grids.to_fine(torch.from_numpy(np.asarray(pair.hsi.read(), np.float32))).numpy()


def by_band(result: np.ndarray, truth: np.ndarray) -> float:
    seen = np.isfinite(result)
    error = np.where(seen, (result - truth) ** 2, 0).sum((1, 2)) / seen.sum((1, 2))
    return float(np.mean(10 * np.log10(truth.max((1, 2)) ** 2 / error)))


def figures(result: Cube, pair: FusionPair) -> dict[str, float]:
    assert pair.truth is not None
    found = score(result, pair.truth, scale=pair.ratio)
    both = by_band(np.asarray(result.read(), float), np.asarray(pair.truth.read(), float))
    return {key: found[key] for key in ("psnr", "sam", "ergas")} | {"by_band": both}


def table(pairs: dict[str, Callable[[], FusionPair]], rows: list[str], seeds: int) -> list[dict[str, Any]]:
    lines = []
    for name, make in pairs.items():
        pair = make()
        print(f"{name}: {pair.hsi.shape} and {pair.msi.shape}")
        for row in rows:
            if "not registered" in row and pair.msi.axis.fwhm_nm is None:
                continue  # only registered pixels tell the response
            found, seconds = [], []
            for seed in range(seeds):
                start = time.perf_counter()
                result = run(pair, *ROWS[row], seed=seed)
                seconds.append(time.perf_counter() - start)
                found.append(figures(result, pair))
            mean = {key: float(np.mean([f[key] for f in found])) for key in found[0]}
            lines.append({"pair": name, "method": row, **mean, "seconds": float(np.mean(seconds))})
            print(
                f"  {row:22} PSNR {mean['psnr']:6.2f} dB  SAM {mean['sam']:5.2f} deg  ERGAS {mean['ergas']:5.2f}"
                f"   {mean['by_band']:6.2f} dB by band  {np.mean(seconds):6.1f} s",
                flush=True,
            )
    return lines


def sensitivity(cases: dict[str, FusionPair], rows: dict[str, tuple[str, dict[str, Any], str]]) -> dict[str, Any]:
    """Figures by method and case, over the pixels that the method gives."""
    found: dict[str, Any] = {row: {} for row in rows}
    for name, pair in cases.items():
        for row, way in rows.items():
            found[row][name] = figures(run(pair, *way), pair)
            f = found[row][name]
            print(f"  {name:16} {row:28} {f['by_band']:6.2f} dB by band  SAM {f['sam']:5.2f} deg", flush=True)
    return found


# Registered methods that believe the frames, then those that the registration aid helps.
WAYS: dict[str, tuple[str, dict[str, Any], str]] = {
    "ridge": ("ridge", {}, "none"),
    "u2mdn": ("u2mdn", {}, "none"),
    "joint, not registered": ("joint", {}, "none"),
    "gsa, frames believed": ("gsa", {}, "map"),
    "cnmf, frames believed": ("cnmf", {}, "map"),
    "gsa, registered by the aid": ("gsa", {}, "auto"),
    "joint, registered by the aid": ("joint", {}, "auto"),
}


def misregistration(out: Path | None, scene: str) -> dict[str, Any]:
    turned = {f"turn {a}": misregistered(scene, "tm", angle_deg=a) for a in ANGLES}
    moved = {f"shift {s[0]}": misregistered(scene, "tm", shift=s) for s in SHIFTS}
    found = {"turn": sensitivity(turned, WAYS), "shift": sensitivity(moved, WAYS)}
    if out is not None:
        draw(found, out)
    return found


def draw(found: dict[str, Any], out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(11, 7.5), sharex="col", sharey="row")
    columns = (
        ("turn", ANGLES, "turn, degrees"),
        ("shift", [s[0] for s in SHIFTS], "shift along both axes, px of the picture"),
    )
    for col, (kind, xs, label) in enumerate(columns):
        for row, (key, title) in enumerate((("by_band", "PSNR, dB"), ("sam", "SAM, degrees"))):
            axis = axes[row][col]
            for k, (name, values) in enumerate(found[kind].items()):
                ys = [values[f"{kind} {x}"][key] for x in xs]
                style = ":" if "believed" in name else "--" if "aid" in name else "-"
                axis.plot(xs, ys, style, marker="o", ms=4, label=name, color=f"C{k}")
            axis.grid(alpha=0.3)
            axis.set_ylabel(title if col == 0 else "")
            axis.set_xlabel(label if row == 1 else "")
            if key == "sam":
                axis.set_yscale("log")
    axes[0][1].legend(fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 0.12))
    figure.suptitle("Jasper Ridge, six bands, ratio 4: what misregistration does to each method")
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def bend(scene: str) -> dict[str, Any]:
    ways = {name: WAYS[name] for name in ("ridge", "u2mdn", "joint, not registered", "joint, registered by the aid")}
    cases = {"registered": misregistered(scene, "tm")}
    cases |= {f"bend {b:g} px": misregistered(scene, "tm", bend_px=b) for b in BENDS}
    return sensitivity(cases, ways)


def real(out: Path | None) -> list[dict[str, Any]]:
    """The real pair at 3.6 m: no truth, so how the result agrees with the 30 m cube, and pictures to look at."""
    pair, lines, images = berlin(), [], {}
    step = 1 / pair.ratio
    grids = Grids(Placement((step, 0, step / 2 - 0.5, 0, step, step / 2 - 0.5)), pair.hsi.shape[1:], pair.msi.shape[1:])
    good = pair.hsi.axis.good
    for row in ("bicubic", "ridge", "gsa", "cnmf", "u2mdn", "joint", "auto"):
        start = time.perf_counter()
        result = run(pair, *ROWS[row])
        seconds = time.perf_counter() - start
        values = torch.from_numpy(np.asarray(result.read(), np.float32))
        values = values[good] if len(values) > len(good) else values
        coarse = grids.to_coarse(values.nan_to_num(0.0), torch.isfinite(values)).numpy()
        seen = np.where(np.isfinite(coarse), pair.hsi.read()[good], np.nan)
        error = np.sqrt(np.nanmean((coarse - seen) ** 2)) / np.sqrt(np.nanmean(seen**2))
        lines.append({"method": row, "relative_error_at_30m": float(error), "seconds": seconds})
        print(
            f"  {row:10} differs from the 30 m cube by {100 * error:5.2f} % of its rms   {seconds:6.1f} s", flush=True
        )
        # Colours beyond what a camera sees tell whether spectra, and not the picture, were sharpened.
        centres = pair.hsi.axis.centres_nm[good]
        images[row] = values[[int(np.abs(centres - nm).argmin()) for nm in (2200, 1650, 840)]].numpy()
    if out is not None:
        draw_real(images, out)
    return lines


def draw_real(images: dict[str, np.ndarray], out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 4, figsize=(14, 8.6))
    low, high = np.nanquantile(images["bicubic"], [0.01, 0.99], axis=(1, 2))
    for axis, (name, image) in zip(axes.flat, images.items(), strict=False):
        part = image[:, 250:450, 150:350].transpose(1, 2, 0)
        axis.imshow(np.clip((np.nan_to_num(part) - low) / (high - low), 0, 1), interpolation="nearest")
        axis.set_title(name)
    for axis in axes.flat:
        axis.axis("off")
    figure.suptitle("Berlin, 2200 / 1650 / 840 nm at 3.6 m, made of 30 m spectra and a camera's four bands")
    figure.tight_layout()
    figure.savefig(out, dpi=90)


def seconds() -> list[dict[str, Any]]:
    pair, lines = PAIRS["jasper-6"](), []
    for row in ("u2mdn", "joint", "ridge", "gsa", "cnmf"):
        method, options, registration = ROWS[row]
        start = time.perf_counter()
        run(pair, method, options | ({"steps": 4000} if row in ("u2mdn", "joint") else {}), registration)
        lines.append({"method": row, "seconds": time.perf_counter() - start})
        print(f"  {row:10} {lines[-1]['seconds']:6.1f} s with {torch.get_num_threads()} threads", flush=True)
    return lines


_STREAMED = """
import sys, numpy as np
from dataclasses import replace
from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.io import open_cube
from hsi_app.fusion.runner import FusionSettings, fuse
folder, method, registration = sys.argv[1:]
result = fuse(open_cube(folder + "/hsi.hdr"), open_cube(folder + "/msi.hdr"), method, None,
              FusionSettings(registration=registration, memory=2 * 2**30, device="cpu"), out=folder + "/out.hdr")
print(result.record["peak_memory_bytes"], result.record["tiles"], result.record["seconds"])
"""


def memory() -> list[dict[str, Any]]:
    """Peak memory of a process of its own that fuses 2048 x 2048 x 4 with 512 x 512 x 198 into a file."""
    from hsi_app.io import save_cube

    lines = []
    pair = PAIRS["jasper-4-noisy"]()
    with tempfile.TemporaryDirectory() as folder:
        for name, cube, side in (("hsi", pair.hsi, 512), ("msi", pair.msi, 2048)):
            times = -(-side // cube.shape[1])
            # Mirrored copies, so that the seams are none.
            block = np.concatenate([cube.read(), cube.read()[:, ::-1]], 1)
            block = np.concatenate([block, block[:, :, ::-1]], 2)
            values = np.tile(block, (1, -(-times // 2), -(-times // 2)))[:, :side, :side]
            save_cube(replace(cube, values=np.ascontiguousarray(values)), f"{folder}/{name}.hdr")
        for method, registration in (("u2mdn", "none"), ("joint", "frame"), ("gsa", "frame")):
            said = subprocess.run(
                [sys.executable, "-c", _STREAMED, folder, method, registration],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
            for left in Path(folder).glob("out*"):
                left.unlink()
            lines.append(
                {"method": method, "peak_bytes": int(said[-3]), "tiles": int(said[-2]), "seconds": float(said[-1])}
            )
            print(
                f"  {method:8} peak {format_bytes(int(said[-3]))}, {said[-2]} tiles, {float(said[-1]):.0f} s",
                flush=True,
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["table", "misregistration", "bend", "real", "time", "memory"])
    parser.add_argument("--pairs", default=",".join(PAIRS))
    parser.add_argument("--methods", default=";".join(ROWS), help="rows, with ';' between")
    parser.add_argument("--scene", default="jasper_ridge_raw224", help="of misregistration and bend")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="picture")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    chosen = TRAINING if given.pairs == "training" else {k: (PAIRS | TRAINING)[k] for k in given.pairs.split(",")}
    what: dict[str, Callable[[], Any]] = {
        "table": lambda: table(chosen, given.methods.split(";"), given.seeds),
        "misregistration": lambda: misregistration(given.out, given.scene),
        "bend": lambda: bend(given.scene),
        "real": lambda: real(given.out),
        "time": seconds,
        "memory": memory,
    }
    found = what[given.what]()
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
