"""Replays plans that nobody has seen before, written by the rules of the planner.

For a wave of n extents: T = max(1, n) tiles, rows = floor(sqrt(T)), cols = ceil(T / rows), and a row-major snake
over that grid, cut off after T tiles, so that some of the last row's may be missing. The swap window is [n, n + T).
pack_order may be empty, and may name nodes of other waves. Extents may overlap.
"""

import json
import math
import random

import pytest

SHAPES = [  # bm, bn, bk, stage_n; the cluster is (2, 1).
    (128, 128, 64, 2),
    (128, 256, 64, 2),
    (256, 128, 64, 2),
    (128, 128, 128, 3),
]
MAX_ERROR = {"f32": 1e-5, "bf16": 1e-2}


def snake(tiles):
    rows = math.isqrt(tiles)
    cols = math.ceil(tiles / rows)
    order = []
    for row in range(rows):
        columns = range(cols) if row % 2 == 0 else reversed(range(cols))
        order += [[row, column] for column in columns]
    return order[:tiles]


def extents(draw, count):
    found = []
    for _ in range(count):
        if found and draw.random() < 0.3:  # Overlaps an earlier one.
            layer, start, end = draw.choice(found)
            start = draw.randint(start, end)
        else:
            layer, start = str(draw.randrange(8)), draw.randrange(2**20)
        found.append([layer, start, start + draw.randrange(16)])
    return found


def wave(draw, shape, count):
    bm, bn, bk, stage_n = shape
    tiles = max(1, count)
    return {
        "pack_order": draw.sample(range(2**31), draw.choice([0, 3, 40])),
        "tile_order": snake(tiles),
        "bm": bm,
        "bn": bn,
        "bk": bk,
        "cluster_shape": [2, 1],
        "tmem_layout": {"columns": 8, "phases": 4, "double_buffer": True, "stage_n": stage_n},
        "io_extents": extents(draw, count),
        "swap_window": [count, count + tiles],
    }


def plan(seed):
    """Windows that hold every shape, with no extents, one, five (whose snake lacks a tile) and more."""
    draw = random.Random(seed)
    waves = [wave(draw, shape, count) for shape in SHAPES for count in (0, 1, 5, draw.randint(2, 12))]
    draw.shuffle(waves)
    cut = draw.randint(1, len(waves) - 1)
    return [{"window": {"seed": seed}, "waves": part} for part in (waves[:cut], waves[cut:])]


def test_the_rules_give_the_tile_that_is_known_to_be_missing():
    assert snake(5) == [[0, 0], [0, 1], [0, 2], [1, 2], [1, 1]]
    assert snake(1) == [[0, 0]]
    assert all(len(snake(tiles)) == tiles for tiles in range(1, 200))


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
@pytest.mark.parametrize("seed", [1, 20261, 777_777])
def test_every_wave_is_right(daemon, tmp_path, seed, dtype):
    windows = plan(seed)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(windows if seed != 1 else [wave for window in windows for wave in window["waves"]]))
    done = daemon.bwrtctl("--json", "replay", path, "--verify", "--dtype", dtype, "--seed", seed, "--k", 256 + 32 * 5)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    waves = sum(len(window["waves"]) for window in windows)
    assert (result["waves"], result["verified"], result["failed"]) == (waves, waves, 0)
    listed = sum(len(wave["tile_order"]) for window in windows for wave in window["waves"])
    assert result["tiles"] > listed  # Missing tiles were appended.
    assert 0 < result["max_rel_error"] <= MAX_ERROR[dtype]
