"""Recipe → file → Recipe is identical, and an impossible recipe is refused."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hounsfield.core import Recipe
from hounsfield.core.recipe import Normalise, Pad, Repeat, Resize, Window
from hounsfield.errors import BundleError

NUMBER = st.floats(-1e5, 1e5, allow_nan=False)
POSITIVE = st.floats(1e-3, 1e5, allow_nan=False)
SIDE = st.integers(1, 2048)
NORMALISE = st.integers(1, 4).flatmap(
    lambda count: st.builds(Normalise, mean=st.tuples(*[NUMBER] * count), std=st.tuples(*[POSITIVE] * count))
)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    windows = draw(st.lists(st.tuples(NUMBER, POSITIVE), min_size=1, max_size=4))
    height, width = draw(SIDE), draw(SIDE)
    early = [Window(windows=tuple(windows)), Pad(height=height, width=width, value=draw(NUMBER))]
    if draw(st.booleans()):
        early.insert(draw(st.integers(0, 2)), Resize(height=height, width=width))
    late = draw(st.lists(st.builds(Repeat, channels=st.integers(1, 4)) | NORMALISE, max_size=3))
    return Recipe(steps=(*early, *late))


@settings(max_examples=60, deadline=None)
@given(recipes())
def test_comes_back_from_a_file(recipe: Recipe) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.json"
        recipe.save(path)
        again = Recipe.load(path)
    assert again == recipe
    assert again.digest == recipe.digest
    assert (*again.stored, *again.late) == again.steps
    assert [type(step) for step in again.steps] == [type(step) for step in recipe.steps]


WINDOW, RESIZE, PAD = Window(windows=((0.5, 1.0),)), Resize(height=32, width=48), Pad(height=32, width=48)


@pytest.mark.parametrize(
    "steps",
    [
        (WINDOW, Resize(height=32, width=49), PAD),
        (WINDOW, RESIZE, Pad(height=32, width=48, value=0.5)),
        (RESIZE, WINDOW, PAD),
        (Window(windows=((0.5, 1.0), (0.5, 1.0))), RESIZE, PAD),
        (WINDOW, RESIZE, PAD, Repeat(channels=3)),
    ],
)
def test_every_number_and_the_order_change_the_digest(steps: tuple[object, ...]) -> None:
    assert Recipe(steps=steps).digest != Recipe(steps=(WINDOW, RESIZE, PAD)).digest


def test_size_is_the_padded_one() -> None:
    assert Recipe(steps=(WINDOW, RESIZE, PAD)).size == (32, 48)


@pytest.mark.parametrize(
    "steps",
    [(), (WINDOW,), (PAD,), (WINDOW, Repeat(channels=3), PAD), (Normalise(mean=(0,), std=(1,)), WINDOW, PAD)],
)
def test_impossible_orders_are_refused(steps: tuple[object, ...]) -> None:
    with pytest.raises(ValidationError, match="recipe needs"):
        Recipe(steps=steps)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Window(windows=()),
        lambda: Window(windows=((40, 0),)),
        lambda: Window(windows=((40, -400),)),
        lambda: Resize(height=0, width=1),
        lambda: Pad(height=1, width=-1),
        lambda: Repeat(channels=0),
        lambda: Normalise(mean=(0.5,), std=(0.0,)),
        lambda: Normalise(mean=(0.5, 0.5), std=(0.5,)),
        lambda: Window(windows=((40, 400),), gamma=2),
    ],
)
def test_impossible_steps_are_refused(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValidationError):
        make()


@pytest.mark.parametrize("text", ["", "[]", '{"steps": []}', '{"steps": [{"kind": "sharpen"}]}', '{"steps": 3}'])
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(BundleError):
        Recipe.load(tmp_path / "recipe.json")
    with pytest.raises(BundleError, match="missing"):
        Recipe.load(tmp_path / "none.json")
