"""Conditioning: what depends on one case's tags or content, as named rules. The Plan names the rule and its reason."""

from hounsfield.prepare.conditioning.hounsfield import looks_hounsfield
from hounsfield.prepare.conditioning.rules import RULES, Rule, check_rule, condition, conditioned, describe, pictures
from hounsfield.prepare.conditioning.voi import apply_table, apply_window

__all__ = [
    "RULES", "Rule", "apply_table", "apply_window", "check_rule", "condition", "conditioned", "describe",
    "looks_hounsfield", "pictures",
]  # fmt: skip
