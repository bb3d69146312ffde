"""Token, TLS and write ids."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opsdb import AsyncOpsDb, OpsDb, Tls, Unauthenticated, new_write_id
from opsdb.connection import Target


def test_a_token_is_sent_in_plain_text_to_this_host_alone_unless_that_is_wanted():
    for address in ("127.0.0.1:1", "localhost:1", "[::1]:1", "unix:/tmp/x"):
        assert Target(address, "t", None, False).metadata() == [("authorization", "Bearer t")]
    with pytest.raises(ValueError, match="without TLS"):
        OpsDb("ops.example:1", token="t")
    Target("ops.example:1", "t", True, False)
    Target("ops.example:1", "t", None, True)
    Target("ops.example:1", None, None, False)


def test_a_token_that_expires_is_asked_for_each_time():
    tokens = iter("ab")
    target = Target("127.0.0.1:1", lambda: next(tokens), None, False)
    assert [target.metadata(), target.metadata()] == [[("authorization", "Bearer a")], [("authorization", "Bearer b")]]


def test_a_certificate_goes_with_its_key():
    with pytest.raises(ValueError, match="go together"):
        Tls(cert_file="cert.pem").credentials()


def test_write_ids_are_of_version_7_different_and_sort_by_time():
    before = time.time_ns() // 1_000_000
    ids = [new_write_id() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert len(set(ids)) == 1000
    for each in ids:
        assert each.version == 7 and each.variant == "specified in RFC 4122"
        assert before <= each.int >> 80 <= after


class Door(grpc.GenericRpcHandler):
    """A server that keeps the metadata of each call and lets nobody in."""

    def __init__(self):
        self.tokens = []

    def service(self, call):
        self.tokens += [value for key, value in call.invocation_metadata if key == "authorization"]
        refuse = lambda _, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")  # noqa: E731
        if call.method.endswith(("/Query", "/WatchReplication", "/WatchWrites")):
            return grpc.unary_stream_rpc_method_handler(refuse)
        return grpc.unary_unary_rpc_method_handler(refuse)


@pytest.fixture
def door():
    server = grpc.server(ThreadPoolExecutor(2))
    door = Door()
    server.add_generic_rpc_handlers((door,))
    door.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield door
    server.stop(None).wait()


def test_every_call_has_the_token_and_a_refusal_is_not_repeated(door):
    with OpsDb(door.address, token="t") as db:
        for call in (
            db.tables,
            db.query("t").all,
            lambda: next(db.watch_replication()),
            lambda: db.get_write(new_write_id()),
        ):
            with pytest.raises(Unauthenticated):
                call()

    async def session():
        async with AsyncOpsDb(door.address, token="t") as db:
            for call in (db.tables, db.query("t").all, db.watch_replication().__anext__):
                with pytest.raises(Unauthenticated):
                    await call()

    asyncio.run(session())
    assert door.tokens == ["Bearer t"] * 7
