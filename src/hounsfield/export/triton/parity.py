"""The record of a comparison of a running Triton server with the Python path and with ONNX Runtime."""

from __future__ import annotations

from pydantic import BaseModel


class TritonParity(BaseModel):
    """Differences are the largest over all images.

    Attributes
    ----------
    server, protocol:
        Name and version of the server, and how it was asked: grpc or http.
    batch_sizes:
        How many images the requests held.
    executions:
        How often the network ran for all requests: fewer than requests where the server joined them.
    logit_difference, probability_difference, answers:
        From the Python path; `answers` as in `Parity`.
    graph_logit_difference, graph_probability_difference:
        From ONNX Runtime on the exported graph.
    """

    passed: bool
    reason: str
    bundle: str
    server: str
    protocol: str
    images: int
    requests: int
    executions: int
    sizes: list[tuple[int, int]]
    batch_sizes: list[int]
    logit_difference: float
    probability_difference: float
    graph_logit_difference: float
    graph_probability_difference: float
    decisions_equal: bool
    logit_standard_deviation: float
    answers: dict[str, float] = {}

    def __str__(self) -> str:
        verdict = "equal" if self.passed else "NOT equal"
        return (
            f"{self.server} ({self.protocol}) and Python {verdict} on {self.images} images of {len(self.sizes)} sizes in "
            f"{self.requests} requests: logits within {self.logit_difference:.1e}, probabilities within "
            f"{self.probability_difference:.1e}; the network ran {self.executions} times"
        )
