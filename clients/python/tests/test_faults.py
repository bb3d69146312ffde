"""Writes while things fail: each of a thousand is acknowledged, and on the main database once."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from opsdb import AsyncOpsDb, OpsDb, insert

WRITES = 1000
WORKERS = 8
#: Numbers of acknowledged writes at which something fails; a start takes its time, so there are fewer of them.
FAILS_AT = (100, 350, 600, 850)
KILLED_AT = (300, 700)


class Run:
    """What one run has seen so far, for the thread that makes the faults."""

    def __init__(self, sites, caplog):
        self.sites = sites
        self.prefix = f"{uuid.uuid4()} "
        self.results = []
        self.ended = threading.Event()
        self._caplog = caplog

    def mutation(self, number):
        # The key is made by the service: a write that is applied twice is two rows, not an error.
        return insert(
            "executed_obs_units",
            {
                "obs_unit_id": "0b500000-0000-4000-8000-000000000001",
                "instrument_id": "15700000-0000-4000-8000-000000000002",
                "remark": f"{self.prefix}{number:04}",
            },
        )

    @property
    def acknowledged(self):
        return len(self.results)

    @property
    def failures(self):
        """How often an attempt has failed and was tried again."""
        return sum(record.name == "opsdb" for record in self._caplog.records)

    def on_main(self):
        return self.sites.control("remarks", prefix=self.prefix)

    def until(self, holds, what):
        end = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < end, f"waited in vain for {what}"
            assert not self.ended.is_set(), f"all writes had ended before {what}"
            time.sleep(0.002)

    def make_faults(self, fault, numbers):
        try:
            for number in numbers:
                self.until(lambda: self.acknowledged >= number, f"write {number}")
                fault(self)
        finally:
            self.sites.control("heal")


def cut(run):
    """All connections are reset, in the middle of calls, and new ones as well for a while."""
    before = run.failures
    run.sites.control("cut")
    run.until(lambda: run.failures > before, "a call that is cut")
    run.sites.control("heal")


def kill(run):
    """SIGKILL, and a start at the same address."""
    before = run.failures
    run.sites.control("kill")
    try:
        run.until(lambda: run.failures > before, "a call that fails")
    finally:
        run.sites.control("start")


def lose_answers(run):
    """Requests arrive and answers do not, until one write of each worker is stored and none of them acknowledged."""
    run.sites.control("lose-answers")
    run.until(lambda: len(run.on_main()) >= run.acknowledged + WORKERS, "writes whose answers are lost")
    run.sites.control("heal")


def write_with_threads(run):
    with OpsDb(run.sites.address, timeout=60) as db, ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(lambda number: run.results.append(db.write(run.mutation(number))), range(WRITES)):
            pass


def write_with_asyncio(run):
    async def write_all():
        numbers = iter(range(WRITES))

        async def worker():
            for number in numbers:
                run.results.append(await db.write(run.mutation(number)))

        async with AsyncOpsDb(run.sites.address, timeout=60) as db:
            await asyncio.gather(*(worker() for _ in range(WORKERS)))

    asyncio.run(write_all())


@pytest.mark.parametrize("write", [write_with_threads, write_with_asyncio])
@pytest.mark.parametrize("fault", [cut, kill, lose_answers])
def test_each_write_is_on_main_once(sites, caplog, fault, write):
    caplog.set_level(logging.WARNING, "opsdb")
    run = Run(sites, caplog)
    numbers = KILLED_AT if fault is kill else FAILS_AT
    faults = ThreadPoolExecutor(1).submit(run.make_faults, fault, numbers)
    try:
        write(run)
    finally:
        run.ended.set()
        sites.control("heal")
    faults.result()
    assert len({result.write_id for result in run.results}) == WRITES
    assert run.failures >= len(numbers)
    with OpsDb(sites.address) as db:
        # The writes of a site are applied in order, so everything before this one is there as well.
        db.write(
            insert("weather_samples", {"station": run.prefix[:36], "sampled_at": "2026-01-01Z"}), wait_for="applied"
        )
    assert run.on_main() == [f"{run.prefix}{number:04}" for number in range(WRITES)]
    if fault is lose_answers:
        assert sum(result.duplicate for result in run.results) >= len(numbers)
