"""Token, TLS and write ids."""

from __future__ import annotations

import time

import pytest
from opsdb import OpsDb, Tls, new_write_id
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
