import { type ReplicationStatus, SiteRole } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { assessStatus, defaultThresholds, verdict } from "./assess-status.ts";
import type { FollowedSite } from "./follow-status.ts";
import { formatBytes } from "./format-bytes.ts";
import { formatMs } from "./format-time.ts";
import { printable } from "./printable.ts";
import { siteParts } from "./site-lines.ts";
import { sparkline } from "./sparkline.ts";
import type { Sample } from "./status-history.ts";
import { type Line, lineWidth, renderLine, styled } from "./styled-line.ts";

export interface SiteScreen {
  server: string;
  site: FollowedSite;
  samples: readonly Sample[];
  now: Date;
  width: number;
  height: number;
  color: boolean;
}

/** Everything about a site on one screen, as the lines of a terminal. */
export function siteScreen(screen: SiteScreen): string[] {
  const { site, width, height, color, now } = screen;
  const parts = site.status ? [...siteParts(site.status, now), rates(screen)] : [];
  const bottom: Line = [styled("q or Ctrl-C ends. What holds writes up, and what to do: opsdb drain show", "dim")];
  const above = fitted([[heading(screen), rule(width)], verdictLines(screen), ...parts], Math.max(0, height - 1));
  return [...above, bottom].map((line) => renderLine(line, { width, color }));
}

/** As many lines as there is room for: with space between the sections where it fits, and cut off where nothing else does. */
function fitted(sections: readonly Line[][], room: number): Line[] {
  const close = [...sections.slice(0, -1).flat(), [], ...sections.slice(-1).flat()];
  const wide = sections.flatMap((section, i) => (i < 2 ? section : [[], ...section]));
  const lines = [wide, close, sections.flat()].find(({ length }) => length <= room) ?? sections.flat().slice(0, room);
  return [...lines, ...Array.from({ length: room - lines.length }, (): Line => [])];
}

function heading({ server, site: { status, disconnected }, now, width }: SiteScreen): Line {
  const left: Line = status
    ? [
        styled(status.site, "bold"),
        `  ${status.role === SiteRole.MAIN ? "main site" : "secondary site"}`,
        styled(`  ${server}`, "dim"),
      ]
    : [styled(server, "bold")];
  const clock = `${now.toISOString().slice(0, 19).replace("T", " ")}Z  `;
  const state = disconnected
    ? styled("○ disconnected", "bad")
    : status
      ? styled("● live", "good")
      : styled("○ connecting", "warning");
  const right: Line = [styled(clock, "dim"), state];
  return [...left, " ".repeat(Math.max(2, width - lineWidth(left) - lineWidth(right))), ...right];
}

function verdictLines({ site: { status, disconnected }, now }: SiteScreen): Line[] {
  if (disconnected) {
    const ms = now.getTime() - disconnected.since.getTime();
    const since = `${disconnected.since.toISOString().slice(11, 19)}Z`;
    const old = status ? " Below is what was known then." : "";
    return [
      [styled(" DISCONNECTED ", "bad"), styled(`since ${since}, for ${formatMs(ms)}.${old}`, "bad")],
      [printable(disconnected.reason)],
    ];
  }
  if (!status) return [[styled("no status yet", "dim")]];
  return assessmentLines(status, now);
}

function assessmentLines(status: ReplicationStatus, now: Date): Line[] {
  const findings = assessStatus(status, { thresholds: defaultThresholds, rejected: undefined, now });
  if (findings.length === 0) return [[styled("OK        ", "good"), verdict(status, findings).reason]];
  return findings.map(
    ({ level, reason }): Line => [
      styled(level.padEnd(10), level === "CRITICAL" ? "bad" : "warning"),
      printable(reason),
    ],
  );
}

function rates({ samples, site: { status }, width }: SiteScreen): Line[] {
  const bars = Math.max(10, Math.min(60, width - 40));
  const line = (title: string, values: readonly (number | undefined)[], show: (value: number) => string): Line => {
    const last = values.at(-1);
    const most = Math.max(0, ...values.slice(-bars).map((value) => value ?? 0));
    return [
      styled(title.padEnd(14), "bold"),
      styled(sparkline(values, bars), "accent"),
      `  ${last === undefined ? "not known" : show(last)}`,
      styled(most === 0 ? "" : `  (most ${show(most)})`, "dim"),
    ];
  };
  const perSecond = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} /s`;
  const lag = line(
    "lag",
    samples.map((sample) => sample.lagBytes),
    formatBytes,
  );
  if (!status?.buffer) return [lag];
  return [
    line(
      "accepted",
      samples.map((sample) => sample.acceptedPerSecond),
      perSecond,
    ),
    line(
      "applied",
      samples.map((sample) => sample.appliedPerSecond),
      perSecond,
    ),
    line(
      "pending",
      samples.map((sample) => sample.pending),
      String,
    ),
    lag,
  ];
}

function rule(width: number): Line {
  return [styled("─".repeat(width), "dim")];
}
