import { renameSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

// For a server in a process of its own: node --import ./test/fuzz/watched-process.ts src/cli.ts serve
// On SIGUSR2 it collects its garbage and writes what it then holds to the file that TEST_HOLDINGS names.

/** What a server process holds. */
export interface Holdings {
  /** Bytes of JavaScript objects after the collection. */
  heap: number;
  /** Bytes of buffers outside the heap. */
  buffers: number;
  /** Bytes of memory that the system counts. */
  rss: number;
  /** Connections of all kinds: callers, databases, Redis. */
  sockets: number;
  timers: number;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

process.on("SIGUSR2", () => {
  const file = process.env.TEST_HOLDINGS;
  if (file === undefined) return;
  collect();
  // Finalizers of what was collected run in a turn of their own, and free more.
  setImmediate(() => {
    collect();
    const { heapUsed: heap, external: buffers, rss } = process.memoryUsage();
    const active = process.getActiveResourcesInfo();
    const count = (kind: string): number => active.filter((each) => each === kind).length;
    const holdings: Holdings = { heap, buffers, rss, sockets: count("TCPSocketWrap"), timers: count("Timeout") };
    writeFileSync(`${file}.new`, JSON.stringify(holdings));
    renameSync(`${file}.new`, file);
  });
});
