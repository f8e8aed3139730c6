"""The planner's rules: each a small function of the fingerprint, returning a decision and its reason in plain words.

`values` says what becomes of an image's values, `shape` what the network is shown, `network` what looks at it, `learning`
how that is trained.
"""

from hounsfield.plan.rules import learning, network, shape, values

__all__ = ["learning", "network", "shape", "values"]
