import { expect, test } from "vitest";
import { createDatabase } from "./test-database.ts";

test("a test has its own database, and the standby shows what the primary committed", async () => {
  await using database = await createDatabase();
  await database.onPrimary(
    "insert into data_locations (name, site, base_path) values ('Spare disk', 'ccat', '/spare')",
  );
  await database.caughtUp();
  expect(await database.onStandby("select name from data_locations where site = 'ccat' order by name")).toEqual([
    { name: "FYST instrument buffer" },
    { name: "Spare disk" },
  ]);
  await expect(database.onStandby("delete from data_locations")).rejects.toThrow("read-only");
});

test("replay stands still while it is paused", async () => {
  await using database = await createDatabase();
  await database.pauseReplay();
  await database.onPrimary("delete from weather_samples");
  await database.onPrimary("insert into weather_samples (station, sampled_at) values ('cerro', now())");
  expect(await database.onStandby("select station from weather_samples")).toEqual([]);
  await database.resumeReplay();
  await database.caughtUp();
  expect(await database.onStandby("select station from weather_samples")).toEqual([{ station: "cerro" }]);
});
