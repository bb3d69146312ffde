"""The client against two real sites."""

from __future__ import annotations

import asyncio
import random
import re
import threading
import uuid
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import grpc
import pytest
from opsdb import (
    AlreadyExists,
    AsyncOpsDb,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidRequest,
    Json,
    NotFound,
    OpsDb,
    PermissionDenied,
    Related,
    Tls,
    Unauthenticated,
    Unavailable,
    WriteRejected,
    asc,
    col,
    delete,
    desc,
    insert,
    update,
    upsert,
)
from opsdb.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from random_values import generators, same

OBS_UNIT = "0b500000-0000-4000-8000-000000000001"
INSTRUMENT = "15700000-0000-4000-8000-000000000002"


@pytest.fixture
def db(sites):
    with OpsDb(sites.address) as db:
        yield db


@pytest.fixture
def station():
    return f"station {uuid.uuid4()}"[:40]


def samples(station, numbers):
    return [insert("weather_samples", {"station": station, "sampled_at": at(n), "pwv_mm": n / 8}) for n in numbers]


def at(n):
    return datetime(2026, 4, 2, tzinfo=timezone.utc) + timedelta(seconds=n)


def test_a_write_is_read_back_merged_and_followed_home(db, station):
    written = db.write(
        insert(
            "executed_obs_units", {"obs_unit_id": uuid.UUID(OBS_UNIT), "instrument_id": INSTRUMENT, "remark": station}
        ),
        insert("weather_samples", {"station": station, "sampled_at": at(0), "temperature_c": Decimal("-7.25")}),
    )
    assert written.state == "ACCEPTED" and written.status.site == "ccat" and not written.duplicate
    unit, sample = written.rows
    assert isinstance(unit["id"], uuid.UUID) and unit["status"] == "RUNNING" and unit["conditions"] == {}
    assert unit["start_time"].tzinfo == timezone.utc
    assert list(sample) == ["station", "sampled_at", "temperature_c", "wind_speed_m_s", "relative_humidity", "pwv_mm"]
    assert dict(db.query("executed_obs_units", where={"id": unit["id"]}).one()) == unit

    events = list(db.watch_replication(write_id=written.write_id, until_done=True))
    assert events[0].status.site == "ccat"
    assert [event.write.state for event in events if event.write][-1] == "REPLICATED"
    assert db.get_write(written.write_id).is_done
    assert dict(db.query("weather_samples", where={"station": station}, consistency="main").one()) == sample


def test_every_change_and_its_preconditions(db, station):
    key = {"station": station, "sampled_at": at(0)}
    db.write(insert("weather_samples", key))
    db.write(upsert("weather_samples", {**key, "pwv_mm": 0.5}), update("weather_samples", key, {"temperature_c": 3}))
    assert db.query("weather_samples", ["pwv_mm", "temperature_c"], where=key).one()[1] == Decimal("3.00")
    db.write(update("weather_samples", key, {"pwv_mm": 0.75}, columns_equal={"pwv_mm": 0.5}))
    for refused in (
        update("weather_samples", key, {"pwv_mm": 1}, columns_equal={"pwv_mm": 0.5}),
        upsert("weather_samples", {**key, "pwv_mm": 1}, row_exists=False),
        delete("weather_samples", {**key, "sampled_at": at(1)}, row_exists=True),
    ):
        # By the service at once, or by the main database.
        with pytest.raises((FailedPrecondition, WriteRejected)) as raised:
            db.write(refused, wait_for="applied")
        assert raised.value.reason == "PRECONDITION_FAILED"
    db.write(delete("weather_samples", key, columns_equal={"pwv_mm": 0.75}), wait_for="applied")
    assert db.query("weather_samples", where={"station": station}).all() == []


def test_waiting_for_a_state_answers_with_it(db, station):
    states = [
        db.write(*samples(station, [n]), wait_for=state).state for n, state in enumerate(("applied", "replicated"))
    ]
    assert states[0] in ("APPLIED", "REPLICATED") and states[1] == "REPLICATED"


def test_the_same_id_is_one_write_and_other_content_is_refused(db, station):
    chosen = uuid.uuid4()
    first = db.write(*samples(station, [0]), write_id=chosen)
    again = db.write(*samples(station, [0]), write_id=str(chosen))
    assert (first.duplicate, again.duplicate, again.write_id) == (False, True, str(chosen))
    with pytest.raises(AlreadyExists) as raised:
        db.write(*samples(station, [1]), write_id=chosen)
    assert raised.value.reason == "WRITE_ID_REUSED"


def test_errors_have_reason_field_and_metadata(db, station):
    with pytest.raises(NotFound) as raised:
        db.write(insert("planets", {"name": "Uranus"}))
    assert (raised.value.reason, raised.value.field) == ("TABLE_NOT_FOUND", "mutations[0].table")
    assert raised.value.metadata == {"table": "planets"}
    with pytest.raises(InvalidRequest) as raised:
        db.write(
            *samples(station, [0]), insert("weather_samples", {"station": station, "sampled_at": datetime(2026, 1, 1)})
        )
    assert (raised.value.reason, raised.value.field) == ("INVALID_VALUE", 'mutations[1].insert.values["sampled_at"]')
    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT and not raised.value.outcome_unknown
    with pytest.raises(NotFound) as raised:
        db.query("weather_samples", where=col("planet") == 1).all()
    assert raised.value.reason == "COLUMN_NOT_FOUND"
    with pytest.raises(NotFound, match="WRITE_NOT_FOUND"):
        db.get_write(uuid.uuid4())
    with pytest.raises(FailedPrecondition, match="LOCAL_READ_ONLY"):
        db.write(*samples(station, [0]), mode="direct")


def test_random_values_of_every_type_come_back_from_the_database(db):
    rows = []
    for seed in range(100):
        row = {column: of(random.Random(f"{column} {seed}")) for column, of in generators.items()}
        rows.append({"id": random.getrandbits(62), **row})
    # A text of a table column cannot be told from its neighbours by a wrong one: each column has its type's name.
    written = db.write(*[insert("client_values", row) for row in rows], wait_for="replicated")
    stored = {row["id"]: row for row in db.query("client_values", where=col("id").in_([row["id"] for row in rows]))}
    for row, returned in zip(rows, written.rows):
        for column, value in row.items():
            for back in (returned[column], stored[row["id"]][column]):
                assert same(back, value), f"{column}: {value!r} came back as {back!r}"
    by_value = db.query("client_values", ["id"], where={"id": rows[0]["id"], "integer[]": rows[0]["integer[]"]})
    assert by_value.one()["id"] == rows[0]["id"]


def test_queries_by_condition_order_limit_aggregates_and_relation(db, station):
    token = db.write(*samples(station, range(10))).token
    mine = col("station") == station
    result = db.query(
        "weather_samples", ["pwv_mm"], where=mine & ~(col("pwv_mm") < 0.5), order_by="-sampled_at", limit=3, token=token
    )
    assert [row["pwv_mm"] for row in result] == [9 / 8, 1.0, 7 / 8]
    assert [column.name for column in result.header().columns] == ["pwv_mm"]
    columns = db.query(
        "weather_samples", ["pwv_mm"], where=mine, order_by=[desc("wind_speed_m_s"), asc("pwv_mm")], limit=2
    )
    assert columns.to_columns() == {"pwv_mm": [0.0, 0.125]}
    counted = db.query(
        "weather_samples",
        where=mine & col("pwv_mm").between(0.125, 0.25),
        aggregates={"n": "count", "most": ("max", "pwv_mm")},
        group_by=["station"],
    ).one()
    assert dict(counted) == {"station": station, "n": 2, "most": 0.25}
    telescope = db.query(
        "telescopes",
        ["name"],
        where={"name": "FYST"},
        related=[Related("instruments", ["name"], where=col("kind") == "receiver")],
    ).one()
    assert [dict(each) for each in telescope.related["instruments"]] == [{"name": "CHAI"}]
    tuned = db.query("obs_units", ["name"], where=col("tuning")["frequency_ghz"] > 500, order_by="name").to_columns()
    assert tuned == {"name": ["NGC253 CO 7-6"]}
    assert db.query("instrument_modules", where=col("band_edges_ghz").contains([260.0])).one()["name"] == "Mod-Cam 280"
    instrument = db.query("instruments", where=col("parameters").contains(Json({})) & (col("name") == "CHAI")).one()
    assert instrument["parameters"] == {}


def test_sql_sees_pending_writes(db, station):
    db.write(*samples(station, range(4)))
    result = db.sql(
        "select count(*) as n, max(pwv_mm) from weather_samples where station = $1 and pwv_mm > $2", station, 0.0
    )
    assert dict(result.one()) == {"n": 3, "max": 0.375}
    with pytest.raises(InvalidRequest) as raised:
        db.sql("select 1 +").all()
    assert raised.value.reason == "SQL_INVALID"


def test_results_become_frames_of_pandas(db, station):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    db.write(*samples(station, range(3)))
    frame = db.query("weather_samples", where={"station": station}, order_by="sampled_at").to_pandas()
    assert list(frame["pwv_mm"]) == [0.0, 0.125, 0.25]
    assert frame["sampled_at"][2] == pandas.Timestamp(at(2))
    assert db.query("obs_units").to_pandas().dtypes["repeats"] == "int64"
    assert len(db.query("weather_samples", where={"station": "nowhere"}).to_pandas()) == 0


def test_an_ordered_result_goes_on_after_cuts_with_every_row_once(db, sites, station):
    db.write(*samples(station, range(900)), wait_for="replicated")
    seen = []
    for row in db.query(
        "weather_samples", ["pwv_mm"], where={"station": station}, order_by="sampled_at", batch_size=100
    ):
        seen.append(row["pwv_mm"])
        if len(seen) in (150, 450):
            sites.control("cut")
            sites.control("heal")
    assert seen == [n / 8 for n in range(900)]


def test_the_watches_go_on_after_a_cut(db, sites, station):
    told, ready = [], threading.Event()

    def watch(db):
        for status in db.watch_writes(report="applied", after_position=first.status.position):
            told.append(status.write_id)
            ready.set()
            if len(told) == 2:
                return

    first = db.write(*samples(station, [0]))
    expected = [db.write(*samples(station, [1])).write_id]
    watcher = threading.Thread(target=watch, args=(db,))
    watcher.start()
    assert ready.wait(20)
    sites.control("cut")
    sites.control("heal")
    expected.append(db.write(*samples(station, [2])).write_id)
    watcher.join(20)
    assert told == expected
    for event in db.watch_replication(heartbeat=0.1):
        if event.heartbeat:
            break


def test_a_main_site_has_written_what_it_acknowledges_and_nothing_to_watch(sites, station):
    with OpsDb(sites.main) as db:
        assert db.write(*samples(station, [0])).status.lsn
        assert db.write(*samples(station, [1]), mode="direct", wait_for="applied").state in ("APPLIED", "REPLICATED")
        assert len(db.query("weather_samples", where={"station": station}).all()) == 2
        with pytest.raises(FailedPrecondition, match="NO_BUFFER"):
            next(db.watch_writes())


def test_the_catalog_says_what_can_be_written(db):
    assert "weather_samples" in [table.name for table in db.tables() if table.writable]
    assert list(db.describe("weather_samples").primary_key) == ["station", "sampled_at"]
    stub = catalog_service_pb2_grpc.CatalogServiceStub(db.channel)
    assert stub.ListTables(catalog_service_pb2.ListTablesRequest(), metadata=db.metadata(), timeout=10).tables


def test_a_client_without_a_service_says_so_when_its_time_is_over(sites):
    with OpsDb("127.0.0.1:1", timeout=0.3) as db:
        with pytest.raises(Unavailable) as raised:
            db.write(insert("weather_samples", {}))
        assert raised.value.write_id and raised.value.attempts > 1
        with pytest.raises(Unavailable):
            db.query("weather_samples").all()
        with pytest.raises(Unavailable):
            next(db.watch_replication())


def test_tls_with_a_certificate_for_each_side_and_a_token(sites, station):
    secured = sites.secured
    if secured is None:
        pytest.skip("openssl is missing")
    address, tokens = secured["address"], secured["tokens"]
    own = {"cert_file": secured["cert"], "key_file": secured["key"]}
    tls = Tls(ca_file=secured["ca"], **own)
    with OpsDb(address, token=tokens["all"], tls=tls) as db:
        written = db.write(*samples(station, [0]), wait_for="applied")
        assert dict(db.query("weather_samples", where={"station": station}).one()) == written.row
    # Who may not look at tables writes all the same; the types in the answer are then those of the messages.
    with OpsDb(address, token=lambda: tokens["write"], tls=tls) as db:
        assert db.write(*samples(station, [1])).row["sampled_at"] == at(1)
        with pytest.raises(PermissionDenied, match="ACCESS_DENIED"):
            db.query("weather_samples").all()
    for token, reason in ((None, "ACCESS_TOKEN_MISSING"), (tokens["revoked"], "ACCESS_TOKEN_REVOKED")):
        with OpsDb(address, token=token, tls=tls) as db, pytest.raises(Unauthenticated) as raised:
            db.tables()
        assert raised.value.reason == reason
    for wrong in (Tls(ca_file=secured["ca"]), Tls(ca_file=secured["ca"], server_name="other", **own), True, None):
        with OpsDb(address, token=tokens["all"], tls=wrong, timeout=1) as db:
            with pytest.raises((Unavailable, DeadlineExceeded)):
                db.tables()


def test_asyncio_has_the_same_methods(sites, station):
    async def session():
        async with AsyncOpsDb(sites.address) as db:
            written = await db.write(*samples(station, range(3)), wait_for="applied")
            assert (await db.get_write(written.write_id)).state in ("APPLIED", "REPLICATED")
            result = db.query("weather_samples", where={"station": station}, order_by="sampled_at", batch_size=1)
            assert (await result.header()).columns[0].name == "station"
            assert [row["pwv_mm"] async for row in result] == [0.0, 0.125, 0.25]
            async with db.query("weather_samples", order_by="sampled_at") as some:
                assert (await some.__anext__())["station"]
            columns = await db.query(
                "weather_samples", ["pwv_mm"], where={"station": station, "sampled_at": at(1)}
            ).to_columns()
            assert columns == {"pwv_mm": [0.125]}
            assert (await db.sql("select 1 as one").one())["one"] == 1
            async for event in db.watch_replication(write_id=written.write_id, until_done=True):
                last = event
            assert last.write.state == "REPLICATED"
            writes = db.watch_writes(report="applied")
            waiting = asyncio.ensure_future(writes.__anext__())
            while not waiting.done():
                more = await db.write(*samples(station, [random.getrandbits(20) + 100]))
                await asyncio.wait([waiting], timeout=0.1)
            assert waiting.result().state in ("APPLIED", "REPLICATED") and more.write_id
            await writes.aclose()
            assert "weather_samples" in [table.name for table in await db.tables()]
            assert (await db.describe("sources")).name == "sources"
            with pytest.raises(NotFound) as raised:
                await db.write(insert("planets", {"name": "Uranus"}))
            assert raised.value.reason == "TABLE_NOT_FOUND"

    asyncio.run(session())


def test_the_programs_in_the_readme_run(sites, capsys):
    text = (Path(__file__).parent.parent / "README.md").read_text()
    programs = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(programs) >= 5
    names = {}
    writing = threading.Event()

    def write_all_the_while():
        with OpsDb(sites.address) as db:
            while not writing.wait(0.05):
                db.write(*samples(f"readme {uuid.uuid4()}"[:40], [0]))

    writer = threading.Thread(target=write_all_the_while)
    writer.start()
    try:
        for program in programs:
            exec(program.replace("127.0.0.1:8080", sites.address), names)
    finally:
        writing.set()
        writer.join()
        names["db"].close()
    printed = capsys.readouterr().out
    assert "0.42" in printed and "REPLICATED" in printed
    assert 'INVALID_VALUE mutations[0].insert.values["sampled_at"]' in printed
