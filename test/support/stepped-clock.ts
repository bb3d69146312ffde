import { readFileSync } from "node:fs";

/**
 * Loaded with --import into a process under test: its wall clock is off by the milliseconds that the file named by
 * TEST_CLOCK_FILE holds, from one call to the next, as when somebody sets the host's clock. Timers and the monotonic
 * clock go on as they are, as they do then.
 */
const file = process.env.TEST_CLOCK_FILE;
if (file !== undefined) {
  const RealDate = Date;
  const now = (): number => RealDate.now() + Number(readFileSync(file, "utf8"));
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, given: unknown[], newTarget) =>
      Reflect.construct(target, given.length === 0 ? [now()] : given, newTarget) as object,
    apply: () => new RealDate(now()).toString(),
    get: (target, name, receiver) => (name === "now" ? now : (Reflect.get(target, name, receiver) as unknown)),
  });
}
