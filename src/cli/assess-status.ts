import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  AlarmLevel,
  PartState,
  type PartStatus,
  type ReplicationStatus,
  SiteRole,
} from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { enumName } from "./enum-name.ts";
import { formatBytes } from "./format-bytes.ts";
import { formatMs } from "./format-time.ts";
import { knownLag } from "./known-lag.ts";

/** Levels of monitoring systems, with their exit codes. */
export const levels = { OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3 } as const;
export type Level = keyof typeof levels;

export interface Finding {
  level: "WARNING" | "CRITICAL";
  /** A sentence without its full stop. */
  reason: string;
}

/** From where on something is told; what is unset never is. */
export interface Thresholds {
  lagBytes: { warning: number; critical: number };
  oldestMs: { warning: number; critical: number };
  rejected: { warning: number; critical: number };
}

export const defaultThresholds: Thresholds = {
  lagBytes: { warning: 64e6, critical: 1e9 },
  oldestMs: { warning: 300_000, critical: 21_600_000 },
  rejected: { warning: 1, critical: 100 },
};

/** What an operator should know of, worst first. `rejected` is the number of rejected writes without a decision. */
export function assessStatus(
  status: ReplicationStatus,
  { thresholds, rejected, now }: { thresholds: Thresholds; rejected: number | undefined; now: Date },
): Finding[] {
  const { main, local, buffer, processor } = status;
  const atMain = status.role === SiteRole.MAIN;
  const findings: Finding[] = [];
  const warn = (reason: string): number => findings.push({ level: "WARNING", reason });
  const alarm = (reason: string): number => findings.push({ level: "CRITICAL", reason });
  const over = (
    value: number | undefined,
    limits: { warning: number; critical: number },
    reason: () => string,
  ): void => {
    if (value === undefined || value < limits.warning) return;
    findings.push({ level: value >= limits.critical ? "CRITICAL" : "WARNING", reason: reason() });
  };

  if (buffer?.loss) alarm(`acknowledged writes were lost: ${buffer.loss.message}`);
  if (stuck(buffer?.connection)) alarm(`writes are refused, the buffer ${held(buffer?.connection, now)}`);
  if (buffer?.alarm === AlarmLevel.FULL) alarm("writes are refused, the buffer is full");
  if (buffer?.alarm === AlarmLevel.CRITICAL) alarm(`the buffer is ${fullness(status)} full`);
  if (stuck(local?.connection)) alarm(`reads are refused, the local database ${held(local?.connection, now)}`);
  if (stuck(main?.connection)) (atMain ? alarm : warn)(`the main database ${held(main?.connection, now)}`);
  const oldestMs = buffer?.oldestAge && durationMs(buffer.oldestAge);
  over(oldestMs, thresholds.oldestMs, () => {
    return `the oldest of ${buffer?.pendingWrites} pending writes waits for ${formatMs(oldestMs ?? 0)}`;
  });
  for (const { name, walStatus } of main?.slots ?? [])
    if (walStatus === "lost") alarm(`slot ${name} has lost WAL that its replica needs: make the replica anew`);
    else if (walStatus === "unreserved") warn(`slot ${name} is about to lose WAL that its replica needs`);
  if (processor?.state?.state === PartState.PAUSED) warn(`the drain is paused: ${processor.state.reason}`);
  if (stuck(processor?.state)) warn(`the drain ${held(processor?.state, now)}`);
  if (buffer?.alarm === AlarmLevel.WARNING) warn(`the buffer is ${fullness(status)} full`);
  if (local?.replayPaused) warn("replay is paused on the replica");
  else if (local?.inRecovery && local.receiverState === "stopped")
    warn("the replica receives nothing from the main database");
  if (local?.connection?.reason && !stuck(local.connection)) warn(`the local database: ${local.connection.reason}`);
  if (main?.timeline && local?.timeline && local.inRecovery && main.timeline !== local.timeline)
    warn(`the replica is on timeline ${local.timeline}, the main database on ${main.timeline}`);
  const lag = knownLag(status);
  over(lag, thresholds.lagBytes, () => `the replica is ${formatBytes(lag ?? 0)} behind`);
  over(
    rejected,
    thresholds.rejected,
    () => `${rejected} rejected ${rejected === 1 ? "write waits" : "writes wait"} for a decision`,
  );
  return findings.sort((a, b) => levels[b.level] - levels[a.level]);
}

/** The worst level with its reason in one sentence. */
export function verdict(status: ReplicationStatus, findings: readonly Finding[]): { level: Level; reason: string } {
  const [worst, ...others] = findings;
  if (worst === undefined) return { level: "OK", reason: allWell(status) };
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  return { level: worst.level, reason: `${status.site}: ${worst.reason}${more}` };
}

function allWell(status: ReplicationStatus): string {
  const { site, role, buffer } = status;
  const lag = knownLag(status);
  if (role === SiteRole.MAIN) return `${site} takes writes and answers reads`;
  const behind = lag === undefined ? "" : `, the replica ${formatBytes(lag)} behind`;
  return `${site} takes writes and applies them, ${buffer?.pendingWrites ?? 0} pending${behind}`;
}

/** The fullest of the buffer's two limits. */
export function bufferShare({ buffer }: ReplicationStatus): number {
  if (!buffer) return 0;
  return Math.max(share(buffer.retainedWrites, buffer.maxWrites), share(buffer.bytes, buffer.maxBytes));
}

function fullness(status: ReplicationStatus): string {
  return `${Math.floor(bufferShare(status) * 100)}%`;
}

function share(part: bigint, whole: bigint): number {
  return whole === 0n ? 0 : Number(part) / Number(whole);
}

function stuck(part: PartStatus | undefined): boolean {
  return part?.state === PartState.RETRYING;
}

/** "has not worked for 3 min (the reason)". */
function held(part: PartStatus | undefined, now: Date): string {
  const since = part?.since ? Number(part.since.seconds) * 1_000 : now.getTime();
  const why = part?.reason ? ` (${part.reason})` : ` (${enumName(PartState, part?.state ?? 0)})`;
  return `has not worked for ${formatMs(Math.max(0, now.getTime() - since))}${why}`;
}
