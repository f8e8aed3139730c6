"""One model of a Triton server behind HTTP or gRPC: its configuration, requests, statistics; every failure is a ServeError."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hounsfield.errors import ServeError, UsageError

_SCHEMES = {"grpc": ("grpc", False), "grpcs": ("grpc", True), "http": ("http", False), "https": ("http", True)}
_TYPES = {np.dtype(np.float32): "FP32", np.dtype(np.float64): "FP64"}


class Connection:
    """A server and the name of a model; may be used by several threads at a time.

    Parameters
    ----------
    server:
        `grpc://HOST:PORT` or `http://HOST:PORT`, with an s for TLS.
    name:
        Of the model.
    seconds:
        How long an answer may take.

    Raises
    ------
    UsageError
        If the address is not of that form, or tritonclient is not installed.
    """

    def __init__(self, server: str, name: str, seconds: float) -> None:
        scheme, found, address = server.partition("://")
        if not found or scheme not in _SCHEMES or ":" not in address:
            raise UsageError(
                f"{server!r} is not the address of a Triton server", fix="For example: grpc://127.0.0.1:8001, or http://127.0.0.1:8000."
            )  # fmt: skip
        self.protocol, self._tls = _SCHEMES[scheme]
        self.server, self.name, self._address, self._seconds = server, name, address.rstrip("/"), seconds
        try:
            self._library = importlib.import_module(f"tritonclient.{self.protocol}")
        except ImportError as error:
            raise UsageError(
                "tritonclient is not installed", fix="Install it with: pip install 'hounsfield[serve]'"
            ) from error
        # Triton's HTTP client is not thread-safe: each thread has a client of its own.
        self._local, self._lock = threading.local(), threading.Lock()
        self._clients: list[Any] = []

    def close(self) -> None:
        """Close all connections; those of other threads too."""
        with self._lock:
            for client in self._clients:
                client.close()
            self._clients.clear()
            self._local = threading.local()

    def version(self) -> str:
        """Name and version of the server."""
        found = self._asked(lambda client: client.get_server_metadata(**self._as_json))
        return f"{found['name']} {found['version']}"

    def config(self) -> dict[str, Any]:
        """The configuration of the model, as the server has it; a ServeError where it is not ready to answer."""
        if not self._asked(lambda client: client.is_model_ready(self.name)):
            raise ServeError(
                f"the server has no model {self.name!r} that is ready", where=self.server,
                fix="Give the name under which it was exported, or look at what the server says of it.",
            )  # fmt: skip
        found = self._asked(lambda client: client.get_model_config(self.name, **self._as_json))
        return found.get("config", found)  # gRPC wraps it

    def counts(self, model: str) -> tuple[int, int]:
        """How many images a model of the server has answered, and in how many runs, over all its versions."""
        found = self._asked(lambda client: client.get_inference_statistics(model, **self._as_json))["model_stats"]
        images, runs = (sum(int(one.get(f"{what}_count", 0)) for one in found) for what in ("inference", "execution"))
        return images, runs

    def infer(self, inputs: Mapping[str, np.ndarray], outputs: list[str]) -> dict[str, np.ndarray]:
        """Send one request and return the outputs that were asked for."""
        library = self._library
        given = []
        for name, values in inputs.items():
            tensor = library.InferInput(name, list(values.shape), _TYPES[values.dtype])
            tensor.set_data_from_numpy(values)
            given.append(tensor)
        wanted = [library.InferRequestedOutput(name) for name in outputs]
        limit = {"client_timeout": self._seconds} if self.protocol == "grpc" else {}
        answer = self._asked(lambda client: client.infer(self.name, given, outputs=wanted, **limit))
        return {name: answer.as_numpy(name) for name in outputs}

    @property
    def _as_json(self) -> dict[str, bool]:
        return {"as_json": True} if self.protocol == "grpc" else {}

    def _client(self) -> Any:
        if not hasattr(self._local, "client"):
            limits = {} if self.protocol == "grpc" else {
                "connection_timeout": self._seconds, "network_timeout": self._seconds,
            }  # fmt: skip
            client = self._library.InferenceServerClient(self._address, ssl=self._tls, **limits)
            self._local.client = client
            with self._lock:
                self._clients.append(client)
        return self._local.client

    def _asked(self, question: Callable[[Any], Any]) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return question(self._client())
        except InferenceServerException as error:
            if "UNAVAILABLE" in str(error.status()):
                raise self._silent() from error
            if "DEADLINE" in str(error.status()):
                raise self._late() from error
            told = (error.message() or "it gave no reason").splitlines()[0].partition(" NOTE:")[0]
            raise ServeError(f"the server refused: {told}", where=f"{self.server} {self.name}") from error
        except TimeoutError as error:
            raise self._late() from error
        except (OSError, EOFError) as error:
            raise self._silent() from error

    def _silent(self) -> ServeError:
        return ServeError(
            "no Triton server answers", where=self.server, fix="Start one: see the page on Triton, docs/triton.md."
        )

    def _late(self) -> ServeError:
        return ServeError(
            f"there was no answer within {self._seconds:g} seconds", where=self.server,
            fix="Send fewer requests at a time, or wait longer (seconds).",
        )  # fmt: skip
