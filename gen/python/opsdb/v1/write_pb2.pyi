from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from opsdb.v1 import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor
WRITE_MODE_CRITICAL: WriteMode
WRITE_MODE_DIRECT: WriteMode
WRITE_MODE_UNSPECIFIED: WriteMode
WRITE_STATE_ACCEPTED: WriteState
WRITE_STATE_APPLIED: WriteState
WRITE_STATE_REJECTED: WriteState
WRITE_STATE_REPLICATED: WriteState
WRITE_STATE_UNSPECIFIED: WriteState

class ColumnValues(_message.Message):
    __slots__ = ["values"]
    class ValuesEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.MessageMap[str, _value_pb2.Value]
    def __init__(self, values: _Optional[_Mapping[str, _value_pb2.Value]] = ...) -> None: ...

class Delete(_message.Message):
    __slots__ = ["key"]
    class KeyEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: _containers.MessageMap[str, _value_pb2.Value]
    def __init__(self, key: _Optional[_Mapping[str, _value_pb2.Value]] = ...) -> None: ...

class GetWriteRequest(_message.Message):
    __slots__ = ["write_id"]
    WRITE_ID_FIELD_NUMBER: _ClassVar[int]
    write_id: str
    def __init__(self, write_id: _Optional[str] = ...) -> None: ...

class GetWriteResponse(_message.Message):
    __slots__ = ["status"]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: WriteStatus
    def __init__(self, status: _Optional[_Union[WriteStatus, _Mapping]] = ...) -> None: ...

class Insert(_message.Message):
    __slots__ = ["values"]
    class ValuesEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.MessageMap[str, _value_pb2.Value]
    def __init__(self, values: _Optional[_Mapping[str, _value_pb2.Value]] = ...) -> None: ...

class Mutation(_message.Message):
    __slots__ = ["delete", "insert", "preconditions", "table", "update", "upsert"]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    INSERT_FIELD_NUMBER: _ClassVar[int]
    PRECONDITIONS_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_FIELD_NUMBER: _ClassVar[int]
    UPSERT_FIELD_NUMBER: _ClassVar[int]
    delete: Delete
    insert: Insert
    preconditions: _containers.RepeatedCompositeFieldContainer[Precondition]
    table: str
    update: Update
    upsert: Upsert
    def __init__(self, table: _Optional[str] = ..., insert: _Optional[_Union[Insert, _Mapping]] = ..., update: _Optional[_Union[Update, _Mapping]] = ..., upsert: _Optional[_Union[Upsert, _Mapping]] = ..., delete: _Optional[_Union[Delete, _Mapping]] = ..., preconditions: _Optional[_Iterable[_Union[Precondition, _Mapping]]] = ...) -> None: ...

class Precondition(_message.Message):
    __slots__ = ["columns_equal", "row_exists"]
    COLUMNS_EQUAL_FIELD_NUMBER: _ClassVar[int]
    ROW_EXISTS_FIELD_NUMBER: _ClassVar[int]
    columns_equal: ColumnValues
    row_exists: bool
    def __init__(self, row_exists: bool = ..., columns_equal: _Optional[_Union[ColumnValues, _Mapping]] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ["message", "mutation", "reason", "sqlstate"]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MUTATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SQLSTATE_FIELD_NUMBER: _ClassVar[int]
    message: str
    mutation: int
    reason: str
    sqlstate: str
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., sqlstate: _Optional[str] = ..., mutation: _Optional[int] = ...) -> None: ...

class Update(_message.Message):
    __slots__ = ["key", "values"]
    class KeyEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    class ValuesEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    key: _containers.MessageMap[str, _value_pb2.Value]
    values: _containers.MessageMap[str, _value_pb2.Value]
    def __init__(self, key: _Optional[_Mapping[str, _value_pb2.Value]] = ..., values: _Optional[_Mapping[str, _value_pb2.Value]] = ...) -> None: ...

class Upsert(_message.Message):
    __slots__ = ["values"]
    class ValuesEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.MessageMap[str, _value_pb2.Value]
    def __init__(self, values: _Optional[_Mapping[str, _value_pb2.Value]] = ...) -> None: ...

class WatchWritesRequest(_message.Message):
    __slots__ = ["after_position", "heartbeat", "rejected_only", "report"]
    AFTER_POSITION_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_ONLY_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    after_position: str
    heartbeat: _duration_pb2.Duration
    rejected_only: bool
    report: WriteState
    def __init__(self, report: _Optional[_Union[WriteState, str]] = ..., after_position: _Optional[str] = ..., rejected_only: bool = ..., heartbeat: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchWritesResponse(_message.Message):
    __slots__ = ["heartbeat", "write"]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    heartbeat: _timestamp_pb2.Timestamp
    write: WriteStatus
    def __init__(self, write: _Optional[_Union[WriteStatus, _Mapping]] = ..., heartbeat: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WriteRequest(_message.Message):
    __slots__ = ["mode", "mutations", "wait_for", "wait_timeout", "write_id"]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MUTATIONS_FIELD_NUMBER: _ClassVar[int]
    WAIT_FOR_FIELD_NUMBER: _ClassVar[int]
    WAIT_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    WRITE_ID_FIELD_NUMBER: _ClassVar[int]
    mode: WriteMode
    mutations: _containers.RepeatedCompositeFieldContainer[Mutation]
    wait_for: WriteState
    wait_timeout: _duration_pb2.Duration
    write_id: str
    def __init__(self, write_id: _Optional[str] = ..., mutations: _Optional[_Iterable[_Union[Mutation, _Mapping]]] = ..., mode: _Optional[_Union[WriteMode, str]] = ..., wait_for: _Optional[_Union[WriteState, str]] = ..., wait_timeout: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WriteResponse(_message.Message):
    __slots__ = ["duplicate", "rows", "status", "token", "wait_timed_out"]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    WAIT_TIMED_OUT_FIELD_NUMBER: _ClassVar[int]
    duplicate: bool
    rows: _containers.RepeatedCompositeFieldContainer[ColumnValues]
    status: WriteStatus
    token: bytes
    wait_timed_out: bool
    def __init__(self, status: _Optional[_Union[WriteStatus, _Mapping]] = ..., rows: _Optional[_Iterable[_Union[ColumnValues, _Mapping]]] = ..., token: _Optional[bytes] = ..., wait_timed_out: bool = ..., duplicate: bool = ...) -> None: ...

class WriteStatus(_message.Message):
    __slots__ = ["applied_at", "lsn", "position", "rejection", "site", "state", "write_id"]
    APPLIED_AT_FIELD_NUMBER: _ClassVar[int]
    LSN_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    REJECTION_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WRITE_ID_FIELD_NUMBER: _ClassVar[int]
    applied_at: _timestamp_pb2.Timestamp
    lsn: str
    position: str
    rejection: Rejection
    site: str
    state: WriteState
    write_id: str
    def __init__(self, write_id: _Optional[str] = ..., state: _Optional[_Union[WriteState, str]] = ..., site: _Optional[str] = ..., position: _Optional[str] = ..., lsn: _Optional[str] = ..., applied_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., rejection: _Optional[_Union[Rejection, _Mapping]] = ...) -> None: ...

class WriteMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class WriteState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
