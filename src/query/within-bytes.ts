import type { Socket } from "node:net";
import type pg from "pg";
import { OpsDbError } from "../errors.ts";

/**
 * Gives the connection up, and rejects with QUERY_TOO_LARGE, when more bytes than these arrive on it before the rows are
 * there: the driver would keep whatever comes in memory, and fails on a value of half a gigabyte.
 */
export async function withinBytes<T>(client: pg.ClientBase, maxBytes: number, rows: Promise<T>): Promise<T> {
  const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
  rows.catch(() => {}); // it fails with the connection
  let count: (chunk: Buffer) => void = () => {};
  const tooMany = new Promise<never>((_, reject) => {
    let bytes = 0;
    count = (chunk) => {
      bytes += chunk.length;
      if (bytes <= maxBytes) return;
      stream.destroy();
      reject(
        new OpsDbError(
          "QUERY_TOO_LARGE",
          `a batch of rows has more than ${maxBytes} bytes: ask for a smaller batch_size, or for less`,
          { field: "batch_size", metadata: { limit: "batch" } },
        ),
      );
    };
  });
  stream.prependListener("data", count);
  try {
    return await Promise.race([rows, tooMany]);
  } finally {
    stream.off("data", count);
  }
}
