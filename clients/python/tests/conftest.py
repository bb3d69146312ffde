"""What the tests against two real sites need; test/clients/python.test.ts starts the sites and says where they are."""

from __future__ import annotations

import json
import os
import urllib.parse
import urllib.request
from typing import Any

import pytest


class Sites:
    """The service of the secondary site, behind a link that can be cut, and what can be done to it."""

    def __init__(self, described: dict[str, Any]) -> None:
        #: host:port of the secondary site's service, through the link.
        self.address: str = described["address"]
        #: host:port of the main site's service.
        self.main: str = described["main"]
        #: host:port of a process of the same site with TLS and tokens, and what goes with it; None without openssl.
        self.secured: dict[str, Any] | None = described.get("secured")
        self._control: str = described["control"]

    def control(self, action: str, **parameters: str) -> Any:
        url = f"{self._control}/{action}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=60) as answer:
            return json.load(answer)


@pytest.fixture
def sites() -> Sites:
    described = os.environ.get("OPSDB_TEST_SITES")
    if described is None:
        pytest.skip("needs two running sites: test/clients/python.test.ts starts them")
    return Sites(json.loads(described))
