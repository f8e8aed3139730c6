"""Files in, probabilities out, from a Triton server: by gRPC or HTTP, images of any sizes together.

    hounsfield export RUN --triton models
    serving/triton/serve models
    python examples/ask_triton.py RUN IMAGES --server grpc://127.0.0.1:8001
    python examples/ask_triton.py RUN IMAGES --server http://127.0.0.1:8000

RUN is a run folder or a bundle, IMAGES a folder of DICOM, NIfTI or picture files.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hounsfield.errors import HounsfieldError
from hounsfield.predict import bundle_at
from hounsfield.serve import TritonClient


def main() -> None:
    """Print a line for each case: its pseudonym, the probabilities, the decision, and why it is not to be believed, if so."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--server", default="grpc://127.0.0.1:8001")
    parser.add_argument("--name", default="hounsfield", help="what Triton calls the model")
    arguments = parser.parse_args()
    try:
        bundle = bundle_at(arguments.run)
        with TritonClient(bundle, arguments.server, name=arguments.name) as client:
            predictions, cohort = client.predict(arguments.images)
    except HounsfieldError as error:
        sys.exit(str(error))
    columns = ["case", *(f"probability:{name}" for name in bundle.outputs), "decision", "abstention"]
    for row in predictions.table.select(
        column for column in columns if column in predictions.table.columns
    ).iter_rows():
        print(*(f"{value:.3f}" if isinstance(value, float) else value or "" for value in row), sep="\t")
    for item, kind, _, reason in cohort.quarantine.iter_rows():
        print(f"not predicted: {kind} {item}: {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
