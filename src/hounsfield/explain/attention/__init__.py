"""The audit of attention: over a whole part, do maps lie on the body and on lesions, or on labels, markers, lines and borders?"""

from hounsfield.explain.attention.attend import POINTERS, attend
from hounsfield.explain.attention.judge import Attention, judge_looks
from hounsfield.explain.attention.names import ZONES
from hounsfield.explain.attention.write import write_attention
from hounsfield.explain.attention.zones import zones_of

__all__ = ["POINTERS", "ZONES", "Attention", "attend", "judge_looks", "write_attention", "zones_of"]
