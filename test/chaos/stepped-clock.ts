import { readFileSync } from "node:fs";

// For a server in a process of its own: node --import ./test/chaos/stepped-clock.ts src/cli.ts serve
// The host's clock is wrong by the milliseconds that the file CHAOS_CLOCK says; it may change at any time. Timers, as on a
// real host, do not follow it.
const file = process.env.CHAOS_CLOCK;
if (file === undefined) throw new Error("CHAOS_CLOCK names the file with the clock's offset");

let offsetMs = 0;
const look = (): void => {
  const read = Number(readFileSync(file, "utf8"));
  if (Number.isFinite(read)) offsetMs = read;
};
look();
setInterval(look, 50).unref();

const RealDate = Date;
globalThis.Date = new Proxy(RealDate, {
  construct: (target, given: unknown[], subclass) =>
    Reflect.construct(target, given.length === 0 ? [RealDate.now() + offsetMs] : given, subclass) as Date,
  apply: () => new RealDate(RealDate.now() + offsetMs).toString(),
  get: (target, name, receiver) =>
    name === "now" ? () => RealDate.now() + offsetMs : (Reflect.get(target, name, receiver) as unknown),
});
