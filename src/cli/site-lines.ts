import { durationMs } from "@bufbuild/protobuf/wkt";
import {
  AlarmLevel,
  type BufferStatus,
  type LocalStatus,
  type MainStatus,
  PartState,
  type PartStatus,
  type ProcessorStatus,
  type ReplicationStatus,
  SiteRole,
} from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { bufferShare } from "./assess-status.ts";
import { enumName } from "./enum-name.ts";
import { formatBytes } from "./format-bytes.ts";
import { formatMs, formatTime } from "./format-time.ts";
import { knownLag } from "./known-lag.ts";
import { printable } from "./printable.ts";
import { type Line, type Span, type Style, styled } from "./styled-line.ts";

const INDENT = 12;

/** The parts of a site, each with its state, reason and age. */
export function siteParts(status: ReplicationStatus, now: Date): Line[][] {
  const { role, main, local, buffer, processor } = status;
  return [
    part("MAIN", main?.connection, now, main ? mainFacts(main) : []),
    part(role === SiteRole.MAIN ? "LOCAL" : "REPLICA", local?.connection, now, local ? localFacts(local, status) : []),
    ...(buffer ? [part("BUFFER", buffer.connection, now, bufferFacts(buffer, status))] : []),
    ...(processor ? [part("DRAIN", processor.state, now, processorFacts(processor))] : []),
  ];
}

/** "MAIN        ● RUNNING for 3 min", its reason, and lines of facts under it. */
function part(title: string, status: PartStatus | undefined, now: Date, facts: readonly Line[]): Line[] {
  const state = status?.state ?? PartState.UNSPECIFIED;
  const since = status?.since ? now.getTime() - Number(status.since.seconds) * 1_000 : undefined;
  const style = styles[state] ?? "plain";
  const next =
    status?.nextAttempt && state === PartState.RETRYING
      ? `, next attempt ${formatTime(status.nextAttempt).slice(11)}`
      : "";
  return [
    [
      styled(title.padEnd(INDENT), "bold"),
      styled("● ", style),
      styled(enumName(PartState, state), style),
      styled(since === undefined ? "" : ` for ${formatMs(Math.max(0, since))}`, "dim"),
      ...(status?.reason
        ? [styled(`  ${printable(status.reason)}${next}`, state === PartState.IDLE ? "dim" : style)]
        : []),
    ],
    ...facts.map((fact): Line => [" ".repeat(INDENT + 2), ...fact]),
  ];
}

const styles: Partial<Record<PartState, Style>> = {
  [PartState.RUNNING]: "good",
  [PartState.IDLE]: "good",
  [PartState.STANDBY]: "accent",
  [PartState.DISABLED]: "dim",
  [PartState.PAUSED]: "warning",
  [PartState.RETRYING]: "bad",
};

function mainFacts({ lsn, timeline, standbys, slots }: MainStatus): Line[] {
  return [
    ...(lsn === "" ? [] : [facts(["LSN", lsn], ["timeline", String(timeline)])]),
    ...standbys.map((each) =>
      facts(["standby", each.name], ["", each.state], ["", `${formatBytes(each.lagBytes)} behind`]),
    ),
    ...slots.map((each) =>
      facts(
        ["slot", each.name],
        ["", each.active ? "in use" : "not in use"],
        ["", each.walStatus],
        ["", `${formatBytes(each.retainedBytes)} of WAL kept`],
      ),
    ),
  ];
}

function localFacts(local: LocalStatus, status: ReplicationStatus): Line[] {
  const lag = knownLag(status);
  const { lsn, timeline, replayAge, receiverState, replayPaused, inRecovery } = local;
  const position: [string, string][] =
    lsn === ""
      ? []
      : [
          ["LSN", lsn],
          ["timeline", String(timeline)],
        ];
  if (!inRecovery) return position.length === 0 ? [] : [facts(...position)];
  return [
    facts(
      ...position,
      ["receiver", receiverState || "unknown"],
      ...(replayPaused ? [["replay", "paused"] as [string, string]] : []),
    ),
    facts(
      ["lag", lag === undefined ? "not known" : formatBytes(lag)],
      ...(replayAge ? [["newest commit", `${formatMs(durationMs(replayAge))} old`] as [string, string]] : []),
    ),
  ];
}

function bufferFacts(buffer: BufferStatus, status: ReplicationStatus): Line[] {
  const { pendingWrites, overlayWrites, retainedWrites, bytes, maxWrites, maxBytes, oldestAge, alarm, loss } = buffer;
  return [
    facts(
      ["pending", count(pendingWrites)],
      ["not on the replica yet", count(overlayWrites)],
      ...(oldestAge && pendingWrites > 0n ? [["oldest", formatMs(durationMs(oldestAge))] as [string, string]] : []),
    ),
    [
      ...gauge(bufferShare(status), alarm),
      "  ",
      ...facts(
        ["kept", `${count(retainedWrites)} of ${count(maxWrites)}`],
        ["", `${formatBytes(bytes)} of ${formatBytes(maxBytes)}`],
        ["alarm", enumName(AlarmLevel, alarm)],
      ),
    ],
    ...(loss ? [[styled(`LOST  ${printable(loss.message)} (${formatTime(loss.at)})`, "bad")]] : []),
  ];
}

function processorFacts(processor: ProcessorStatus): Line[] {
  const { appliedWrites, rejectedWrites, appliedPosition, replicatedPosition } = processor;
  return [
    facts(["applied up to", appliedPosition || "-"], ["replicated up to", replicatedPosition || "-"]),
    facts(["applied", count(appliedWrites)], ["rejected", count(rejectedWrites)], ["", "since the server started"]),
  ];
}

function gauge(share: number, alarm: AlarmLevel): Span[] {
  const cells = 10;
  const full = Math.min(cells, Math.round(share * cells));
  const style: Style = alarm >= AlarmLevel.CRITICAL ? "bad" : alarm === AlarmLevel.WARNING ? "warning" : "good";
  return [styled("█".repeat(full), style), styled("░".repeat(cells - full), "dim"), ` ${Math.floor(share * 100)}%`];
}

/** Names dim and values plain, with space between the pairs. */
function facts(...pairs: readonly (readonly [name: string, value: string])[]): Span[] {
  return pairs.flatMap(([name, value], i): Span[] => [
    i === 0 ? "" : name === "" ? ", " : "   ",
    ...(name === "" ? [] : [styled(`${name} `, "dim")]),
    printable(value),
  ]);
}

function count(value: bigint): string {
  return value.toString().replace(/\B(?=(\d{3})+$)/g, ",");
}
