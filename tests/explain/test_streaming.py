"""Cases are explained as they are read, a few at a time; how many go together changes nothing."""

from __future__ import annotations

import gc
import importlib
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from hounsfield.cohort import Labelling, Looking, scan
from hounsfield.core import Bundle, Calibration, Cohort, Plan
from hounsfield.errors import UsageError
from hounsfield.explain import explain, explain_each, methods
from hounsfield.models import build
from hounsfield.prepare import recipe_of

Make = Callable[..., Plan]
room = importlib.import_module("hounsfield.explain.explain")
ALL = ("gradcam", "gradcam++", "occlusion")


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Eleven pictures of unequal sizes."""
    generator = np.random.default_rng(0)
    for number in range(11):
        folder = tmp_path / "images" / ("no", "yes")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        size = (50 + 7 * number, 80 - 3 * number)
        Picture.fromarray(generator.integers(0, 255, size, dtype=np.uint8)).save(folder / f"{number}.png")
    return scan(tmp_path / "images", Labelling(), looking=Looking(pixels=False), workers=0)


@pytest.fixture
def bundle(tmp_path: Path, plan: Make) -> Bundle:
    """A sealed bundle that was never trained."""
    decided = plan(backbone="mobilenetv3_small_050", members=2, frozen="through stage 2", flip_at_test=False)
    build(decided).save(tmp_path / "w.safetensors")
    calibration = Calibration(temperature=1, offsets=[0], threshold=0.5, fitted_on="nothing", cases=0)
    return Bundle.seal(
        tmp_path / "bundle", plan=decided, recipe=recipe_of(decided), calibration=calibration, reference={},
        weights=tmp_path / "w.safetensors",
    )  # fmt: skip


@pytest.fixture
def targets(cohort: Cohort) -> dict[str, str]:
    cases = cohort.usable["case"].to_list()
    assert len(cases) == 11
    return {case: ("no", "yes")[number % 3 % 2] for number, case in enumerate(reversed(cases))}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The cases that were read so far."""
    found: list[str] = []
    original = room._read

    def read(job: tuple) -> object:  # type: ignore[type-arg]
        found.append(job[0].case)
        return original(job)

    monkeypatch.setattr(room, "_read", read)
    return found


def test_many_are_each_alone_whatever_goes_together(
    bundle: Bundle, cohort: Cohort, targets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [
        explain(bundle, cohort, {case: target}, ALL, device="cpu", workers=0)[0] for case, target in targets.items()
    ]
    monkeypatch.setattr(room, "TOGETHER", 4)
    for workers in (0, 1):
        found = list(explain_each(bundle, cohort, targets, ALL, device="cpu", workers=workers))
        assert [one.case for one in found] == list(targets)
        for one, other in zip(found, alone, strict=True):
            assert [each.method for each in one.attributions] == list(ALL)
            for values, expected, frame in zip(one.attributions, other.attributions, one.frames, strict=True):
                assert values.values.shape == frame.shape and values.target == targets[one.case]
                assert values.scale == pytest.approx(expected.scale, rel=1e-3, abs=1e-8)
                np.testing.assert_allclose(values.values, expected.values, atol=1e-3 * max(expected.scale, 1e-6))
            np.testing.assert_array_equal(one.frame, other.frame)
    assert sum(one.attribution.scale > 0 for one in alone) >= 3


def test_no_more_is_read_than_goes_together_and_nothing_is_kept(
    bundle: Bundle, cohort: Cohort, targets: dict[str, str], reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "TOGETHER", 4)
    stream: Iterator = explain_each(bundle, cohort, targets, device="cpu", workers=0)  # type: ignore[type-arg]
    assert reads == []
    gone = []
    for number, one in enumerate(stream):
        assert len(reads) == min(4 * (number // 4 + 1), 11)
        gone.append(weakref.ref(one.attribution.values))
        if number >= 4:
            gc.collect()
            assert all(each() is None for each in gone[:-1]), "what the consumer let go is gone"
        del one
    assert len(gone) == 11


def test_large_frames_go_in_smaller_batches(
    bundle: Bundle, cohort: Cohort, targets: dict[str, str], reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_BYTES", 1)
    next(explain_each(bundle, cohort, targets, device="cpu", workers=0))
    assert len(reads) == 1


def test_the_bar_moves_within_a_case_and_ends_at_the_whole(
    bundle: Bundle, cohort: Cohort, targets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "QUESTIONS", 64)
    told: list[tuple[float, int]] = []
    explain(
        bundle, cohort, dict(list(targets.items())[:2]), ["gradcam", "kernel-shap"], check=True, device="cpu", workers=0,
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    done = [one for one, _ in told]
    assert {total for _, total in told} == {6} and done == sorted(done) and done[-1] == 6
    # Two maps (64 questions, 16 at a time) and the checks of a case are three parts: most steps lie within the second and the third.
    assert len([one for one in done if 1 < one < 2]) >= 3 and len([one for one in done if 2 < one < 3]) >= 8
    assert max(np.diff(done)) <= 1


def test_what_cannot_be_explained_is_told_before_anything_is_read(
    bundle: Bundle, cohort: Cohort, reads: list[str]
) -> None:
    with pytest.raises(UsageError, match="no usable case"):
        explain_each(bundle, cohort, {"case-none": "yes"}, device="cpu", workers=0)
    with pytest.raises(UsageError, match="no method"):
        explain_each(bundle, cohort, {}, ["magic"], device="cpu", workers=0)
    assert reads == []
