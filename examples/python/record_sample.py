"""Records a sample of the weather, reads it back before the main site has it, follows it there and back, asks for its
outcome, and is refused a bad value.

usage: python record_sample.py HOST:PORT [STATION]
"""

import sys
from datetime import datetime, timezone

from opsdb import OpsDb, OpsDbError, insert


def main(address: str, station: str = "cerro") -> None:
    with OpsDb(address) as db:
        sample = {"station": station, "sampled_at": datetime.now(timezone.utc), "pwv_mm": 0.42}
        written = db.write(insert("weather_samples", sample))
        print("accepted", written.write_id)

        for row in db.query("weather_samples", ["station", "sampled_at", "pwv_mm"], where={"station": station}):
            print("read", row["station"], row["sampled_at"].isoformat(), row["pwv_mm"])

        for event in db.watch_replication(write_id=written.write_id, until_done=True):
            if event.write:
                print("is", event.write.state.upper())

        print("outcome", db.get_write(written.write_id).state.upper())

        try:
            db.write(insert("weather_samples", {"station": station, "sampled_at": "yesterday-ish"}))
        except OpsDbError as error:
            print("refused", error.reason, error.field)


if __name__ == "__main__":
    main(*sys.argv[1:])
