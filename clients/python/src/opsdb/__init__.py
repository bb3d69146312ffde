"""Client of ops-db-api: write to and read from an observatory's database from any of its sites.

    from opsdb import OpsDb, insert

    with OpsDb("127.0.0.1:8080") as db:
        db.write(insert("weather_samples", {"station": "cerro", "sampled_at": now, "pwv_mm": 0.42}))
        for row in db.query("weather_samples", where={"station": "cerro"}, order_by="-sampled_at", limit=10):
            print(row["sampled_at"], row["pwv_mm"])

The generated messages and stubs are in opsdb.v1.
"""

from opsdb.async_client import AsyncOpsDb, AsyncQueryResult
from opsdb.client import OpsDb, QueryResult
from opsdb.conditions import Condition, Related, asc, col, desc
from opsdb.connection import Tls
from opsdb.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    OpsDbError,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    WriteRejected,
)
from opsdb.mutations import Mutation, delete, insert, update, upsert
from opsdb.results import QueryHeader, Rejection, ReplicationEvent, Row, WriteResult, WriteStatus
from opsdb.retry import RetryPolicy
from opsdb.values import Json
from opsdb.write_id import new_write_id

__all__ = [
    "AlreadyExists",
    "AsyncOpsDb",
    "AsyncQueryResult",
    "Condition",
    "DeadlineExceeded",
    "FailedPrecondition",
    "InvalidRequest",
    "Json",
    "Mutation",
    "NotFound",
    "OpsDb",
    "OpsDbError",
    "PermissionDenied",
    "QueryHeader",
    "QueryResult",
    "Rejection",
    "Related",
    "ReplicationEvent",
    "ResourceExhausted",
    "RetryPolicy",
    "Row",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "WriteRejected",
    "WriteResult",
    "WriteStatus",
    "asc",
    "col",
    "delete",
    "desc",
    "insert",
    "new_write_id",
    "update",
    "upsert",
]
