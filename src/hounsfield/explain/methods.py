"""Maps of a case by several methods, under one vocabulary: raw values, never stretched, with the settings they were made by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import GradientShap, IntegratedGradients, KernelShap, Lime, Occlusion
from scipy.ndimage import gaussian_filter
from skimage.segmentation import slic

from hounsfield.errors import UsageError
from hounsfield.explain.attribution import Attribution
from hounsfield.explain.gradcam import grad_cam, grad_cam_plus_plus
from hounsfield.explain.place import on_picture, strongest_slice
from hounsfield.explain.subject import BLUR, Subject, scores
from hounsfield.prepare import Place

# Enough that a lesion of a tenth of the width is a piece of its own, few enough that some hundred questions tell them apart.
PIECES = 60
QUESTIONS = 256
STEPS = 32
DRAWS = 32
NOISE = 0.05
# Windows per side that occlusion moves over the image, overlapping by half.
WINDOWS = 7
FEWEST, MOST = 50, 75
# Between shape and brightness of a superpixel, and how many are asked for: the first that gives a fair number. Noise breaks
# superpixels up, and what is left merges into a few; the more compact they must be, the less it can.
ATTEMPTS = tuple((compactness, count) for compactness in (0.3, 1.0, 3.0) for count in (PIECES, 72, 50))
# The blur of the copy that superpixels are found in, within each slice, as a share of the shorter side; at least a pixel.
GRAIN = 0.01
# Ridge, not the lasso of some implementations: that one gives nothing at all where logits are small.
PENALTY = 0.1

_LOGIT = "change of the logit when a place is blurred"


@dataclass(frozen=True)
class Method:
    """How a map is made.

    Attributes
    ----------
    title:
        As people write it.
    signed:
        Whether values may speak against the target.
    unit:
        What a value is.
    run:
        (subject, seed) → map (h, w), or (slices, h, w) of a volume; and the settings.
    draws:
        Whether chance has a part in it.
    together:
        Subjects of one network → a map of each, as `run` gives it; None where cases are explained one by one.
    questions:
        About how often a map of a subject asks the network for its logit (`Subject.score`).
    asks:
        It needs nothing of the network but `Subject.score`, without gradients, and asks the same whatever the answers.
    pixelwise:
        Each pixel has a value of its own, so that neighbours differ much: pictures show the mean of a neighbourhood.
    """

    title: str
    signed: bool
    unit: str
    run: Callable[[Subject, int], tuple[np.ndarray, dict[str, Any]]]
    draws: bool = False
    together: Callable[[Sequence[Subject]], list[np.ndarray]] | None = None
    questions: Callable[[Subject], int] = lambda subject: 0
    asks: bool = False
    pixelwise: bool = False


@dataclass(frozen=True)
class Raw:
    """What a method gave: a map (h, w), or (slices, h, w) of a volume, and the settings it was made by."""

    values: np.ndarray
    settings: dict[str, Any]


def check_method(method: str) -> None:
    """Raise UsageError where there is no such method."""
    if method not in METHODS:
        raise UsageError(f"there is no method {method!r}", fix=f"Choose from: {', '.join(METHODS)}.")


def attribute(
    subject: Subject, method: str, places: Sequence[Place], *, seed: int = 0, at: int | None = None
) -> Attribution:
    """Return the map of a case by a method of `METHODS`.

    Parameters
    ----------
    places:
        Where each slice lies on its picture.
    seed:
        For methods that draw (SHAP, LIME); the others do not depend on it.
    at:
        Which slice of a volume to show; None for the one with the greatest value.

    Raises
    ------
    UsageError
        If there is no such method, or the backbone has no feature maps and the method needs some.
    """
    check_method(method)
    return placed(subject, method, raw_maps([subject], method, seed=seed)[0], places, at=at)


def raw_maps(subjects: Sequence[Subject], method: str, *, seed: int = 0) -> list[Raw]:
    """Return what a method gives of each case; all cases are of one network."""
    known = METHODS[method]
    if known.together is not None:
        return [Raw(values, {}) for values in known.together(subjects)]
    return [Raw(*known.run(subject, seed)) for subject in subjects]


def beside(subjects: Sequence[Subject], method: str, *, seed: int = 0) -> list[Raw]:
    """Return the maps of one case by several networks that share their front.

    Where a method only asks, the front looks once at what all networks are asked, as in `scores`.
    """
    if not METHODS[method].asks or len(subjects) == 1:
        return [raw_maps([subject], method, seed=seed)[0] for subject in subjects]
    told: list[torch.Tensor] = []

    def first(shown: torch.Tensor) -> torch.Tensor:
        told.append(scores(subjects, shown))
        return told[-1][0]

    def again(place: int) -> Callable[[torch.Tensor], torch.Tensor]:
        answers = iter(told)
        return lambda shown: next(answers)[place]

    maps = []
    for place, subject in enumerate(subjects):
        answered = replace(subject, answered=again(place) if place else first)
        maps.append(raw_maps([answered], method, seed=seed)[0])
    return maps


def placed(subject: Subject, method: str, raw: Raw, places: Sequence[Place], *, at: int | None = None) -> Attribution:
    """Bring a map back to the picture that it belongs to; of a volume, to slice `at`, or to that where it is greatest."""
    known, values, chosen = METHODS[method], raw.values, subject.chosen
    if chosen is None:
        chosen = strongest_slice(values, subject.recipe, places) if at is None else at
        values = values[chosen]
    return Attribution(
        on_picture(values, subject.recipe, places[chosen]), float(np.abs(values).max()), chosen, len(subject.stored), subject.weight,
        subject.target, method, known.signed, known.unit, raw.settings, places[chosen],
    )  # fmt: skip


def _integrated_gradients(subject: Subject, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    shown, hidden = subject.shown[None], subject.hidden[None]
    found = IntegratedGradients(subject.score).attribute(
        shown, hidden, n_steps=STEPS, internal_batch_size=subject.together
    )
    return _of_channels(found), {"steps": STEPS, "baseline": _blurred()}


def _gradient_shap(subject: Subject, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    shown, hidden = subject.shown[None], subject.hidden[None]
    baselines = torch.cat([hidden, torch.zeros_like(hidden), torch.full_like(hidden, float(shown.mean()))])
    total = torch.zeros_like(shown)
    with _drawing(seed):
        for draws in _parts(DRAWS, subject.together):
            found = GradientShap(subject.score).attribute(shown, baselines, n_samples=draws, stdevs=NOISE)
            total += found * (draws / DRAWS)
    settings = {"draws": DRAWS, "noise": NOISE, "baselines": f"{_blurred()}; black; mean", "seed": seed}
    return _of_channels(total), settings


def _parts(whole: int, most: int) -> list[int]:
    return [min(most, whole - start) for start in range(0, whole, most)]


def _occlusion(subject: Subject, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    shown, hidden = subject.shown, subject.hidden
    sides, steps = _windows(subject)
    with torch.no_grad():
        found = Occlusion(subject.score).attribute(
            shown[None],
            (len(shown), *sides),
            (len(shown), *steps),
            hidden[None],
            perturbations_per_eval=subject.together,
        )
    return found[0].mean(dim=0).cpu().numpy(), {"window": sides, "step": steps, "replaced by": _blurred()}


def _windows(subject: Subject) -> tuple[list[int], list[int]]:
    """The sides of a window and its steps, along each axis."""
    sides = [max(1, 2 * length // (WINDOWS + 1)) for length in subject.shown.shape[1:]]
    return sides, [max(1, side // 2) for side in sides]


def _count_of_windows(subject: Subject) -> int:
    each = zip(subject.shown.shape[1:], *_windows(subject), strict=True)
    return math.prod(1 + math.ceil((length - side) / step) for length, side, step in each)


def _kernel_shap(subject: Subject, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    return _by_pieces(subject, KernelShap(subject.score), seed)


def _lime(subject: Subject, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    return _by_pieces(subject, Lime(subject.score, interpretable_model=SkLearnRidge(alpha=PENALTY)), seed)


def _by_pieces(subject: Subject, ask: Any, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    pieces = pieces_of(subject)
    mask = torch.from_numpy(pieces).to(subject.device).expand(subject.shown.shape)
    with torch.no_grad(), _drawing(seed):
        found = ask.attribute(
            subject.shown[None], subject.hidden[None], feature_mask=mask[None], n_samples=QUESTIONS,
            perturbations_per_eval=subject.together,
        )  # fmt: skip
    settings = {"pieces": int(pieces.max()) + 1, "questions": QUESTIONS, "replaced by": _blurred(), "seed": seed}
    return found[0].mean(dim=0).cpu().numpy(), settings


def pieces_of(subject: Subject) -> np.ndarray:
    """Number the pieces that methods take away: superpixels (SLIC: Achanta et al. 2012), (H, W) or, of a volume, (slices, H, W)."""
    shown = subject.shown.cpu().numpy()
    sigma = max(1.0, GRAIN * min(shown.shape[-2:]))
    smooth = np.moveaxis(gaussian_filter(shown, [*[0.0] * (shown.ndim - 2), sigma, sigma], mode="nearest"), 0, -1)
    best = np.zeros(smooth.shape[:-1], dtype=np.int64)
    for compactness, count in ATTEMPTS:
        found = slic(smooth, n_segments=count, compactness=compactness, channel_axis=-1, start_label=0)
        numbered = np.unique(found, return_inverse=True)[1].reshape(found.shape).astype(np.int64)
        if abs(numbered.max() + 1 - PIECES) < abs(best.max() + 1 - PIECES):
            best = numbered
        if FEWEST <= best.max() + 1 <= MOST:
            break
    return best


def _grad_cam(subject: Subject, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    return grad_cam([subject])[0], {}


def _grad_cam_plus_plus(subject: Subject, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    return grad_cam_plus_plus([subject])[0], {}


@contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """Captum draws from the global generators: they get a seed, and are left as they were."""
    before = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002


def _of_channels(found: torch.Tensor) -> np.ndarray:
    values: np.ndarray = found[0].detach().sum(dim=0).cpu().numpy()
    return values


def _blurred() -> str:
    return f"blurred by {BLUR:.0%} of the shorter side"


_CAM = "change of the logit per change of the feature map, summed over its channels"
METHODS: dict[str, Method] = {
    "gradcam": Method("Grad-CAM", False, _CAM, _grad_cam, together=grad_cam),
    "gradcam++": Method(
        "Grad-CAM++", False, _CAM.replace("summed", "weighed and summed"), _grad_cam_plus_plus, together=grad_cam_plus_plus
    ),
    "integrated-gradients": Method(
        "Integrated gradients", True, "share of the logit's change from the blurred image", _integrated_gradients,
        questions=lambda subject: STEPS, pixelwise=True,
    ),
    "gradient-shap": Method(
        "SHAP (gradients)", True, "share of the logit's change from the baselines, expected", _gradient_shap, draws=True,
        questions=lambda subject: DRAWS, pixelwise=True,
    ),
    "kernel-shap": Method(
        "SHAP (superpixels)", True, "share of a superpixel in the logit's change from the blurred image", _kernel_shap,
        draws=True, questions=lambda subject: QUESTIONS, asks=True,
    ),
    "lime": Method(
        "LIME", True, "weight of a superpixel in a linear model of the logit", _lime, draws=True,
        questions=lambda subject: QUESTIONS, asks=True,
    ),
    "occlusion": Method("Occlusion", True, _LOGIT, _occlusion, questions=_count_of_windows, asks=True),
}  # fmt: skip
