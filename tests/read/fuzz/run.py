"""Fuzz the reader: python -m tests.read.fuzz.run --count 10000 --seed 1. Prints the table of reasons and what was found.

Files with which something was wrong stay in --keep. --only N writes and reads one file of a run again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.conftest import DEFAULT_DATA
from tests.read.fuzz.harness import MEMORY_MB, Mutations, fuzz, read_both


def main() -> int:
    """Run, print, and return 1 where a defect, a leak, a worker's death or too much memory was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="a folder for the files with which something was wrong")
    parser.add_argument(
        "--only", type=int, help="write this one file of the run to --keep, and read it in this process"
    )
    given = parser.parse_args()
    place = Path(os.environ.get("HOUNSFIELD_DATA") or DEFAULT_DATA).resolve()
    data = place if place.is_dir() else None
    with TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if given.only is not None:
            mutations = Mutations(folder, given.count, given.seed, data)
            print(mutations.origin(given.only), read_both(mutations[given.only]))  # noqa: T201
            return 0
        started = time.monotonic()
        report = fuzz(folder, given.count, given.seed, data, workers=given.workers)
    print(f"{given.count} files, seed {given.seed}, {time.monotonic() - started:.0f} s\n{report}")  # noqa: T201
    return int(bool(report.defects or report.leaks or report.deaths or report.peak[0] > MEMORY_MB))


if __name__ == "__main__":
    sys.exit(main())
