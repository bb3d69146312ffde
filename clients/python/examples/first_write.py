"""A first write, read back at once and followed to the replica. Reads what `./dev up --json` prints."""

import json
import sys
from datetime import datetime, timezone

from opsdb import OpsDb, insert

sites = json.loads(sys.stdin.readline())
with OpsDb(sites["secondary"]["grpc"]) as db:
    sample = {"station": "cerro", "sampled_at": datetime.now(timezone.utc), "pwv_mm": 0.42}
    written = db.write(insert("weather_samples", sample))
    print(written.state, written.write_id)
    for row in db.query("weather_samples", ["sampled_at", "pwv_mm"], where={"station": "cerro"}):
        print(dict(row))
    for event in db.watch_replication(write_id=written.write_id, until_done=True):
        if event.write:
            print(event.write.state, flush=True)
