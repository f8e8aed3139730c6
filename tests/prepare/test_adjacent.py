"""Adjacent slices as channels: the neighbours as acquired, clamped at the ends of their volume, each file decoded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from hounsfield.core.plan import Region
from hounsfield.errors import ReadError
from hounsfield.prepare import Preparation, case, case_array, case_files, conditioned_frames
from tests.prepare.volumes import recipe

RECIPE = recipe(12, ((0.5, 1.0),))


def numbered(folder: Path, count: int, size: int = 12) -> list[Path]:
    """Pictures whose every pixel is their number."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:02d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        Picture.fromarray(np.full((size, size), number, dtype=np.uint8)).save(path)
    return paths


def shown(frames: list[np.ndarray]) -> list[list[int]]:
    return [np.rint(frame[5, 5] * 255).astype(int).tolist() for frame in frames]


@pytest.mark.parametrize(
    ("adjacent", "slices", "stacks", "wanted"),
    [
        (1, 3, (), [[0, 1, 2], [3, 4, 5], [6, 7, 8]]),
        (2, 2, (), [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8]]),
        (1, 9, (), [[0, 0, 1], *[[n - 1, n, n + 1] for n in range(1, 8)], [7, 8, 8]]),
        (3, 1, (), [[1, 2, 3, 4, 5, 6, 7]]),
        (1, 9, (4, 5), [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3], [4, 4, 5], [4, 5, 6], [5, 6, 7], [6, 7, 8], [7, 8, 8]]),
    ],
)  # fmt: skip
def test_the_channels_are_the_neighbours_as_acquired(
    tmp_path: Path, adjacent: int, slices: int, stacks: tuple[int, ...], wanted: list[list[int]]
) -> None:
    files = case_files([(path, None) for path in numbered(tmp_path, 9)], [1] * 9, "case", stacks=stacks)
    plan = Preparation("range", slices, RECIPE, adjacent=adjacent, dimension="2.5d")
    assert shown(conditioned_frames(files, plan)) == wanted
    array = case_array(files, plan)
    assert array.shape == (slices, 2 * adjacent + 1, 12, 12)
    np.testing.assert_allclose(array[:, :, 5, 5] * 255, wanted, atol=1e-4)


def test_every_file_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = case.read_image

    def counted(source: Any, **options: Any) -> Any:
        read.append(source.path.stem)
        return real(source, **options)

    monkeypatch.setattr(case, "read_image", counted)
    files = case_files([(path, None) for path in numbered(tmp_path, 20)], [1] * 20, "case")
    conditioned_frames(files, Preparation("range", 2, RECIPE, adjacent=1))
    assert read == ["04", "05", "06", "14", "15", "16"], "neighbours only, and none twice"


def test_neighbours_of_a_region_may_lie_beside_it(tmp_path: Path) -> None:
    files = case_files(
        [(path, None) for path in numbered(tmp_path, 9)], [1] * 9, "case", interest=(2, 3, 4, 5, 9, 4)
    )  # x1, y1, z1, x2, y2, z2 in columns, rows and slices
    plan = Preparation("range", 3, RECIPE, adjacent=1, region=Region(kind="box"))
    (frame,) = conditioned_frames(files, plan)
    assert frame.shape == (7, 4, 3)
    assert np.rint(frame[0, 0] * 255).tolist() == [3, 4, 5]


def test_colours_and_unequal_sizes_are_refused(tmp_path: Path) -> None:
    plan = Preparation("range", 3, RECIPE, adjacent=1)
    paths = [*numbered(tmp_path / "a", 2), *numbered(tmp_path / "b", 2, size=9)]
    with pytest.raises(ReadError, match="differ in size"):
        conditioned_frames(case_files([(path, None) for path in paths], [1] * 4, "case"), plan)
    same = case_files([(path, None) for path in paths[:2]], [1] * 2, "case")
    with pytest.raises(ReadError, match="grey"):
        conditioned_frames(same, Preparation("colour", 3, RECIPE, adjacent=1))
