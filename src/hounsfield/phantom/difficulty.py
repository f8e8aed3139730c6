"""How hard the phantom's task is."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Difficulty:
    """The knobs that decide how well a network can do; each range is drawn from uniformly.

    Attributes
    ----------
    nodule_mm:
        Diameter of the nodules.
    nodule_hu:
        Their value in the middle: near 40 as bright as a vessel, lower for subsolid ones that are harder to see.
    edge_mm:
        Width of the nodule's soft edge.
    distractors:
        Fewest and most thick vessels that cross the slices, in patients with and without a nodule alike.
    distractor_mm:
        Their diameter: the nearer to `nodule_mm`, the harder.
    granulomas:
        Fewest and most small dense dots.
    noise_hu:
        Deviation of the noise at centres A and B.
    prevalence:
        Share of patients with a nodule.
    """

    nodule_mm: Range = (24.0, 34.0)
    nodule_hu: Range = (0.0, 80.0)
    edge_mm: float = 3.0
    distractors: tuple[int, int] = (0, 1)
    distractor_mm: Range = (5.0, 9.0)
    granulomas: tuple[int, int] = (0, 2)
    noise_hu: tuple[float, float] = (14.0, 22.0)
    prevalence: float = 0.45


DEFAULT = Difficulty()
