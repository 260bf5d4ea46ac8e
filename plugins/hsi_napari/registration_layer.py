"""How two images lie on each other, as a layer: grey where they agree, red and cyan fringes where they do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_napari.layers import AXES
from hsi_napari.placing import LayerData, placing_of, plane_of

if TYPE_CHECKING:
    from napari.layers import Layer

    from hsi_app.fusion.overlay import Overlay
    from hsi_app.runner import Settings


def laying_over(hsi: Cube, msi: Cube, settings: Settings, known: Mapping[str, Any]) -> Callable[[Job], Overlay]:
    """What a worker does to lay one image over the other; ``known`` as for ``worker.fusing``."""

    def run(job: Job) -> Overlay:
        from hsi_app.fusion.overlay import overlay
        from hsi_app.fusion.runner import FusionSettings

        how = FusionSettings(device=settings.device, memory=settings.memory, bad_bands=settings.bad_bands, **known)
        return overlay(hsi, msi, how, job=job)

    return run


def overlay_name(source: Layer) -> str:
    """Name of the layer that shows how an image lies on ``source``."""
    return f"{source.name} · registration"


def overlay_layer(found: Overlay, source: Layer) -> LayerData:
    """A colour picture in the place that was found on the hyperspectral layer ``source``."""
    turn, origin = plane_of(source)
    step, start = found.placement.array[:2, :2], found.placement.array[:2, 2]
    options = {"name": overlay_name(source), "rgb": True, "axis_labels": AXES[1:]}
    return found.picture, {**options, **placing_of(turn @ step, origin + turn @ start, lead=0)}, "image"
