"""``hsi-app degrade``: spoil a clean cube in a named, repeatable way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from hsi_app.cli.progress import Log
from hsi_app.cli.run_options import RunOptions, processing_options
from hsi_app.errors import ParameterError
from hsi_app.files import check_target, to_json, write_text


def _list(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from hsi_app.physics.degrade import list_degradations

    known = list_degradations()
    for name in known:
        click.echo(f"{name:<16} {known[name]}" if isinstance(known, dict) else str(name))
    ctx.exit()


@click.command(short_help="Spoil a clean cube in a named, repeatable way.")
@click.argument("source", type=click.Path(), metavar="IN")
@click.argument("out", type=click.Path(), metavar="OUT")
@click.option("--as", "name", required=True, metavar="NAME", help="Which degradation, such as gauss-50; see --list.")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list, help="List the names.")
@processing_options
def degrade(source: str, out: str, name: str, run: RunOptions) -> None:
    """Degrade IN as NAME says and write OUT.

    Beside OUT go OUT_mask.hdr (1 = observed), where samples were taken away, and OUT_degradation.json, which holds
    everything needed to repeat it.
    """
    mask_path, record_path = sidecars(out)
    for target in (Path(out), mask_path, record_path):
        check_target(target, overwrite=run.overwrite)
    if Path(out).resolve() == Path(source.split("::")[0]).resolve():
        raise ParameterError(f"'{out}' is the input itself, which is never changed; choose another name.")

    from hsi_app.cube import Cube
    from hsi_app.io import open_cube, save_cube
    from hsi_app.physics import degrade as physics

    cube = open_cube(source)
    degraded = physics.degrade(cube, name, seed=run.seed or 0)
    save_cube(degraded.observed, out, overwrite=run.overwrite)
    written = [out]
    if degraded.mask is not None:
        mask = np.asarray(degraded.mask, bool)
        flags = (mask if mask.ndim == 3 else mask[None]).astype(np.uint8)
        axis = degraded.observed.axis if len(flags) == degraded.observed.shape[0] else None
        like = Cube(flags, bands=axis, georef=degraded.observed.georef, name=f"{cube.name} mask")
        save_cube(replace(like, history=(f"1 = observed, after {name}",)), mask_path, overwrite=run.overwrite)
        written.append(str(mask_path))
    write_text(record_path, to_json(degraded.record) + "\n", overwrite=run.overwrite)
    written.append(str(record_path))
    Log(run).say(f"{name} with seed {run.seed or 0}", detail=1)
    for path in written:
        click.echo(path)


def sidecars(out: str | Path) -> tuple[Path, Path]:
    """Where the mask and the record of a degraded cube go."""
    target = Path(out)
    return target.with_name(f"{target.stem}_mask.hdr"), target.with_name(f"{target.stem}_degradation.json")
