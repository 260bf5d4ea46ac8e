"""Roads, a village, farms and trees: what people put into the valley.

Places are given as shares (x, y) of the map's width and height, sizes in cells of one metre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Canvas, House, Tree, curve, inside, smooth_noise

VILLAGE, VILLAGE_REACH = (0.33, 0.60), 96.0
HALLS, HALLS_ANGLE = (0.105, 0.715), -0.33
FARMS = ((0.86, 0.66, 0.35), (0.88, 0.845, -0.2), (0.12, 0.20, 0.45))  # x, y, angle


@dataclass(frozen=True)
class Road:
    """A road: its middle line (N, 2), half its width, and whether houses stand along it."""

    line: np.ndarray
    half_width: float
    is_street: bool = True


def pave_roads(canvas: Canvas, bank: np.ndarray) -> list[Road]:
    """Paint the roads with their verges, and the bridge where one comes near the river's middle line (``bank``)."""
    height, width = canvas.shape
    courses = (
        (2.6, True, ((0.19, 0.635), (0.21, 0.56), (0.305, 0.525))),
        (2.6, True, ((0.22, 0.625), (0.27, 0.69), (0.385, 0.685))),
        (2.6, True, ((0.305, 0.52), (0.40, 0.515), (0.44, 0.59))),
        (2.8, False, ((0.80, 0.60), (0.83, 0.78), (0.79, 1.05))),
        (3.2, True, ((0.33, 0.60), (0.30, 0.42), (0.36, 0.22), (0.31, -0.05))),
        (3.2, True, ((0.36, 0.597), (0.40, 0.72), (0.36, 0.86), (0.40, 1.05))),
        (4.2, True, ((-0.05, 0.70), (0.15, 0.645), (0.33, 0.60), (0.52, 0.585), (0.78, 0.60), (1.05, 0.545))),
    )
    roads = [
        Road(curve([(x * width, y * height) for x, y in course]), half, street) for half, street, course in courses
    ]
    for road in roads:
        away = canvas.distance(road.line, reach=12.0)[0] - road.half_width
        canvas.paint(inside(away - 1.5), {"green_grass": 0.4, "dry_grass": 0.4, "sand": 0.2}, 0.9)
        canvas.paint(inside(away), {"asphalt": 1.0})
        bridge = inside(bank - 19)
        canvas.paint(inside(away - 1.5) * bridge, {"concrete": 1.0})
        canvas.paint(inside(away + 0.8) * bridge, {"asphalt": 1.0})
    return roads


def build_village(canvas: Canvas, rng: np.random.Generator, roads: list[Road]) -> tuple[np.ndarray, list[House]]:
    """Paint gardens and yards around the roads.

    Returns
    -------
    gardens : (H, W) coverage 0..1
    houses : not painted yet
    """
    height, width = canvas.shape
    reach = np.hypot((canvas.x - VILLAGE[0] * width) / 1.25, canvas.y - VILLAGE[1] * height)
    gardens = inside((reach - VILLAGE_REACH + 9 * smooth_noise(rng, canvas.shape, 18.0)) / 2)
    paved = canvas.fractions[[canvas.layer["asphalt"], canvas.layer["concrete"]]].sum(axis=0)
    gardens = gardens * (1 - paved)
    green = np.clip(0.62 + 0.22 * smooth_noise(rng, canvas.shape, 5.0), 0, 1)
    canvas.paint(gardens, {"green_grass": green, "dry_grass": 0.5 * (1 - green), "loam": 0.5 * (1 - green)}, 0.88)

    houses: list[House] = []
    along_roads = np.concatenate([road.line for road in roads])
    for road in roads:
        if road.is_street:
            _line_with_houses(houses, rng, road.line, along_roads, np.array(VILLAGE) * (width, height))

    x, y = HALLS[0] * width, HALLS[1] * height
    canvas.paint(inside(canvas.turned_box(x, y, 92.0, 62.0, HALLS_ANGLE)[2]), {"concrete": 0.75, "asphalt": 0.25}, 0.95)
    c, s = np.cos(HALLS_ANGLE), np.sin(HALLS_ANGLE)
    houses.append(House(x - 24 * c, y - 24 * s, 33.0, 34.0, 9.0, HALLS_ANGLE, "blue_paint", 0.12))
    houses.append(House(x + 19 * c, y + 19 * s, 22.0, 34.0, 9.0, HALLS_ANGLE, "concrete", 0.12))
    for farm_x, farm_y, angle in FARMS:
        houses += _build_farm(canvas, rng, farm_x * width, farm_y * height, angle)
    return gardens, houses


def _line_with_houses(
    houses: list[House], rng: np.random.Generator, line: np.ndarray, along_roads: np.ndarray, centre: np.ndarray
) -> None:
    """Add houses on both sides of a street where they stand clear of roads, of each other and of the fields."""
    ahead = np.gradient(line, axis=0)
    station = rng.uniform(4, 16)
    while station < len(line) - 1:
        along, place = ahead[int(station)], line[int(station)]
        street_angle = float(np.arctan2(along[1], along[0]))
        for side in (-1, 1):
            back = side * rng.uniform(13, 17)
            x, y = float(place[0] - back * np.sin(street_angle)), float(place[1] + back * np.cos(street_angle))
            gable_to_street = rng.uniform() < 0.35
            house = House(
                x,
                y,
                length=rng.uniform(11, 15),
                width=rng.uniform(8, 10.5),
                height=rng.uniform(6, 8),
                angle=street_angle + rng.normal(0, 0.05) + (np.pi / 2 if gable_to_street else 0),
                roof=str(rng.choice(["clay_tile", "asphalt", "concrete"], p=[0.72, 0.16, 0.12])),
            )
            in_village = np.hypot((x - centre[0]) / 1.25, y - centre[1]) < VILLAGE_REACH - 4
            off_road = np.hypot(*(along_roads - (x, y)).T).min() > 0.5 * house.width + 5
            clear = all(np.hypot(x - o.x, y - o.y) > 0.5 * (house.length + o.length) + 2 for o in houses)
            if in_village and off_road and clear and rng.uniform() < 0.88:
                houses.append(house)
        station += rng.uniform(17, 24)


def _build_farm(canvas: Canvas, rng: np.random.Generator, x: float, y: float, angle: float) -> list[House]:
    """A farmstead: paint its yard, and place a house, a barn and a shed around it."""
    yard = inside(canvas.turned_box(x, y, 62.0, 50.0, angle)[2] / 2)
    canvas.paint(yard, {"loam": 0.3, "concrete": 0.25, "green_grass": 0.3, "dry_grass": 0.15}, 0.95)
    c, s = np.cos(angle), np.sin(angle)
    return [
        House(x + u * c - v * s, y + u * s + v * c, length, width, rng.uniform(7, 9), angle + turn, roof, pitch)
        for u, v, length, width, turn, roof, pitch in (
            (-16, -13, 28, 14, 0.0, "clay_tile", 0.5),
            (17, 6, 30, 15, np.pi / 2, "blue_paint", 0.12),
            (-16, 14, 14, 10, 0.0, "clay_tile", 0.5),
        )
    ]


def plant_trees(
    canvas: Canvas, rng: np.random.Generator, wander: np.ndarray, bank: np.ndarray, gardens: np.ndarray
) -> list[Tree]:
    """Woods, trees along the river, in gardens and alone in the fields; paints the woods' floor, not the trees."""
    height, width = canvas.shape
    grid_y, grid_x = np.mgrid[0:height:6, 0:width:6]
    x = (grid_x + rng.uniform(-2.2, 2.2, grid_x.shape)).ravel()
    y = (grid_y + rng.uniform(-2.2, 2.2, grid_y.shape)).ravel()
    at = np.clip(np.round(y), 0, height - 1).astype(int), np.clip(np.round(x), 0, width - 1).astype(int)

    hard = ("asphalt", "concrete", "clear_water", "silty_water")
    is_open = canvas.fractions[[canvas.layer[name] for name in hard]].sum(axis=0) < 0.3
    northern = 150 - np.hypot(canvas.x - 0.02 * width, 1.1 * canvas.y)
    southern = 118 - np.hypot((canvas.x - 0.30 * width) / 1.6, canvas.y - 1.03 * height)
    wood = np.maximum(northern, southern) + 2.5 * wander + 9 * smooth_noise(rng, canvas.shape, 12.0)
    canvas.paint(inside(-wood / 2) * is_open, {"loam": 0.4, "green_grass": 0.4, "dry_grass": 0.2}, 0.45)

    in_wood = wood[at] > 0
    has_needles = in_wood & (smooth_noise(rng, canvas.shape, 22.0)[at] + 0.25 * rng.standard_normal(x.size) > -0.2)
    riverside = (bank > 19) & (bank < 30) & (smooth_noise(rng, canvas.shape, 16.0) > 0.15)
    chance = rng.uniform(size=x.size)
    frequency = np.select([in_wood, riverside[at], gardens[at] > 0.5], [1.0, 0.7, 0.1], 0.004)
    trees = []
    for i in np.flatnonzero((chance < frequency) & is_open[at]):
        radius = rng.uniform(2.6, 3.9) if in_wood[i] else rng.uniform(2.4, 5.0)
        leaves = {"conifer": 1.0} if has_needles[i] else {"broad_leaves": 0.9, "green_grass": 0.1}
        trees.append(Tree(float(x[i]), float(y[i]), radius, leaves, rng.normal(0.62 if has_needles[i] else 0.80, 0.06)))
    return trees
