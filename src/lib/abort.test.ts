import { stat } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { aborted, Deadline, sleep } from "./abort.ts";

test("an aborted signal wins, and the rejection of what nobody waits for any more is not left unhandled", async () => {
  const unhandled: unknown[] = [];
  const listen = (reason: unknown): void => void unhandled.push(reason);
  process.on("unhandledRejection", listen);
  try {
    const late = Promise.withResolvers<never>();
    const before = aborted(AbortSignal.abort(new Error("gone")), late.promise);
    const stop = new AbortController();
    const during = aborted(stop.signal, late.promise);
    stop.abort(new Error("gone meanwhile"));
    await expect(before).rejects.toThrow("gone");
    await expect(during).rejects.toThrow("gone meanwhile");
    late.reject(new Error("too late"));
    await setImmediate();
    expect(unhandled).toEqual([]);
  } finally {
    process.off("unhandledRejection", listen);
  }
});

test("a sleep ends with its signal", async () => {
  await expect(sleep(60_000, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
});

test("an answer that came in time and waits to be read goes before a deadline that passed while the process was busy", async () => {
  using deadline = new Deadline(20);
  const answer = aborted(deadline.signal, stat("."));
  const busyUntil = performance.now() + 100;
  while (performance.now() < busyUntil);
  expect((await answer).isDirectory()).toBe(true);
});

test("a deadline of no time aborts, one that was disposed of does not", async () => {
  using past = new Deadline(-5);
  const disposed = new Deadline(0.5);
  disposed[Symbol.dispose]();
  using far = new Deadline(1e300);
  await new Promise((resolve) => past.signal.addEventListener("abort", resolve));
  await sleep(2, new AbortController().signal);
  expect([disposed.signal.aborted, far.signal.aborted]).toEqual([false, false]);
});
