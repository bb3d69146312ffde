"""The connection: address, TLS, token, and how a dead one is noticed."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional, Union

import grpc

from opsdb.v1 import (
    catalog_service_pb2_grpc,
    query_service_pb2_grpc,
    replication_service_pb2_grpc,
    write_service_pb2_grpc,
)

#: The token itself, or what returns it anew for each attempt, for tokens that expire.
Token = Union[str, Callable[[], str]]
_Path = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Tls:
    """TLS, by PEM files."""

    #: Certificates of the authorities that the server's is checked with. None: those that come with gRPC.
    ca_file: Optional[_Path] = None
    #: This client's own certificate and key, where the server asks for them.
    cert_file: Optional[_Path] = None
    key_file: Optional[_Path] = None
    #: The name in the server's certificate, where it is not that of the address.
    server_name: Optional[str] = None

    def credentials(self) -> grpc.ChannelCredentials:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return grpc.ssl_channel_credentials(_read(self.ca_file), _read(self.key_file), _read(self.cert_file))


class Target:
    """Where the service is, and how it is to be spoken to."""

    def __init__(
        self, address: str, token: Optional[Token], tls: Union[Tls, bool, None], allow_plaintext_token: bool
    ) -> None:
        self.address = address
        self._token = token
        self._tls = Tls() if tls is True else tls or None
        if token is not None and self._tls is None and not (allow_plaintext_token or _is_loopback(address)):
            raise ValueError(
                "without TLS the token could be read on the way; give tls, or allow_plaintext_token=True in a network"
                " that you trust"
            )

    def open(self, grpc_module: Any) -> Any:
        """A channel of grpc or of grpc.aio."""
        options: list[tuple[str, Any]] = list(_options)
        if self._tls is None:
            return grpc_module.insecure_channel(self.address, options=options)
        if self._tls.server_name:
            options.append(("grpc.ssl_target_name_override", self._tls.server_name))
        return grpc_module.secure_channel(self.address, self._tls.credentials(), options=options)

    def metadata(self) -> list[tuple[str, str]]:
        if self._token is None:
            return []
        token = self._token() if callable(self._token) else self._token
        return [("authorization", f"Bearer {token}")]


class Stubs:
    """The generated stubs by the name of their service."""

    def __init__(self, channel: Any) -> None:
        self.WriteService = write_service_pb2_grpc.WriteServiceStub(channel)  # type: ignore[no-untyped-call]
        self.QueryService = query_service_pb2_grpc.QueryServiceStub(channel)  # type: ignore[no-untyped-call]
        self.ReplicationService = replication_service_pb2_grpc.ReplicationServiceStub(channel)  # type: ignore[no-untyped-call]
        self.CatalogService = catalog_service_pb2_grpc.CatalogServiceStub(channel)  # type: ignore[no-untyped-call]

        self.Health = _Health(channel)

    def method(self, service: str, name: str) -> Any:
        return getattr(getattr(self, service), name)


class _Health:
    """For a look whether there is a connection; what the answer says does not matter."""

    def __init__(self, channel: Any) -> None:
        self.Check = channel.unary_unary("/grpc.health.v1.Health/Check")


_options = (
    # A connection that nothing comes back on is noticed although nobody tells, also while a watch is quiet.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A server that is back is found soon; a handshake over a long link has the time that it takes.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Attempts are repeated here, where the deadline and the write's id are known.
    ("grpc.enable_retries", 0),
    # How large a batch of rows is, is the server's business.
    ("grpc.max_receive_message_length", -1),
    # Each client has a connection of its own.
    ("grpc.use_local_subchannel_pool", 1),
)


def _read(path: Optional[_Path]) -> Optional[bytes]:
    return None if path is None else Path(path).read_bytes()


def _is_loopback(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
