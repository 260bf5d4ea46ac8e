"""A river valley with fields, a village, woods and a gravel pit, on a grid of one metre.

Everything is drawn from one seed; distances are in metres, x to the east and y to the south from the map's corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Canvas, Sun, inside, smooth_noise
from .make_library import ORDER as MATERIALS
from .settlement import build_village, pave_roads, plant_trees

SUN = Sun()


@dataclass(frozen=True)
class Crop:
    """How a field looks: the plant, how much ground it covers and how it is sown.

    Parameters
    ----------
    plants : fraction of each material of the plant cover, adding up to one
    cover : mean fraction of ground covered, 0..1; soil fills the rest
    rows : amplitude of the cover from row to row
    spacing_m : of the bundles of rows that show at two metres
    tramlines : whether the sprayer's wheels leave bare lanes every 21 m
    share : relative frequency
    """

    plants: dict[str, float]
    cover: float
    rows: float
    spacing_m: float
    tramlines: bool
    share: float


CROPS = (
    Crop({"green_grass": 1.0}, 0.86, 0.07, 6.0, True, 5.0),  # winter cereal, still green
    Crop({"ripe_cereal": 0.85, "dry_grass": 0.15}, 0.90, 0.06, 6.0, True, 4.0),
    Crop({"dry_grass": 1.0}, 0.70, 0.14, 7.0, False, 3.0),  # stubble
    Crop({"broad_leaves": 1.0}, 0.66, 0.20, 8.0, False, 3.0),  # beet or maize
    Crop({"broad_leaves": 0.3, "green_grass": 0.7}, 0.30, 0.14, 8.0, False, 2.0),  # young, mostly soil
    Crop({"dry_grass": 1.0}, 0.05, 0.04, 5.0, False, 4.0),  # ploughed
    Crop({"green_grass": 0.65, "dry_grass": 0.35}, 0.95, 0.0, 9.0, False, 2.0),  # meadow
)


@dataclass(frozen=True)
class Land:
    """The finished map.

    Parameters
    ----------
    fractions : (M, H, W) fraction of each material, adding up to one in each cell
    light : (H, W) light on the ground relative to flat open ground
    tilt : (H, W) change of the spectrum's slope within a class, dimensionless, about -0.15..0.15
    """

    fractions: np.ndarray
    light: np.ndarray
    tilt: np.ndarray


def draw(seed: int, shape: tuple[int, int]) -> Land:
    """Draw the landscape on ``shape`` (H, W) metres; about 800 x 670 shows all of it."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(shape, MATERIALS, SUN)
    wander = [6.0 * smooth_noise(rng, shape, 40.0) for _ in range(2)]
    river = _river_course(shape)
    bank, nearest = canvas.distance(river)
    west_of_river = canvas.x < np.interp(canvas.y, river[:, 1], river[:, 0])

    tilt = _paint_fields(canvas, rng, wander, west_of_river)
    _paint_water(canvas, rng, wander, bank, nearest, river)
    roads = pave_roads(canvas, bank)
    gardens, houses = build_village(canvas, rng, roads)
    trees = plant_trees(canvas, rng, wander[0], bank, gardens)
    for house in houses:
        canvas.cast_house(house)
    for tree in trees:
        canvas.cast_tree(tree)
    for house in houses:
        canvas.paint_house(house)
    for tree in trees:
        canvas.paint_tree(tree)

    # Gentle hills, flat along the river.
    height = 9.0 * smooth_noise(rng, shape, 55.0) * (1 - np.exp(-((bank / 90) ** 2)))
    light = canvas.light * SUN.lit(height) * (1 + 0.02 * smooth_noise(rng, shape, 1.0))
    return Land(canvas.fractions, light, tilt + 0.03 * smooth_noise(rng, shape, 12.0))


def _river_course(shape: tuple[int, int]) -> np.ndarray:
    """Centre line (N, 2) from the north to the south edge, beyond both."""
    y = np.arange(-60.0, shape[0] + 60.0)
    x = 0.63 * shape[1] + 62 * np.sin(2 * np.pi * y / 470 + 0.4) + 26 * np.sin(2 * np.pi * y / 205 + 2.4)
    return np.column_stack([x, y])


def _paint_fields(
    canvas: Canvas, rng: np.random.Generator, wander: list[np.ndarray], west_of_river: np.ndarray
) -> np.ndarray:
    """Cover the whole map with fields; returns each field's spectral tilt (H, W).

    The parcels are the Voronoi cells of a turned, jittered brick pattern, another one on each side of the river.
    """
    from scipy.spatial import cKDTree  # type: ignore[import-untyped]

    soil = np.clip(0.22 + 0.24 * smooth_noise(rng, canvas.shape, 35.0), 0.0, 1.0)
    vigour = smooth_noise(rng, canvas.shape, 14.0)
    tilt = np.zeros(canvas.shape)
    share = np.array([crop.share for crop in CROPS])
    for side, degrees, long_m, short_m in ((west_of_river, 24.0, 165.0, 74.0), (~west_of_river, -13.0, 150.0, 62.0)):
        angle = np.radians(degrees)
        x, y = canvas.x + wander[0], canvas.y + wander[1]
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        lattice = np.array([(i + 0.5 * (j % 2), j) for i in range(-8, 13) for j in range(-16, 24)], dtype=float)
        seeds = (lattice + rng.uniform(-0.27, 0.27, lattice.shape)) * (long_m, short_m)
        scale = np.array([long_m, short_m])
        cells = np.column_stack([along[side], across[side]])
        gap, pair = cKDTree(seeds / scale).query(cells / scale, k=2)
        # (d2^2 - d1^2) / 2 is linear across the border; divided by its gradient it is the distance in metres.
        step = (seeds[pair[:, 1]] - seeds[pair[:, 0]]) / scale**2
        border = (gap[:, 1] ** 2 - gap[:, 0] ** 2) / 2 / np.hypot(step[:, 0], step[:, 1])
        field = pair[:, 0]

        kind = rng.choice(len(CROPS), size=len(seeds), p=share / share.sum())
        turn = rng.normal(0, np.radians(2.0), len(seeds))[field]
        offset = rng.uniform(0, 21, len(seeds))[field]
        # Rows are straighter than the borders: they follow the map, not the warped pattern.
        heading = angle + turn
        row_m = canvas.y[side] * np.cos(heading) - canvas.x[side] * np.sin(heading) + offset
        plants = np.zeros((len(MATERIALS), field.size))
        cover = np.zeros(field.size)
        for i, crop in enumerate(CROPS):
            here = kind[field] == i
            tram = crop.tramlines * np.exp(-(((row_m[here] % 21) - 10.5) ** 2) / 1.2)
            rows = crop.rows * np.sin(2 * np.pi * row_m[here] / crop.spacing_m)
            patchy = 0.06 * vigour[side][here] * (crop.cover > 0.1)
            cover[here] = np.clip(crop.cover + rows + patchy, 0, 1) * (1 - 0.6 * tram)
            for name, part in crop.plants.items():
                plants[canvas.layer[name], here] = part
        fractions = plants * cover
        fractions[canvas.layer["loam"]] += (1 - cover) * (1 - soil[side])
        fractions[canvas.layer["chalk_soil"]] += (1 - cover) * soil[side]
        canvas.fractions[:, side] = fractions
        canvas.light[side] = rng.normal(1.0, 0.07, len(seeds))[field] * (1 + 0.03 * vigour[side])
        tilt[side] = rng.normal(0.0, 0.05, len(seeds))[field]

        # Between two fields: a grass balk, or a track; the same for the whole border.
        lane = rng.uniform(size=(len(seeds), len(seeds)))[pair.min(axis=1), pair.max(axis=1)] < 0.3
        edge = np.zeros((2, *canvas.shape))
        edge[0][side] = inside(border - 1.2) * ~lane
        edge[1][side] = inside(border - 2.0) * lane
        canvas.paint(edge[0], {"green_grass": 0.6, "dry_grass": 0.4}, 0.85)
        canvas.paint(edge[1], {"sand": 0.35, "loam": 0.35, "dry_grass": 0.3})
    return tilt


def _paint_water(
    canvas: Canvas,
    rng: np.random.Generator,
    wander: list[np.ndarray],
    bank: np.ndarray,
    nearest: np.ndarray,
    river: np.ndarray,
) -> None:
    """Flood meadows, the river with sand at the inside of its bends, and a gravel pit full of clear water."""
    patch = np.clip(0.7 + 0.15 * smooth_noise(rng, canvas.shape, 9.0), 0, 1)
    meadow = inside((bank - 44 + 1.6 * wander[0]) / 2)
    canvas.paint(
        meadow, {"green_grass": patch, "dry_grass": 1 - patch}, 0.9 + 0.03 * smooth_noise(rng, canvas.shape, 4.0)
    )

    slope = np.gradient(river[:, 0])
    bend = np.gradient(slope)[nearest]
    east = np.where(canvas.x > river[nearest, 0], 1.0, -1.0)
    half_width = 15 + 2.5 * np.sin(2 * np.pi * river[nearest, 1] / 310)
    # The line curves towards +x where its second derivative is positive: that side is the inside of the bend.
    bar = half_width + 1.5 + np.clip(450 * bend * east, 0, 10) + 0.2 * wander[1]
    canvas.paint(inside((bank - bar) / 1.5), {"sand": 0.8, "dry_grass": 0.2})
    depth = np.clip((half_width - bank) / 8, 0, 1)
    canvas.paint(inside(bank - half_width), {"silty_water": 0.92 + 0.08 * depth, "sand": 0.08 * (1 - depth)}, 1.0)

    pit = np.hypot((canvas.x - 0.86 * canvas.shape[1]) / 1.25, canvas.y - 0.29 * canvas.shape[0]) + 1.3 * wander[1]
    canvas.paint(inside((pit - 58) / 2), {"sand": 0.65, "loam": 0.2, "dry_grass": 0.15})
    canvas.paint(inside(pit - 46), {"clear_water": 1.0})
