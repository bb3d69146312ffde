from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from opsdb.v1 import write_pb2 as _write_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

ALARM_LEVEL_CRITICAL: AlarmLevel
ALARM_LEVEL_FULL: AlarmLevel
ALARM_LEVEL_NONE: AlarmLevel
ALARM_LEVEL_UNSPECIFIED: AlarmLevel
ALARM_LEVEL_WARNING: AlarmLevel
DESCRIPTOR: _descriptor.FileDescriptor
PART_STATE_DISABLED: PartState
PART_STATE_IDLE: PartState
PART_STATE_PAUSED: PartState
PART_STATE_RETRYING: PartState
PART_STATE_RUNNING: PartState
PART_STATE_STANDBY: PartState
PART_STATE_UNSPECIFIED: PartState
SITE_ROLE_MAIN: SiteRole
SITE_ROLE_SECONDARY: SiteRole
SITE_ROLE_UNSPECIFIED: SiteRole

class BufferStatus(_message.Message):
    __slots__ = ["alarm", "bytes", "connection", "last_position", "loss", "max_bytes", "max_writes", "oldest_age", "overlay_writes", "pending_writes", "retained_writes"]
    ALARM_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    LAST_POSITION_FIELD_NUMBER: _ClassVar[int]
    LOSS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_WRITES_FIELD_NUMBER: _ClassVar[int]
    OLDEST_AGE_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_WRITES_FIELD_NUMBER: _ClassVar[int]
    PENDING_WRITES_FIELD_NUMBER: _ClassVar[int]
    RETAINED_WRITES_FIELD_NUMBER: _ClassVar[int]
    alarm: AlarmLevel
    bytes: int
    connection: PartStatus
    last_position: str
    loss: DataLoss
    max_bytes: int
    max_writes: int
    oldest_age: _duration_pb2.Duration
    overlay_writes: int
    pending_writes: int
    retained_writes: int
    def __init__(self, connection: _Optional[_Union[PartStatus, _Mapping]] = ..., pending_writes: _Optional[int] = ..., overlay_writes: _Optional[int] = ..., retained_writes: _Optional[int] = ..., bytes: _Optional[int] = ..., oldest_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., alarm: _Optional[_Union[AlarmLevel, str]] = ..., max_writes: _Optional[int] = ..., max_bytes: _Optional[int] = ..., last_position: _Optional[str] = ..., loss: _Optional[_Union[DataLoss, _Mapping]] = ...) -> None: ...

class DataLoss(_message.Message):
    __slots__ = ["at", "message"]
    AT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    message: str
    def __init__(self, at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., message: _Optional[str] = ...) -> None: ...

class LocalStatus(_message.Message):
    __slots__ = ["connection", "in_recovery", "lag_bytes", "lsn", "receiver_state", "replay_age", "replay_paused", "timeline"]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    IN_RECOVERY_FIELD_NUMBER: _ClassVar[int]
    LAG_BYTES_FIELD_NUMBER: _ClassVar[int]
    LSN_FIELD_NUMBER: _ClassVar[int]
    RECEIVER_STATE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_AGE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_PAUSED_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    connection: PartStatus
    in_recovery: bool
    lag_bytes: int
    lsn: str
    receiver_state: str
    replay_age: _duration_pb2.Duration
    replay_paused: bool
    timeline: int
    def __init__(self, connection: _Optional[_Union[PartStatus, _Mapping]] = ..., in_recovery: bool = ..., lsn: _Optional[str] = ..., timeline: _Optional[int] = ..., lag_bytes: _Optional[int] = ..., replay_age: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., receiver_state: _Optional[str] = ..., replay_paused: bool = ...) -> None: ...

class MainStatus(_message.Message):
    __slots__ = ["connection", "lsn", "lsn_at", "slots", "standbys", "timeline"]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    LSN_AT_FIELD_NUMBER: _ClassVar[int]
    LSN_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    STANDBYS_FIELD_NUMBER: _ClassVar[int]
    TIMELINE_FIELD_NUMBER: _ClassVar[int]
    connection: PartStatus
    lsn: str
    lsn_at: _timestamp_pb2.Timestamp
    slots: _containers.RepeatedCompositeFieldContainer[SlotStatus]
    standbys: _containers.RepeatedCompositeFieldContainer[StandbyStatus]
    timeline: int
    def __init__(self, connection: _Optional[_Union[PartStatus, _Mapping]] = ..., lsn: _Optional[str] = ..., lsn_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., timeline: _Optional[int] = ..., standbys: _Optional[_Iterable[_Union[StandbyStatus, _Mapping]]] = ..., slots: _Optional[_Iterable[_Union[SlotStatus, _Mapping]]] = ...) -> None: ...

class PartStatus(_message.Message):
    __slots__ = ["next_attempt", "reason", "since", "state"]
    NEXT_ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    next_attempt: _timestamp_pb2.Timestamp
    reason: str
    since: _timestamp_pb2.Timestamp
    state: PartState
    def __init__(self, state: _Optional[_Union[PartState, str]] = ..., reason: _Optional[str] = ..., since: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., next_attempt: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ProcessorStatus(_message.Message):
    __slots__ = ["applied_position", "applied_writes", "rejected_writes", "replicated_position", "state"]
    APPLIED_POSITION_FIELD_NUMBER: _ClassVar[int]
    APPLIED_WRITES_FIELD_NUMBER: _ClassVar[int]
    REJECTED_WRITES_FIELD_NUMBER: _ClassVar[int]
    REPLICATED_POSITION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    applied_position: str
    applied_writes: int
    rejected_writes: int
    replicated_position: str
    state: PartStatus
    def __init__(self, state: _Optional[_Union[PartStatus, _Mapping]] = ..., applied_position: _Optional[str] = ..., replicated_position: _Optional[str] = ..., applied_writes: _Optional[int] = ..., rejected_writes: _Optional[int] = ...) -> None: ...

class ReplicationStatus(_message.Message):
    __slots__ = ["at", "buffer", "local", "main", "processor", "role", "site"]
    AT_FIELD_NUMBER: _ClassVar[int]
    BUFFER_FIELD_NUMBER: _ClassVar[int]
    LOCAL_FIELD_NUMBER: _ClassVar[int]
    MAIN_FIELD_NUMBER: _ClassVar[int]
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    at: _timestamp_pb2.Timestamp
    buffer: BufferStatus
    local: LocalStatus
    main: MainStatus
    processor: ProcessorStatus
    role: SiteRole
    site: str
    def __init__(self, site: _Optional[str] = ..., role: _Optional[_Union[SiteRole, str]] = ..., at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., main: _Optional[_Union[MainStatus, _Mapping]] = ..., local: _Optional[_Union[LocalStatus, _Mapping]] = ..., buffer: _Optional[_Union[BufferStatus, _Mapping]] = ..., processor: _Optional[_Union[ProcessorStatus, _Mapping]] = ...) -> None: ...

class SlotStatus(_message.Message):
    __slots__ = ["active", "name", "retained_bytes", "wal_status"]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RETAINED_BYTES_FIELD_NUMBER: _ClassVar[int]
    WAL_STATUS_FIELD_NUMBER: _ClassVar[int]
    active: bool
    name: str
    retained_bytes: int
    wal_status: str
    def __init__(self, name: _Optional[str] = ..., active: bool = ..., wal_status: _Optional[str] = ..., retained_bytes: _Optional[int] = ...) -> None: ...

class StandbyStatus(_message.Message):
    __slots__ = ["lag_bytes", "name", "replay_lsn", "state"]
    LAG_BYTES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    REPLAY_LSN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    lag_bytes: int
    name: str
    replay_lsn: str
    state: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., replay_lsn: _Optional[str] = ..., lag_bytes: _Optional[int] = ...) -> None: ...

class WatchReplicationRequest(_message.Message):
    __slots__ = ["heartbeat", "lsn", "until_done", "write_id"]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    LSN_FIELD_NUMBER: _ClassVar[int]
    UNTIL_DONE_FIELD_NUMBER: _ClassVar[int]
    WRITE_ID_FIELD_NUMBER: _ClassVar[int]
    heartbeat: _duration_pb2.Duration
    lsn: str
    until_done: bool
    write_id: str
    def __init__(self, write_id: _Optional[str] = ..., lsn: _Optional[str] = ..., heartbeat: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ..., until_done: bool = ...) -> None: ...

class WatchReplicationResponse(_message.Message):
    __slots__ = ["heartbeat", "lsn_replayed", "status", "write"]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    LSN_REPLAYED_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WRITE_FIELD_NUMBER: _ClassVar[int]
    heartbeat: _timestamp_pb2.Timestamp
    lsn_replayed: str
    status: ReplicationStatus
    write: _write_pb2.WriteStatus
    def __init__(self, status: _Optional[_Union[ReplicationStatus, _Mapping]] = ..., write: _Optional[_Union[_write_pb2.WriteStatus, _Mapping]] = ..., lsn_replayed: _Optional[str] = ..., heartbeat: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SiteRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class PartState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []

class AlarmLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
