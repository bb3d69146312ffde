import { durationMs } from "@bufbuild/protobuf/wkt";
import { PartState } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { assessStatus, defaultThresholds, verdict } from "./assess-status.ts";
import { enumName } from "./enum-name.ts";
import type { FollowedSite } from "./follow-status.ts";
import { formatBytes } from "./format-bytes.ts";
import { formatMs } from "./format-time.ts";
import { knownLag } from "./known-lag.ts";
import { printable } from "./printable.ts";
import type { Sample } from "./status-history.ts";

const columns: readonly (readonly [title: string, width: number])[] = [
  ["TIME", 20],
  ["LEVEL", 12],
  ["MAIN", 8],
  ["REPLICA", 8],
  ["DRAIN", 8],
  ["LAG", 8],
  ["PENDING", 7],
  ["OLDEST", 10],
  ["IN/S", 6],
  ["OUT/S", 6],
  ["REASON", 0],
];

/** The titles of what `siteLine` tells. */
export const siteLineHeader = row(columns.map(([title]) => title));

/** A site at a moment, on one line. */
export function siteLine({ status, disconnected }: FollowedSite, sample: Sample | undefined, now: Date): string {
  const time = now.toISOString().replace(/\.\d+Z$/, "Z");
  if (disconnected) {
    const ms = now.getTime() - disconnected.since.getTime();
    const since = `since ${disconnected.since.toISOString().slice(11, 19)}Z (${formatMs(ms)}): ${disconnected.reason}`;
    return row([time, "DISCONNECTED", "", "", "", "", "", "", "", "", printable(since)]);
  }
  if (!status) return row([time, "CONNECTING"]);
  const { main, local, processor, buffer } = status;
  const findings = assessStatus(status, { thresholds: defaultThresholds, rejected: undefined, now });
  const { level, reason } = verdict(status, findings);
  const lag = knownLag(status);
  const rate = (value: number | undefined): string => (value === undefined ? "-" : value.toFixed(value < 10 ? 1 : 0));
  return row([
    time,
    level,
    enumName(PartState, main?.connection?.state ?? 0),
    enumName(PartState, local?.connection?.state ?? 0),
    processor ? enumName(PartState, processor.state?.state ?? 0) : "-",
    lag === undefined ? "-" : formatBytes(lag),
    buffer ? String(buffer.pendingWrites) : "-",
    buffer?.oldestAge && buffer.pendingWrites > 0n ? formatMs(durationMs(buffer.oldestAge)) : "-",
    rate(sample?.acceptedPerSecond),
    rate(sample?.appliedPerSecond),
    level === "OK" ? "" : printable(reason),
  ]);
}

function row(cells: readonly string[]): string {
  return cells
    .map((cell, i) => cell.padEnd(columns[i]?.[1] ?? 0))
    .join("  ")
    .trimEnd();
}
