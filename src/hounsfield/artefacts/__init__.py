"""Things in a picture that a classifier must not learn from: burned-in text, side markers, device lines, borders."""

from hounsfield.artefacts.find import content_box, find, find_in, pixels_of
from hounsfield.artefacts.finding import Artefact, mask_of

__all__ = ["Artefact", "content_box", "find", "find_in", "mask_of", "pixels_of"]
