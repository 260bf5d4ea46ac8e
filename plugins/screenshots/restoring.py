"""The Restore dock: a result, one that forms, a prompt, a proposal, settings compared."""

from __future__ import annotations

from pathlib import Path

from .stage import PINS, draw_region, finish, open_dock, picture, restoring, settle, shoot, stage, wait

PROMPT = "get rid of the noise and the stripes, leave the haze alone"


@picture("plugin.png")
def overview(path: Path) -> None:
    """A restored scene beside a preview's region, what was removed, pinned spectra."""
    with restoring(width_px=380) as (viewer, scene, restore):
        spectra = open_dock(viewer, "Spectrum", "bottom")
        restore.form.choose("denoise", "lowrank")
        restore.run()
        finish(restore)
        region = draw_region(viewer)
        restore.preview()
        finish(restore)
        region.visible = False
        viewer.layers[f"{scene.name} · restored"].visible = False
        viewer.layers.selection.active = scene
        spectra.second_choice.choose(viewer.layers[f"{scene.name} · restored"])
        for place in PINS:
            spectra.pin(*place)
        shoot(viewer, path)


@picture("forming.png")
def forming(path: Path) -> None:
    """HIR-Diff makes a finer grid."""
    _forming(path, "sr", "hirdiff", 700)


@picture("filling.png")
def filling(path: Path) -> None:
    """DDS2M fills gaps."""
    _forming(path, "inpaint", "dds2m", 600, "inpaint-0.9+lines-0.1")


@picture("prompt.png")
def prompt(path: Path) -> None:
    """MP-HSIR is told in words what to do, and tries it on a region."""
    with restoring() as (viewer, scene, dock):
        dock.form.choose("denoise", "mphsir")
        asked = dock.form.options()[0]
        asked.put({"prompt": PROMPT})
        region = draw_region(viewer)
        dock.preview()
        finish(dock)
        region.visible = False
        viewer.layers.selection.active = scene
        settle()
        dock.bring_into_view(asked)
        shoot(viewer, path)


@picture("pictures/proposal.png")
def proposal(path: Path) -> None:
    """What is wrong with the scene, what would help, and how long it would take."""
    with restoring(width_px=430) as (viewer, scene, dock):
        dock.find_faults()
        wait(lambda: not dock.proposal.is_running)
        draw_region(viewer)
        dock.run_panel.beside.setChecked(True)
        dock.preview()
        finish(dock)
        viewer.layers.selection.active = scene
        settle()
        dock.bring_into_view(dock.proposal)
        shoot(viewer, path)


@picture("pictures/sweep.png")
def sweep(path: Path) -> None:
    """One setting at several values, on the same region."""
    with restoring(width_px=430) as (viewer, scene, dock):
        dock.form.choose("denoise", "lowrank")
        region = draw_region(viewer)
        dock.sweep.open()
        dock.sweep.choose("rank", "2, 3, 4, 8, 16")
        dock.sweep.start.click()
        wait(lambda: not dock.sweep.is_running)
        region.visible = False
        viewer.layers.selection.active = scene
        settle()
        dock.bring_into_view(dock.sweep)
        shoot(viewer, path)


def _forming(path: Path, task: str, method: str, at: int, degradation: str | None = None) -> None:
    """A result that forms over the scene.

    at : progress of the picture in thousandths; degradation : of the clean sample, which stands for the noisy one then
    """
    with stage() as viewer:
        if degradation is None:
            viewer.open_sample("hsi-app", "noisy")
        else:
            import hsi_sample_data
            from hsi_napari.layers import cube_to_layer
            from napari.layers import Layer

            from hsi_app import degrade, open_cube

            spoilt = degrade(open_cube(hsi_sample_data.path("scene_clean")), degradation, seed=0).observed
            viewer.add_layer(Layer.create(*cube_to_layer(spoilt, degradation)))
        dock = open_dock(viewer, "Restore")
        dock.form.choose(task, method)
        dock.run()
        wait(lambda: "· forming" in viewer.layers[-1].name and dock.run_panel.bar.value() > at)
        shoot(viewer, path)
        dock.cancel()
        wait(lambda: not dock.run_panel.is_running)
