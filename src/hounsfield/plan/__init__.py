"""From a cohort's fingerprint to a Plan; each rule gives its reason."""

from hounsfield.plan.budget import Budget, seconds_of_text
from hounsfield.plan.check import check_plan
from hounsfield.plan.fingerprint import Fingerprint, fingerprint
from hounsfield.plan.make import make_plan, plan_from

__all__ = ["Budget", "Fingerprint", "check_plan", "fingerprint", "make_plan", "plan_from", "seconds_of_text"]
