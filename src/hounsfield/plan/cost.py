"""What a plan costs on this machine: its pace, multiplied out over cases, views, epochs and members."""

from __future__ import annotations

from dataclasses import dataclass

from hounsfield.core.plan import Cost, Decision, Plan
from hounsfield.plan.fingerprint import Fingerprint
from hounsfield.plan.pace import Pace
from hounsfield.prepare import stored_channels
from hounsfield.read.workers import default_workers

GIB = 2**30
# Early stopping ends most runs before the last epoch; two thirds was the mean over the data sets tried. None ends before patience does.
EPOCHS_RUN = 0.67
ALL_EPOCHS = 1.0
# Measured on two cores: starting worker processes; a fit's imports; an epoch's bookkeeping and its checkpoint.
START_WORKERS, START_FIT, PER_EPOCH = 1.5, 3.0, 0.3
# The imports of explaining and exporting, the bootstrap of the report; and how many cases these look at.
CLOSING, EXPLAINED, EXPORTED = 25.0, 8, 48
# Cases in the audit of attention, and how often each is asked again with something painted over, on average.
ATTENDED, PAINTED = 200, 3
READ_BACK = 1e9  # bytes of cached activations per second
# Libraries in the main process; Python, numpy and a decoder in a worker, shared pages counted in each.
BASE_GIB, WORKER_GIB = 1.3, 0.35
COPIES = 3  # of a case's frames while it is decoded, conditioned and resized
PREFETCHED = 3  # cases that a worker of the cache holds, one in the making
TOGETHER = 64  # slices in the front at once
# Folds: of what is not the fold, one sixth validates.
FOLD_TRAINS = 5 / 6
WIDTH = {"half": 2, "single": 4}


@dataclass(frozen=True)
class Cases:
    """How many cases go where: through store and cache, into the fit of one member, and through prediction."""

    kept: int
    train: float
    validation: float
    calibration: int
    test: int


def cases_of(found: Fingerprint) -> Cases:
    parts = found.parts or {"train": found.cases}
    train = parts.get("train", 0)
    if found.folds:
        share = 1 - found.repeats / found.folds
        trained = train * share * FOLD_TRAINS
        return Cases(train, trained, train * share - trained, train, parts.get("test", 0))
    validation = parts.get("validation", 0)
    return Cases(train + validation, train, validation, parts.get("calibration", 0), parts.get("test", 0))


def seconds_of(
    plan: Plan, found: Fingerprint, pace: Pace, *, workers: int | None = None, epochs_run: float | None = None
) -> dict[str, float]:
    """Return the seconds of each part of a run, in their order: read, cache, train, calibrate, predict.

    `epochs_run` is the share of the epochs that is counted; by default what early stopping leaves.
    """
    share = _epochs_run(plan) if epochs_run is None else epochs_run
    hands = max(1, default_workers() if workers is None else workers)
    cases, views = cases_of(found), plan.cached_views.value
    read = _read_seconds(plan, found, pace) / hands
    one = pace.front + pace.tail * plan.members.value
    judge = read + one * (2 if plan.flip_at_test.value else 1)
    cache = pace.front * (1 + views) + pace.augment * views / hands
    loaded = pace.activation * WIDTH[plan.cache_precision.value] / READ_BACK
    # Without a cache every epoch augments, in the process that trains, and runs the front.
    before_step = loaded if views else pace.augment + pace.front
    before_check = loaded if views else pace.front
    epoch = cases.train * (pace.step + before_step) + cases.validation * (pace.tail + before_check) + PER_EPOCH
    return {
        "read": read * cases.kept + START_WORKERS,
        "cache": cache * cases.kept + START_WORKERS if views else 0.0,
        "train": epoch * plan.epochs.value * share * plan.members.value + START_FIT,
        "calibrate": judge * cases.calibration + START_WORKERS if cases.calibration else 0.0,
        "predict": judge * cases.test + START_WORKERS if cases.test else 0.0,
    }


def _epochs_run(plan: Plan) -> float:
    return min(ALL_EPOCHS, max(EPOCHS_RUN, (plan.patience.value + 1) / plan.epochs.value))


def _read_seconds(plan: Plan, found: Fingerprint, pace: Pace) -> float:
    """One case on one core: volumes are decoded whole, of single slices only those that are shown."""
    wanted = plan.slices.value * (2 * plan.adjacent.value + 1)
    whole = plan.dimension.value == "3d" or plan.region.value.kind != "none" or found.kind in ("nifti", "npz")
    decoded = found.frames if whole else min(found.frames, wanted)
    return found.seconds_per_frame * decoded + pace.prepare * (found.frames if whole else plan.slices.value)


def closing_seconds(plan: Plan, found: Fingerprint, pace: Pace) -> float:
    """What `run` does after the prediction of the test part: explain, export, evaluate, report. Not SHAP and LIME of lesions."""
    judged, mapped = pace.front + pace.tail * plan.members.value, pace.front + pace.step * plan.members.value
    attended = min(cases_of(found).test or found.cases, ATTENDED)
    return CLOSING + (EXPLAINED + attended) * mapped + PAINTED * attended * judged + EXPORTED * judged


def memory_of(plan: Plan, found: Fingerprint, pace: Pace, *, workers: int | None = None) -> float:
    """GiB at the peak, summed over all processes."""
    hands = default_workers() if workers is None else workers
    slices, members, batch = plan.slices.value, plan.members.value, plan.batch.value
    height, width = plan.size.value
    decoded = COPIES * 4 * found.frames * found.height * found.width
    shown = 4 * slices * plan.channels.value * height * width
    viewed = PREFETCHED * (1 + plan.cached_views.value) * shown
    # Weights, their gradient, and the two moments of AdamW for the member that is trained.
    network = pace.front_bytes + pace.tail_bytes * (members + 3)
    step = batch * (pace.saved + 4 * pace.activation + (0 if plan.cached_views.value else shown))
    together = 1 if plan.dimension.value == "3d" else min(TOGETHER, max(32, slices))
    front = pace.largest * together + viewed
    bytes_at_once = network + max(step, front) + hands * max(decoded, viewed)
    return BASE_GIB + hands * WORKER_GIB + bytes_at_once / GIB


def disk_of(plan: Plan, found: Fingerprint, pace: Pace) -> float:
    """GiB of store, cache, checkpoints and bundle."""
    height, width = plan.size.value
    kept, views = cases_of(found).kept, plan.cached_views.value
    store = kept * plan.slices.value * stored_channels(plan) * height * width * 2
    cache = kept * (1 + views) * pace.activation * WIDTH[plan.cache_precision.value] if views else 0
    # The best and the last checkpoint, each with the moments of AdamW; then weights, bundle, ONNX and its copy.
    weights = 6 * pace.tail_bytes + 4 * (pace.front_bytes + plan.members.value * pace.tail_bytes)
    return (store + cache + weights) / GIB


def cost_of(plan: Plan, found: Fingerprint, pace: Pace, *, workers: int | None = None) -> Decision[Cost]:
    """Estimate time, peak memory and disk, and tell what they are made of."""
    seconds = seconds_of(plan, found, pace, workers=workers)
    shown = 1 if plan.dimension.value == "3d" else plan.slices.value
    value = Cost(
        minutes=round(sum(seconds.values()) / 60, 2),
        memory=round(memory_of(plan, found, pace, workers=workers), 2),
        disk=round(disk_of(plan, found, pace), 2),
        measured={
            "front_images_per_second": round(shown / pace.front, 1),
            "tail_images_per_second": round(shown / pace.step, 1),
            "predict_images_per_second": round(shown / (pace.front + pace.tail * plan.members.value), 1),
            **{f"{name}_seconds": round(value, 1) for name, value in seconds.items()},
        },
    )
    told = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    share = _epochs_run(plan)
    early = "" if share == ALL_EPOCHS else f"; stopping early after {share:.0%} of the epochs"
    return Decision(value=value, reason=f"measured on this machine ({pace.device}): {told}{early}")
