"""What is wrong with a cohort, or might be, told before anything is trained on it."""

import sys
from typing import TYPE_CHECKING

from hounsfield.lazy import lazily, with_verbs

if TYPE_CHECKING:
    from hounsfield.audit.audit import audit
    from hounsfield.audit.record import Audit

__all__ = ["Audit", "audit"]

sys.modules[__name__].__class__ = with_verbs(
    ("audit",), "hounsfield.audit.audit"
)  # though its module has the same name
__getattr__ = lazily(__name__, {"Audit": "hounsfield.audit.record"})
