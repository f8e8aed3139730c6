"""What was answered so far, on the disk, so that a prediction of many cases goes on after an interruption."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from hounsfield.core import files
from hounsfield.errors import OutputError
from hounsfield.predict.suit import Seen


class Journal:
    """A file with a line of JSON per case, begun with what it belongs to; one of anything else is begun anew.

    It holds keys of cases, logits and what the input check saw, and no patient data. A last line that was cut off by the
    interruption does not count. Cases that could not be read are not kept: their files may be back.

    Parameters
    ----------
    path:
        The file; its folder is made.
    belongs:
        Whatever must be the same for lines to be of use: the bundle, the runtime, the cohort.
    """

    def __init__(self, path: Path, belongs: dict[str, str]) -> None:
        self.path = path
        self._head = json.dumps(belongs, sort_keys=True)
        files.make_folder(path.parent)
        self.known = self._read()
        self._file = self._begin()

    def note(self, case: str, logits: np.ndarray, weights: np.ndarray | None, seen: Seen | None) -> None:
        """Add a case: logits (members, outputs), weights (slices,)."""
        line = {
            "case": case, "logits": logits.tolist(), "weights": None if weights is None else weights.tolist(),
            "seen": None if seen is None else asdict(seen),
        }  # fmt: skip
        self._write(json.dumps(line) + "\n")

    def flush(self) -> None:
        """Hand what was noted to the system: it then outlives this process."""
        self._file.flush()

    def end(self) -> None:
        """Remove the file: what it held is written elsewhere now."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, dict[str, Any]]:
        if not self.path.exists():
            return {}
        lines = self.path.read_text(encoding="utf-8").split("\n")
        if lines[0] != self._head:
            return {}
        # What follows the last line break is the beginning of a line at best.
        return {row["case"]: row for row in map(json.loads, lines[1:-1])}

    def _begin(self) -> IO[str]:
        """Open the file with what is known of it and nothing behind; a half line would spoil the next one."""
        with files.replacing(self.path) as partial, partial.open("w", encoding="utf-8") as file:
            file.write(self._head + "\n")
            file.writelines(json.dumps(row) + "\n" for row in self.known.values())
        return self.path.open("a", encoding="utf-8")

    def _write(self, text: str) -> None:
        try:
            self._file.write(text)
        except OSError as error:
            raise OutputError(f"cannot write: {error.strerror or error}", where=self.path) from error
