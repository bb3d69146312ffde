from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from opsdb.v1 import replication_pb2 as _replication_pb2
from opsdb.v1 import write_pb2 as _write_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
MUTATION_OPERATION_DELETE: MutationOperation
MUTATION_OPERATION_INSERT: MutationOperation
MUTATION_OPERATION_UNSPECIFIED: MutationOperation
MUTATION_OPERATION_UPDATE: MutationOperation
MUTATION_OPERATION_UPSERT: MutationOperation
RESOLUTION_KIND_DISCARDED: ResolutionKind
RESOLUTION_KIND_RETRIED: ResolutionKind
RESOLUTION_KIND_UNSPECIFIED: ResolutionKind

class AcknowledgeLossRequest(_message.Message):
    __slots__ = ["operator", "reason"]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    operator: str
    reason: str
    def __init__(self, operator: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class AcknowledgeLossResponse(_message.Message):
    __slots__ = ["loss"]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    loss: _replication_pb2.DataLoss
    def __init__(self, loss: _Optional[_Union[_replication_pb2.DataLoss, _Mapping]] = ...) -> None: ...

class ColumnText(_message.Message):
    __slots__ = ["column", "text"]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    column: str
    text: str
    def __init__(self, column: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class DiscardWriteRequest(_message.Message):
    __slots__ = ["operator", "reason", "write_id"]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WRITE_ID_FIELD_NUMBER: _ClassVar[int]
    operator: str
    reason: str
    write_id: str
    def __init__(self, write_id: _Optional[str] = ..., operator: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class DiscardWriteResponse(_message.Message):
    __slots__ = ["resolution"]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    resolution: Resolution
    def __init__(self, resolution: _Optional[_Union[Resolution, _Mapping]] = ...) -> None: ...

class Holdup(_message.Message):
    __slots__ = ["advice", "part", "reason", "since", "state"]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    advice: str
    part: str
    reason: str
    since: _timestamp_pb2.Timestamp
    state: _replication_pb2.PartState
    def __init__(self, part: _Optional[str] = ..., state: _Optional[_Union[_replication_pb2.PartState, str]] = ..., reason: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., advice: _Optional[str] = ...) -> None: ...

class ListRejectedWritesRequest(_message.Message):
    __slots__ = ["include_resolved", "page_size", "page_token", "site"]
    INCLUDE_RESOLVED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    include_resolved: bool
    page_size: int
    page_token: str
    site: str
    def __init__(self, site: _Optional[str] = ..., include_resolved: bool = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRejectedWritesResponse(_message.Message):
    __slots__ = ["next_page_token", "writes"]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    WRITES_FIELD_NUMBER: _ClassVar[int]
    next_page_token: str
    writes: _containers.RepeatedCompositeFieldContainer[RejectedWrite]
    def __init__(self, writes: _Optional[_Iterable[_Union[RejectedWrite, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class MutationText(_message.Message):
    __slots__ = ["key", "operation", "preconditions", "table", "values"]
    KEY_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    PRECONDITIONS_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    key: _containers.RepeatedCompositeFieldContainer[ColumnText]
    operation: MutationOperation
    preconditions: _containers.RepeatedScalarFieldContainer[str]
    table: str
    values: _containers.RepeatedCompositeFieldContainer[ColumnText]
    def __init__(self, table: _Optional[str] = ..., operation: _Optional[_Union[MutationOperation, str]] = ..., key: _Optional[_Iterable[_Union[ColumnText, _Mapping]]] = ..., values: _Optional[_Iterable[_Union[ColumnText, _Mapping]]] = ..., preconditions: _Optional[_Iterable[str]] = ...) -> None: ...

class Pause(_message.Message):
    __slots__ = ["operator", "reason", "since"]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    operator: str
    reason: str
    since: _timestamp_pb2.Timestamp
    def __init__(self, operator: _Optional[str] = ..., reason: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PauseDrainRequest(_message.Message):
    __slots__ = ["operator", "reason"]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    operator: str
    reason: str
    def __init__(self, operator: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PauseDrainResponse(_message.Message):
    __slots__ = ["pause"]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    pause: Pause
    def __init__(self, pause: _Optional[_Union[Pause, _Mapping]] = ...) -> None: ...

class PendingWrite(_message.Message):
    __slots__ = ["age", "position", "tables", "write_id"]
    AGE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TABLES_FIELD_NUMBER: _ClassVar[int]
    WRITE_ID_FIELD_NUMBER: _ClassVar[int]
    age: _duration_pb2.Duration
    position: str
    tables: _containers.RepeatedScalarFieldContainer[str]
    write_id: str
    def __init__(self, write_id: _Optional[str] = ..., position: _Optional[str] = ..., age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., tables: _Optional[_Iterable[str]] = ...) -> None: ...

class RejectedWrite(_message.Message):
    __slots__ = ["mutations", "resolution", "status"]
    MUTATIONS_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    mutations: _containers.RepeatedCompositeFieldContainer[MutationText]
    resolution: Resolution
    status: _write_pb2.WriteStatus
    def __init__(self, status: _Optional[_Union[_write_pb2.WriteStatus, _Mapping]] = ..., mutations: _Optional[_Iterable[_Union[MutationText, _Mapping]]] = ..., resolution: _Optional[_Union[Resolution, _Mapping]] = ...) -> None: ...

class Resolution(_message.Message):
    __slots__ = ["at", "kind", "new_write_id", "operator", "reason", "site"]
    AT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NEW_WRITE_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    kind: ResolutionKind
    new_write_id: str
    operator: str
    reason: str
    site: str
    def __init__(self, kind: _Optional[_Union[ResolutionKind, str]] = ..., new_write_id: _Optional[str] = ..., operator: _Optional[str] = ..., reason: _Optional[str] = ..., at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., site: _Optional[str] = ...) -> None: ...

class ResumeDrainRequest(_message.Message):
    __slots__ = ["operator", "reason"]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    operator: str
    reason: str
    def __init__(self, operator: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class ResumeDrainResponse(_message.Message):
    __slots__ = ["ended"]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ended: Pause
    def __init__(self, ended: _Optional[_Union[Pause, _Mapping]] = ...) -> None: ...

class RetryWriteRequest(_message.Message):
    __slots__ = ["operator", "reason", "write_id"]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WRITE_ID_FIELD_NUMBER: _ClassVar[int]
    operator: str
    reason: str
    write_id: str
    def __init__(self, write_id: _Optional[str] = ..., operator: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RetryWriteResponse(_message.Message):
    __slots__ = ["duplicate", "status"]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    duplicate: bool
    status: _write_pb2.WriteStatus
    def __init__(self, status: _Optional[_Union[_write_pb2.WriteStatus, _Mapping]] = ..., duplicate: bool = ...) -> None: ...

class ShowDrainRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class ShowDrainResponse(_message.Message):
    __slots__ = ["buffer", "holdups", "last_error", "last_error_since", "next_attempt", "oldest_pending", "pause", "processor", "site", "unresolved_rejected_writes"]
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    HOLDUPS_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_SINCE_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OLDEST_PENDING_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    UNRESOLVED_REJECTED_WRITES_FIELD_NUMBER: _ClassVar[int]
    buffer: _replication_pb2.BufferStatus
    holdups: _containers.RepeatedCompositeFieldContainer[Holdup]
    last_error: str
    last_error_since: _timestamp_pb2.Timestamp
    next_attempt: _timestamp_pb2.Timestamp
    oldest_pending: PendingWrite
    pause: Pause
    processor: _replication_pb2.ProcessorStatus
    site: str
    unresolved_rejected_writes: int
    def __init__(self, site: _Optional[str] = ..., buffer: _Optional[_Union[_replication_pb2.BufferStatus, _Mapping]] = ..., processor: _Optional[_Union[_replication_pb2.ProcessorStatus, _Mapping]] = ..., pause: _Optional[_Union[Pause, _Mapping]] = ..., oldest_pending: _Optional[_Union[PendingWrite, _Mapping]] = ..., unresolved_rejected_writes: _Optional[int] = ..., last_error: _Optional[str] = ..., last_error_since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., next_attempt: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., holdups: _Optional[_Iterable[_Union[Holdup, _Mapping]]] = ...) -> None: ...

class MutationOperation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class ResolutionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
