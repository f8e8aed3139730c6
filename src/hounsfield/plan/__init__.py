"""From a cohort's fingerprint to a Plan; each rule gives its reason."""

from hounsfield.plan.fingerprint import Fingerprint, fingerprint
from hounsfield.plan.make import check_plan, make_plan, plan_from

__all__ = ["Fingerprint", "check_plan", "fingerprint", "make_plan", "plan_from"]
