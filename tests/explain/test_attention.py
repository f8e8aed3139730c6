"""The audit of attention, on frames whose zones, and networks whose answers, are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hounsfield.explain.attention import judge_looks, zones_of
from hounsfield.explain.attention.attend import CaseLook, LesionLook, Looks
from hounsfield.explain.attention.hiding import Hidden, hide, mirrored, painted_over
from hounsfield.explain.attention.look import OnLesion, looked_at, on_lesion
from tests.artefacts.test_artefacts import written


def head(height: int = 320, width: int = 280) -> np.ndarray:
    """A grey ellipse on black, a bright ring around it, and some noise."""
    rows, columns = np.mgrid[:height, :width]
    place = ((rows - height / 2) / (0.4 * height)) ** 2 + ((columns - width / 2) / (0.4 * width)) ** 2
    frame = np.where(place < 1, 110.0, 0.0) + np.where((place < 1) & (place > 0.85), 130.0, 0.0)
    return (frame + np.random.default_rng(0).uniform(0, 4, frame.shape)).astype(np.float32)


def test_zones_of_a_head_with_a_marker_and_a_thing_beside_it() -> None:
    frame = head()
    ink, _ = written(np.zeros(frame.shape, np.uint8), "R", 28, 0.03, 0.03)
    frame[ink > 127] = 255
    frame[300:312, 250:270] = 200  # no letter
    zones = zones_of(frame, hounsfield=False, modality="CT")
    assert zones["marker"][ink > 127].all() and zones["marker"].mean() < 0.02
    assert zones["object"][303:309, 253:267].all() and not zones["object"][:200].any()
    assert zones["outside"][5, 140] and not zones["outside"][160, 140]  # the middle of the head
    apart = [zones[name] for name in ("marker", "object", "outside")]
    assert np.sum(apart, axis=0).max() == 1  # no pixel is two things
    assert zones["edge"][0].all() and not zones["edge"][160, 140]
    assert 0.3 < zones["outside"].mean() < 0.6


def test_a_frame_full_of_body_has_no_outside() -> None:
    frame = np.random.default_rng(0).uniform(80, 200, (128, 160)).astype(np.float32)
    assert set(zones_of(frame, hounsfield=False, modality="US")) == {"edge"}


def test_air_around_a_body_in_hounsfield_units() -> None:
    frame = np.where(head() > 50, 40.0, -1000.0).astype(np.float32)
    zones = zones_of(frame, hounsfield=True, modality=None)
    assert zones["outside"].mean() == pytest.approx((frame < -500).mean(), abs=0.02)


def test_what_is_painted_over_shows_its_surroundings() -> None:
    frame = head()
    marked = frame.copy()
    zone = np.zeros(frame.shape, dtype=bool)
    zone[8:30, 6:24] = True
    marked[zone] = 255
    painted = painted_over(marked, zone)
    assert painted[zone].max() < 10 and (painted[60:] == marked[60:]).all()
    colours = np.repeat(marked[..., None], 3, axis=-1)
    assert np.allclose(painted_over(colours, zone)[..., 1], painted, atol=1e-3)
    assert (painted_over(marked, np.ones_like(zone)) == marked.min()).all()
    assert not (mirrored(zone) & zone).any() and mirrored(zone)[10, -10]


def test_hiding_shows_what_the_answer_depends_on() -> None:
    frame = np.zeros((64, 64), dtype=np.float32)
    frame[4:12, 4:12] = 1.0
    zone = frame > 0

    def odds(versions: list[list[np.ndarray]]) -> tuple[np.ndarray, list[str]]:
        values = np.array([5 * one[0][4:12, 4:12].mean() + one[0][4:12, -12:-4].mean() - 2 for one in versions])
        return values, ["yes" if value > 0 else "no" for value in values]

    found = hide([frame], [{"marker": zone, "edge": zone}], ("text", "marker"), odds)
    assert set(found) == {"marker"}
    assert found["marker"].change > 4.5 and abs(found["marker"].elsewhere or 0) < 0.1 and found["marker"].turned


def test_shares_and_peaks_of_a_map() -> None:
    values = np.zeros((60, 40))
    values[2, 3], values[50, 30], values[20, 20] = 3.0, 1.0, -9.0  # what speaks against counts for nothing
    zone = np.zeros(values.shape, dtype=bool)
    zone[:3, :5] = True
    found = looked_at(values, {"marker": zone, "outside": ~zone})
    assert found is not None
    assert (found["marker"].share, found["marker"].peak, found["outside"].peak) == (0.75, True, False)
    assert found["marker"].area == pytest.approx(15 / 2400) and found["marker"].near > 2 * found["marker"].area
    assert looked_at(-values.clip(-9, 0) * -1, {"marker": zone}) is None


def test_the_pointing_game() -> None:
    lesion = np.zeros((50, 50), dtype=bool)
    lesion[10:20, 10:20] = True
    values = np.zeros((50, 50))
    values[12, 12], values[40, 40] = 2.0, 1.0
    found = on_lesion(values, lesion)
    assert (found.area, found.share, found.peak, found.centre) == (
        pytest.approx(0.04),
        pytest.approx(2 / 3),
        True,
        False,
    )
    assert not on_lesion(np.zeros((50, 50)), np.ones((50, 50), dtype=bool)).peak  # an empty map points at nothing


def looks(
    peak: int, change: float, turned: int, *, of: int = 20, zone: str = "marker", elsewhere: float | None = 0.1
) -> Looks:
    """Cases called "yes", of which `peak` point at a zone and `turned` are decided anew without it."""
    generator = np.random.default_rng(0)
    found = Looks("gradcam", total=of)
    for number in range(of):
        seen = {zone: _zone(number < peak)}
        hidden = {zone: Hidden(change + 0.1 * generator.normal(), elsewhere, number < turned)}
        found.cases.append(CaseLook(f"case-{number}", f"patient-{number}", "yes", seen, hidden))
    return found


def _zone(peak: bool) -> Any:
    from hounsfield.explain.attention.look import InZone

    return InZone(area=0.01, share=0.2, near=0.05, peak=peak)


@pytest.mark.parametrize(
    ("made", "level"),
    [
        (looks(16, 3.0, 15), "alarm"),
        (looks(0, 3.0, 0), "alarm"),  # what the answer depends on counts, whatever the map says
        (looks(0, 0.5, 12), "alarm"),  # small odds, but decisions turn
        (looks(16, 0.1, 0), "warning"),  # the map lies there, the answer does not come from there
        (looks(2, 0.1, 0), "note"),
        (looks(0, 3.0, 15, elsewhere=2.0), "note"),  # painting over anything would do
        (looks(4, 3.0, 4, of=4), "note"),  # too few to tell
        (looks(18, 0.0, 0, zone="edge"), "warning"),
        (looks(9, 0.0, 0, zone="edge"), "note"),
    ],
)
def test_what_is_said_of_a_zone(made: Looks, level: str) -> None:
    found = judge_looks(made)
    assert found.items[0].level == level, found.items
    named = "marker" in found.items[0].sentence or "edge" in found.items[0].sentence
    assert named


def test_figures_of_a_zone() -> None:
    figure = judge_looks(looks(16, 3.0, 15)).zones[0]
    assert (figure.cases, figure.of, figure.peak.value, figure.chance) == (20, 20, 0.8, pytest.approx(0.05))
    assert figure.change is not None and figure.change.value == pytest.approx(3.0, abs=0.1)
    assert figure.turned is not None and figure.turned.value == 0.75 and figure.turned.method == "Wilson"


def test_the_figures_of_the_pointing_game() -> None:
    found = Looks("gradcam", total=40)
    for number in range(40):
        lesion = OnLesion(area=0.1, share=0.3, peak=number < 30, centre=number < 10)
        found.lesions.append(LesionLook(f"case-{number}", f"patient-{number}", "malignant", "lime", lesion))
    one = judge_looks(found).pointing[0]
    assert (one.peak.value, one.centre.value, one.random.value) == (0.75, 0.25, pytest.approx(0.1))
    assert one.better.value == pytest.approx(0.5) and one.better.low is not None and one.better.low > 0.3
    assert "more often than" in judge_looks(found).items[0].sentence
