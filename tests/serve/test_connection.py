"""What is said before any server is asked."""

from __future__ import annotations

import sys

import pytest

from hounsfield.errors import ServeError, UsageError
from hounsfield.serve.connection import Connection


@pytest.mark.parametrize("address", ["127.0.0.1:8001", "ftp://127.0.0.1:8001", "grpc://127.0.0.1", "://:", ""])
def test_an_address_has_a_protocol_and_a_port(address: str) -> None:
    with pytest.raises(UsageError, match="not the address of a Triton server"):
        Connection(address, "hounsfield", 1.0)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_without_the_extra_it_says_what_to_install(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"tritonclient.{protocol}", None)
    with pytest.raises(UsageError, match=r"pip install 'hounsfield\[serve\]'"):
        Connection(f"{protocol}://127.0.0.1:8001", "hounsfield", 1.0)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_where_nobody_listens_it_says_so(protocol: str) -> None:
    pytest.importorskip(f"tritonclient.{protocol}", reason="tritonclient is not installed")
    connection = Connection(f"{protocol}://127.0.0.1:1", "hounsfield", 2.0)
    with pytest.raises(ServeError, match="no Triton server answers"):
        connection.version()
    connection.close()
