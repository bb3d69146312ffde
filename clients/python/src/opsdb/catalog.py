"""What the service tells about its tables."""

from __future__ import annotations

from typing import Iterable, Mapping

from opsdb.errors import NotFound, PermissionDenied
from opsdb.retry import Deadline, RetryPolicy
from opsdb.steps import Method, Steps, call
from opsdb.v1 import catalog_service_pb2 as pb

_DESCRIBE = Method("CatalogService", "DescribeTable")
_LIST = Method("CatalogService", "ListTables")


class Catalog:
    """The types of columns, asked for once for each table: they tell a list for json from one for an array."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._types: dict[str, Mapping[str, str]] = {}

    def tables(self, deadline: Deadline) -> Steps[list[pb.TableName]]:
        answer = yield from call(_LIST, pb.ListTablesRequest(), self._policy, deadline)
        return list(answer.tables)

    def describe(self, table: str, deadline: Deadline) -> Steps[pb.Table]:
        request = pb.DescribeTableRequest(table=table)
        answer = yield from call(_DESCRIBE, request, self._policy, deadline)
        self._types[table] = {column.name: column.type for column in answer.table.columns}
        described: pb.Table = answer.table
        return described

    def types(self, tables: Iterable[str], deadline: Deadline) -> Steps[dict[str, Mapping[str, str]]]:
        """Column types by table. Empty for a table that is unknown or may not be looked at: the call itself tells."""
        found: dict[str, Mapping[str, str]] = {}
        for table in dict.fromkeys(tables):
            if table not in self._types:
                try:
                    yield from self.describe(table, deadline)
                except NotFound:
                    pass
                except PermissionDenied:
                    self._types[table] = {}
            found[table] = self._types.get(table, {})
        return found

    def knows(self, tables: Iterable[str]) -> bool:
        """Whether the types of one of these tables are remembered, and so may be out of date."""
        return any(self._types.get(table) for table in tables)

    def forget(self, tables: Iterable[str]) -> None:
        for table in tables:
            self._types.pop(table, None)
