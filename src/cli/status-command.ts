import { toJson } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { HealthCheckResponse_ServingStatus as Serving } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { type ReplicationStatus, ReplicationStatusSchema } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { assessStatus, defaultThresholds, type Finding, levels, type Thresholds, verdict } from "./assess-status.ts";
import { describeCallError } from "./call-error.ts";
import { type CommandCall, type SiteCommand, UsageError } from "./command.ts";
import { knownLag } from "./known-lag.ts";
import { ornate } from "./output.ts";
import { readCount, readSize, readTime } from "./read-option.ts";
import { siteParts } from "./site-lines.ts";
import { type Line, renderLine, styled } from "./styled-line.ts";
import { transient } from "./transient.ts";

const DEFAULT_TIMEOUT_MS = 10_000;
const checkedServices = [
  ["opsdb.v1.WriteService", "writes are refused"],
  ["opsdb.v1.QueryService", "merged reads are refused"],
] as const;

export const statusCommand: SiteCommand = {
  name: "status",
  summary: "Show how a site is, on one screen; the exit code is for monitoring.",
  details: `The first line is the verdict with its reason in one sentence, and measurements after "|", as Nagios and Icinga read them.
Exit code: 0 OK, 1 WARNING, 2 CRITICAL (also where the server does not answer), 3 UNKNOWN (also for wrong usage).`,
  options: [
    "lag-warning",
    "lag-critical",
    "oldest-warning",
    "oldest-critical",
    "rejected-warning",
    "rejected-critical",
    "timeout",
    "json",
  ],
  examples: [
    "opsdb status",
    "opsdb status --oldest-warning 10m --oldest-critical 12h --lag-critical 500MB",
    "opsdb status --json --timeout 5s",
  ],
  usageCode: levels.UNKNOWN,
  async run(call) {
    const thresholds = readThresholds(call);
    const timeoutMs = readTime(call.options.timeout, "--timeout") ?? DEFAULT_TIMEOUT_MS;
    try {
      return await show(call, thresholds, timeoutMs);
    } catch (error) {
      const { message } = describeCallError(error, call.server);
      const level = transient(error) ? "CRITICAL" : "UNKNOWN";
      console.log(call.options.json ? JSON.stringify({ level, reason: message }) : `${level}: ${message}`);
      return levels[level];
    }
  },
};

async function show(call: CommandCall, thresholds: Thresholds, timeoutMs: number): Promise<number> {
  const [status, rejected, refused] = await Promise.all([
    readStatus(call, timeoutMs),
    unresolvedRejected(call, timeoutMs),
    refusedServices(call, timeoutMs),
  ]);
  const now = new Date();
  const assessed = assessStatus(status, { thresholds, rejected, now });
  const findings = [
    ...refused.filter(({ reason }) => !assessed.some((each) => each.reason.startsWith(reason))),
    ...assessed,
  ];
  const { level, reason } = verdict(status, findings);
  if (call.options.json) {
    const told = toJson(ReplicationStatusSchema, status);
    console.log(JSON.stringify({ level, reason, findings, unresolvedRejectedWrites: rejected ?? null, status: told }));
  } else {
    const color = ornate(process.stdout, call.env);
    const width = process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY;
    console.log(`${level}: ${reason.replaceAll("|", "/")} | ${measurements(status, rejected)}`);
    console.log("");
    const lines: Line[] = [
      ...findings.map(findingLine),
      ...(findings.length > 0 ? [[]] : []),
      ...siteParts(status, now).flat(),
    ];
    for (const line of lines) console.log(renderLine(line, { width, color }));
  }
  return levels[level];
}

/** The full status comes first in every watch. */
async function readStatus({ replication }: CommandCall, timeoutMs: number): Promise<ReplicationStatus> {
  const done = new AbortController(); // leaving the loop does not end the call
  try {
    for await (const { event } of replication.watchReplication({}, { timeoutMs, signal: done.signal }))
      if (event.case === "status") return event.value;
  } finally {
    done.abort();
  }
  throw new ConnectError("the server told no status", Code.Unavailable);
}

/** Undefined where the site does not know, or the caller may not ask. */
async function unresolvedRejected({ admin }: CommandCall, timeoutMs: number): Promise<number | undefined> {
  try {
    const { unresolvedRejectedWrites } = await admin.showDrain({}, { timeoutMs });
    return unresolvedRejectedWrites === undefined ? undefined : Number(unresolvedRejectedWrites);
  } catch {
    return undefined;
  }
}

/** What the server itself says it cannot do; nothing where its health is closed to the caller. */
async function refusedServices({ health }: CommandCall, timeoutMs: number): Promise<Finding[]> {
  const found = await Promise.all(
    checkedServices.map(async ([service, reason]): Promise<Finding[]> => {
      try {
        const { status } = await health.check({ service }, { timeoutMs });
        return status === Serving.NOT_SERVING ? [{ level: "CRITICAL", reason }] : [];
      } catch {
        return [];
      }
    }),
  );
  return found.flat();
}

function findingLine({ level, reason }: Finding): Line {
  return [styled(level.padEnd(10), level === "CRITICAL" ? "bad" : "warning"), reason];
}

function measurements(status: ReplicationStatus, rejected: number | undefined): string {
  const { buffer } = status;
  const lag = knownLag(status);
  const age = buffer?.oldestAge === undefined ? 0 : Number(buffer.oldestAge.seconds);
  return [
    ...(buffer ? [`pending=${buffer.pendingWrites}`, `oldest=${age}s`, `buffer=${buffer.bytes}B`] : []),
    ...(lag === undefined ? [] : [`lag=${lag}B`]),
    ...(rejected === undefined ? [] : [`rejected=${rejected}`]),
  ].join(" ");
}

function readThresholds({ options }: CommandCall): Thresholds {
  const { lagBytes, oldestMs, rejected } = defaultThresholds;
  const thresholds = {
    lagBytes: {
      warning: readSize(options["lag-warning"], "--lag-warning") ?? lagBytes.warning,
      critical: readSize(options["lag-critical"], "--lag-critical") ?? lagBytes.critical,
    },
    oldestMs: {
      warning: readTime(options["oldest-warning"], "--oldest-warning") ?? oldestMs.warning,
      critical: readTime(options["oldest-critical"], "--oldest-critical") ?? oldestMs.critical,
    },
    rejected: {
      warning: readCount(options["rejected-warning"], "--rejected-warning") ?? rejected.warning,
      critical: readCount(options["rejected-critical"], "--rejected-critical") ?? rejected.critical,
    },
  };
  for (const { warning, critical } of Object.values(thresholds))
    if (warning > critical) throw new UsageError("a threshold for WARNING lies above the one for CRITICAL; give both");
  return thresholds;
}
