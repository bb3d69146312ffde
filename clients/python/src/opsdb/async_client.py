"""The client for asyncio."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any, AsyncIterator, Mapping, Optional, Sequence, TypeVar, Union

import grpc
import grpc.aio

from opsdb import reading, watching, writing
from opsdb.catalog import Catalog
from opsdb.conditions import OrderBy, Related, Where
from opsdb.connection import Stubs, Target, Tls, Token
from opsdb.errors import OpsDbError, from_rpc_error
from opsdb.frames import to_columns, to_pandas
from opsdb.mutations import Mutation
from opsdb.reading import AggregateSpec, ReadOptions, SqlQuery, TableQuery
from opsdb.results import QueryHeader, ReplicationEvent, Row, WriteResult, WriteStatus
from opsdb.retry import Deadline, RetryPolicy
from opsdb.steps import Call, Emit, Open, Pause, Steps
from opsdb.v1 import catalog_service_pb2

T = TypeVar("T")


class AsyncOpsDb:
    """A connection to the service of one site, with the methods of OpsDb, for one event loop.

    async with AsyncOpsDb("127.0.0.1:8080") as db:
        await db.write(insert("weather_samples", {"station": "cerro", "sampled_at": now, "pwv_mm": 0.42}))
        async for row in db.query("weather_samples", where={"station": "cerro"}): ...
    """

    def __init__(
        self,
        address: str,
        *,
        token: Optional[Token] = None,
        tls: Union[Tls, bool, None] = None,
        timeout: float = 30.0,
        retry: RetryPolicy = RetryPolicy(),
        allow_plaintext_token: bool = False,
    ) -> None:
        """The parameters are those of OpsDb."""
        self._target = Target(address, token, tls, allow_plaintext_token)
        self._channel: Any = None
        self._stubs: Any = None
        self._timeout = timeout
        self._policy = retry
        self._catalog = Catalog(retry)

    @property
    def channel(self) -> grpc.aio.Channel:
        """For the generated stubs in opsdb.v1, for what has no method here."""
        return self._open()[0]

    def metadata(self) -> list[tuple[str, str]]:
        """The metadata with the token, for calls through the generated stubs."""
        return self._target.metadata()

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def __aenter__(self) -> AsyncOpsDb:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def write(
        self,
        *mutations: Mutation,
        wait_for: str = "accepted",
        mode: str = "critical",
        write_id: Union[uuid.UUID, str, None] = None,
        timeout: Optional[float] = None,
    ) -> WriteResult:
        """As OpsDb.write."""
        return await self._run(
            writing.write(
                self._catalog,
                self._policy,
                mutations,
                write_id=write_id,
                mode=mode,
                wait_for=wait_for,
                timeout=self._within(timeout),
            )
        )

    async def get_write(self, write_id: Union[uuid.UUID, str], *, timeout: Optional[float] = None) -> WriteStatus:
        """As OpsDb.get_write."""
        return await self._run(writing.get_write(self._policy, write_id, self._within(timeout)))

    def query(
        self,
        table: str,
        columns: Sequence[str] = (),
        *,
        where: Optional[Where] = None,
        order_by: Union[OrderBy, Sequence[OrderBy]] = (),
        limit: Optional[int] = None,
        aggregates: Optional[Mapping[str, AggregateSpec]] = None,
        group_by: Sequence[str] = (),
        related: Sequence[Related] = (),
        consistency: str = "merged",
        token: Optional[bytes] = None,
        max_age: Union[timedelta, float, None] = None,
        batch_size: int = 0,
        timeout: Optional[float] = None,
    ) -> AsyncQueryResult:
        """As OpsDb.query."""
        asked = TableQuery(table, columns, where, order_by, limit, aggregates, group_by, related)
        return self._query(asked, ReadOptions(consistency, token, max_age, batch_size, timeout))

    def sql(
        self,
        statement: str,
        *parameters: Any,
        limit: Optional[int] = None,
        consistency: str = "merged",
        token: Optional[bytes] = None,
        max_age: Union[timedelta, float, None] = None,
        batch_size: int = 0,
        timeout: Optional[float] = None,
    ) -> AsyncQueryResult:
        """As OpsDb.sql."""
        asked = SqlQuery(statement, parameters, limit)
        return self._query(asked, ReadOptions(consistency, token, max_age, batch_size, timeout))

    def watch_replication(
        self,
        *,
        write_id: Union[uuid.UUID, str, None] = None,
        lsn: Optional[str] = None,
        until_done: bool = False,
        heartbeat: Optional[float] = None,
    ) -> AsyncIterator[ReplicationEvent]:
        """As OpsDb.watch_replication."""
        return self._stream(
            watching.watch_replication(
                self._policy,
                write_id=write_id,
                lsn=lsn,
                until_done=until_done,
                heartbeat=heartbeat,
                patience=self._timeout,
            )
        )

    def watch_writes(
        self,
        *,
        report: str = "replicated",
        after_position: Optional[str] = None,
        rejected_only: bool = False,
    ) -> AsyncIterator[WriteStatus]:
        """As OpsDb.watch_writes."""
        return self._stream(
            watching.watch_writes(
                self._policy,
                report=report,
                after_position=after_position,
                rejected_only=rejected_only,
                patience=self._timeout,
            )
        )

    async def tables(self, *, timeout: Optional[float] = None) -> list[catalog_service_pb2.TableName]:
        """As OpsDb.tables."""
        return await self._run(self._catalog.tables(Deadline(self._within(timeout))))

    async def describe(self, table: str, *, timeout: Optional[float] = None) -> catalog_service_pb2.Table:
        """As OpsDb.describe."""
        return await self._run(self._catalog.describe(table, Deadline(self._within(timeout))))

    def _within(self, timeout: Optional[float]) -> float:
        return self._timeout if timeout is None else timeout

    def _query(self, asked: Union[TableQuery, SqlQuery], options: ReadOptions) -> AsyncQueryResult:
        return AsyncQueryResult(self._stream(reading.query(self._catalog, self._policy, asked, options, self._timeout)))

    def _open(self) -> tuple[Any, Stubs]:
        """The channel belongs to the event loop that runs when it is made."""
        if self._channel is None:
            self._channel = self._target.open(grpc.aio)
            self._stubs = Stubs(self._channel)
        return self._channel, self._stubs

    def _begin(self, step: Union[Call, Open]) -> Any:
        method = self._open()[1].method(step.method.service, step.method.name)
        ready = isinstance(step, Call) and step.wait_for_ready
        return method(step.request, timeout=step.timeout, metadata=self._target.metadata(), wait_for_ready=ready)

    async def _run(self, steps: Steps[T]) -> T:
        """Carries the steps of a unary call out."""
        answer: Any = None
        error: Optional[OpsDbError] = None
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer = error = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Call):
                try:
                    answer = await self._begin(step)
                except grpc.RpcError as failed:
                    error = from_rpc_error(failed)

    async def _stream(self, steps: Steps[None]) -> AsyncIterator[Any]:
        """Carries the steps of a stream out; gives what they emit."""
        answer: Any = None
        error: Optional[OpsDbError] = None
        stream: Any = None
        try:
            while True:
                try:
                    step = steps.send(answer) if error is None else steps.throw(error)
                except StopIteration:
                    return
                answer = error = None
                if isinstance(step, Emit):
                    yield step.item
                elif isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                elif isinstance(step, Open):
                    stream = self._begin(step)
                else:
                    try:
                        if isinstance(step, Call):
                            answer = await self._begin(step)
                        else:
                            answer = await stream.read()
                            if answer is grpc.aio.EOF:
                                answer = None
                    except grpc.RpcError as failed:
                        error = from_rpc_error(failed)
        finally:
            steps.close()
            if stream is not None:
                stream.cancel()


class AsyncQueryResult:
    """The rows of a query, once: iterate over it, or take all of it by all, to_columns or to_pandas."""

    def __init__(self, parts: AsyncIterator[Any]) -> None:
        self._parts = parts
        self._header: Optional[QueryHeader] = None
        self._rows = self._read()

    def __aiter__(self) -> AsyncIterator[Row]:
        return self._rows

    async def __anext__(self) -> Row:
        return await self._rows.__anext__()

    async def header(self) -> QueryHeader:
        """The columns, and what was read."""
        if self._header is None:
            first = await self._parts.__anext__()
            assert isinstance(first, QueryHeader)
            self._header = first
        return self._header

    async def all(self) -> list[Row]:
        """All rows that are left."""
        return [row async for row in self._rows]

    async def one(self) -> Row:
        """The only row. Raises ValueError where there is none, or more than one."""
        (row,) = await self.all()
        return row

    async def to_columns(self) -> dict[str, list[Any]]:
        """The rows that are left, by column."""
        rows = await self.all()
        return to_columns((await self.header()).columns, rows)

    async def to_pandas(self) -> Any:
        """The rows that are left as a pandas.DataFrame."""
        rows = await self.all()
        return to_pandas((await self.header()).columns, rows)

    async def close(self) -> None:
        """Ends a result of which not all is wanted."""
        await self._parts.aclose()  # type: ignore[attr-defined]

    async def __aenter__(self) -> AsyncQueryResult:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _read(self) -> AsyncIterator[Row]:
        async for part in self._parts:
            if isinstance(part, QueryHeader):
                self._header = part
            else:
                for row in part:
                    yield row
