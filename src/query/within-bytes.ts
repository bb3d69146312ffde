import type pg from "pg";
import { batchTooLarge, socketOf } from "../postgres/row-tap.ts";

/**
 * Gives the connection up, and rejects with QUERY_TOO_LARGE, when more bytes than these arrive on it before the rows are
 * there: the driver would keep whatever comes in memory, and fails on a value of half a gigabyte.
 */
export async function withinBytes<T>(client: pg.ClientBase, maxBytes: number, rows: Promise<T>): Promise<T> {
  const stream = socketOf(client);
  rows.catch(() => {}); // it fails with the connection
  let count: (chunk: Buffer) => void = () => {};
  const tooMany = new Promise<never>((_, reject) => {
    let bytes = 0;
    count = (chunk) => {
      bytes += chunk.length;
      if (bytes <= maxBytes) return;
      stream.destroy();
      reject(batchTooLarge(maxBytes));
    };
  });
  stream.prependListener("data", count);
  try {
    return await Promise.race([rows, tooMany]);
  } finally {
    stream.off("data", count);
  }
}
