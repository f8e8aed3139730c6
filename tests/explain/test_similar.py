"""The most similar training cases: known vectors give known neighbours, none of the same patient, and the cache knows what it is of."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import timm
import torch

from hounsfield.core import Cohort
from hounsfield.core.cohort import SCHEMA, About
from hounsfield.explain import Library, library_of, similar
from hounsfield.explain.similar import FEATURES, FRONT, described, source_of
from hounsfield.models import Network, Tail
from hounsfield.models.cut import cut
from hounsfield.models.pooling import SlicePooling

# Three clusters on the axes of a plane and one case between two of them.
ANGLES = {"east": 0, "east-too": 4, "north": 90, "north-too": 96, "west": 180, "between": 45}


def raw(degrees: float) -> np.ndarray:
    return np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])


def cohort(**changes: tuple[str, str, str]) -> Cohort:
    """A case per angle, each of a patient of its own, in training; and "asked" in test. `changes` are (patient, group, split)."""
    facts = {name: (f"patient {name}", f"patient {name}", "train") for name in ANGLES}
    facts |= {"asked": ("patient asked", "patient asked", "test")} | {
        name.replace("_", "-"): value for name, value in changes.items()
    }
    columns: dict[str, list[object]] = {name: [None] * len(facts) for name in SCHEMA}
    patients, groups, splits = zip(*facts.values(), strict=True)
    columns |= {"case": list(facts), "patient": list(patients), "group": list(groups), "split": list(splits)}
    about = About(unit="image", labels=["no", "yes"], patients_from="file", leaks="allow")
    return Cohort(pl.DataFrame(columns, schema=SCHEMA), about)


def library() -> Library:
    vectors = np.stack([raw(angle) for angle in ANGLES.values()])
    return Library.of(list(ANGLES), vectors, [f"patient {name}" for name in ANGLES], FRONT)


def names(found: Any) -> list[str]:
    return [one.case for one in found.neighbours]


def test_the_nearest_come_first_with_their_cosine() -> None:
    made = library()
    found = similar(made, raw(2), cohort(), "asked", most=3)
    assert set(names(found)[:2]) == {"east", "east-too"} and found.among == 6 and found.left_out == 0
    # The same sum by hand: standardised by the training part, then the cosine.
    vectors = np.stack([raw(angle) for angle in ANGLES.values()])
    spread = vectors.std(axis=0) + 0.1 * np.median(vectors.std(axis=0))
    standard = (np.vstack([vectors, raw(2)]) - vectors.mean(axis=0)) / spread
    standard /= np.linalg.norm(standard, axis=1, keepdims=True)
    expected = dict(zip(ANGLES, standard[:-1] @ standard[-1], strict=True))
    for one in found.neighbours:
        assert one.likeness == pytest.approx(expected[one.case], abs=1e-5)
    assert [one.likeness for one in found.neighbours] == sorted(
        (one.likeness for one in found.neighbours), reverse=True
    )


def test_a_rank_is_the_share_of_training_cases_whose_own_nearest_is_farther() -> None:
    made = library()
    assert len(made.nearest) == len(ANGLES) and made.nearest.max() > 0.98
    assert made.rank(1.1) == 1 and made.rank(-1.1) == 0
    middle = float(np.median(made.nearest))
    assert made.rank(middle) == pytest.approx((made.nearest < middle).mean())


def test_a_case_alone_in_its_group_has_a_nearest_and_one_group_has_none() -> None:
    vectors = np.stack([raw(angle) for angle in (0, 1, 90)])
    parted = Library.of(["a", "b", "c"], vectors, ["p", "p", "q"], FRONT)
    whole = Library.of(["a", "b", "c"], vectors, ["a", "b", "c"], FRONT)
    # a and b are one patient's: their nearest is c, far away, and not each other.
    assert parted.nearest.max() < 0 < whole.nearest.max()
    alone = Library.of(["a", "b"], vectors[:2], ["p", "p"], FRONT)
    assert len(alone.nearest) == 0 and alone.rank(0.5) is None


def test_the_same_patient_and_who_shares_a_picture_are_left_out_and_counted() -> None:
    of_patient = cohort(east=("patient asked", "patient asked", "train"))
    shared = cohort(east_too=("patient east-too", "patient asked", "train"))
    for given, gone in ((of_patient, "east"), (shared, "east-too")):
        found = similar(library(), raw(2), given, "asked", most=9)
        assert gone not in names(found) and len(names(found)) == 5 == found.among and found.left_out == 1


def test_a_training_case_is_not_its_own_neighbour_nor_one_that_was_put_aside() -> None:
    found = similar(library(), raw(0), cohort(), "east", most=9)
    assert names(found)[0] == "east-too" and "east" not in names(found) and found.left_out == 0
    aside = cohort().put_aside({"east-too": "damaged"}, stage="predict")
    assert "east-too" not in names(similar(library(), raw(0), aside, "east", most=9))


@dataclass
class Bundled:
    """As much of a bundle as the search looks at."""

    core_digest: str


def test_what_was_found_is_kept_and_made_anew_for_another_bundle_or_cohort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["hounsfield.explain.similar"]  # the package has a function of this name
    asked: list[int] = []

    def embed(*_: object, **__: object) -> Any:
        asked.append(1)
        return ((name, raw(angle) if name != "west" else None) for name, angle in ANGLES.items())

    monkeypatch.setattr(module, "embed", embed)
    monkeypatch.setattr(module, "files_of", lambda *_: [])
    monkeypatch.setattr(module, "preparation_of", lambda _: None)
    place, network, bars = tmp_path / "neighbours.npz", front_and_tail(frozen="through stage 2"), []
    first = library_of(
        Bundled("a"), cohort(), place, network=network, device="cpu", progress=lambda *step: bars.append(step)
    )
    assert first is not None and "west" not in first.cases and bars[-1][0] == len(ANGLES)
    again = library_of(Bundled("a"), cohort(), place, network=network, device="cpu")
    assert len(asked) == 1 and again is not None and again.cases == first.cases and again.source == first.source
    np.testing.assert_array_equal(again.vectors, first.vectors)
    np.testing.assert_array_equal(again.nearest, first.nearest)
    library_of(Bundled("b"), cohort(), place, network=network, device="cpu")
    assert len(asked) == 2
    library_of(Bundled("b"), cohort(more=("p", "p", "train")), place, network=network, device="cpu")
    assert len(asked) == 3
    place.write_bytes(place.read_bytes()[:100])
    library_of(Bundled("b"), cohort(), place, network=network, device="cpu")
    assert len(asked) == 4, "a damaged file is no cache"


def front_and_tail(frozen: str, pooling: bool = False) -> Network:
    model = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=2)
    front, tail = cut(model.eval(), frozen, shape=(3, 64, 64))
    if pooling:
        tail.model.reset_classifier(0)
        tail.pooling = SlicePooling("attention", 1024, 2, 0.0)
    return Network(front, [tail]).eval()


@pytest.mark.parametrize("pooling", [False, True])
def test_a_network_without_a_frozen_front_is_asked_for_what_its_head_is_given(pooling: bool) -> None:
    network = front_and_tail("none", pooling)
    assert source_of(network) == FEATURES
    inputs = torch.rand(2, 3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = described(network, inputs)
    tail: Tail = network.tails[0]
    with torch.inference_mode():
        features = tail.model.forward_head(tail.model.forward_features(inputs.flatten(0, 1)), pre_logits=True)
    assert torch.allclose(found, features.unflatten(0, (2, 3)).mean(dim=1), atol=1e-5)
    assert not any(module._forward_pre_hooks for module in network.modules()), "nothing is left in the network"
    assert torch.allclose(found[:1], described(network, inputs[:1]), atol=1e-5), "a batch of two is two of one"


def test_a_frozen_front_describes_a_case_by_itself() -> None:
    network = front_and_tail("through stage 2")
    assert source_of(network) == FRONT
    inputs = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before = described(network, inputs)
    with torch.no_grad():
        for parameter in network.tails[0].parameters():
            parameter.zero_()
    assert torch.equal(before, described(network, inputs)), "training moves nothing"


def test_members_stand_side_by_side() -> None:
    one = front_and_tail("none")
    two = Network(one.front, [one.tails[0], front_and_tail("none").tails[0]]).eval()
    inputs = torch.rand(1, 1, 3, 64, 64)
    found = described(two, inputs)
    assert found.shape[1] == 2 * described(one, inputs).shape[1]
    assert torch.allclose(found[:, : found.shape[1] // 2], described(one, inputs), atol=1e-6)
