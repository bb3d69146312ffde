import { toJsonString } from "@bufbuild/protobuf";
import {
  AcknowledgeLossResponseSchema,
  type Pause,
  PauseDrainResponseSchema,
  ResumeDrainResponseSchema,
  type ShowDrainResponse,
  ShowDrainResponseSchema,
} from "../../gen/ts/opsdb/v1/admin_pb.ts";
import { AlarmLevel, PartState, type PartStatus } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import type { CommandCall, SiteCommand } from "./command.ts";
import { enumName } from "./enum-name.ts";
import { exitCode } from "./exit-code.ts";
import { formatPairs, formatTable } from "./format-table.ts";
import { formatDuration, formatTime } from "./format-time.ts";
import type { OptionName } from "./options.ts";

const acting: readonly OptionName[] = ["reason", "operator", "json"];

export const drainCommands: readonly SiteCommand[] = [
  {
    name: "drain show",
    summary: "Show what holds writes up on their way to the main database.",
    options: ["json"],
    examples: ["opsdb drain show", "opsdb drain show --server chile:8080 --json"],
    async run({ admin, options }) {
      const answer = await admin.showDrain({});
      if (options.json) console.log(toJsonString(ShowDrainResponseSchema, answer));
      else for (const line of describeDrain(answer)) console.log(line);
      return exitCode.ok;
    },
  },
  {
    name: "drain pause",
    summary: "Stop applying this site's writes to the main database; they are still accepted.",
    options: acting,
    examples: ['opsdb drain pause --reason "the link is under maintenance until noon"'],
    async run({ admin, options, motive }) {
      const answer = await admin.pauseDrain(motive());
      if (options.json) console.log(toJsonString(PauseDrainResponseSchema, answer));
      else console.log(`the drain is ${describePause(answer.pause)}`);
      return exitCode.ok;
    },
  },
  {
    name: "drain resume",
    summary: "Go on applying this site's writes to the main database.",
    options: acting,
    examples: ['opsdb drain resume --reason "maintenance is over"'],
    async run({ admin, options, motive }) {
      const answer = await admin.resumeDrain(motive());
      if (options.json) console.log(toJsonString(ResumeDrainResponseSchema, answer));
      else
        console.log(
          answer.ended ? `the drain goes on; it was ${describePause(answer.ended)}` : "the drain was not paused",
        );
      return exitCode.ok;
    },
  },
  {
    name: "loss acknowledge",
    summary: "Confirm that a loss of acknowledged writes was seen.",
    options: acting,
    examples: ['opsdb loss acknowledge --reason "the night of the 3rd was entered again by hand"'],
    async run({ admin, options, motive }: CommandCall) {
      const answer = await admin.acknowledgeLoss(motive());
      if (options.json) console.log(toJsonString(AcknowledgeLossResponseSchema, answer));
      else if (answer.loss) console.log(`acknowledged: ${answer.loss.message} (${formatTime(answer.loss.at)})`);
      else console.log("no loss is known");
      return exitCode.ok;
    },
  },
];

function describePause(pause: Pause | undefined): string {
  return `paused by ${pause?.operator} since ${formatTime(pause?.since)}: ${pause?.reason}`;
}

function describeDrain(answer: ShowDrainResponse): string[] {
  const { site, processor, buffer, oldestPending: oldest, unresolvedRejectedWrites: rejected, holdups } = answer;
  const lines = formatPairs([
    ["site", site],
    ["processor", describePart(processor?.state)],
    ["buffer", describePart(buffer?.connection)],
    [
      "waiting",
      buffer && `${buffer.pendingWrites} for the main database, ${buffer.overlayWrites} for this site's replica`,
    ],
    [
      "kept",
      buffer && `${buffer.retainedWrites} writes, ${buffer.bytes} bytes, alarm ${enumName(AlarmLevel, buffer.alarm)}`,
    ],
    [
      "oldest",
      oldest &&
        `${oldest.writeId} at ${oldest.position}, ${formatDuration(oldest.age)} old, to ${oldest.tables.join(", ")}`,
    ],
    ["rejected", rejected === undefined ? "not known" : `${rejected} without a decision`],
    ["last error", answer.lastError && `${answer.lastError} (since ${formatTime(answer.lastErrorSince)})`],
    ["next attempt", answer.nextAttempt && formatTime(answer.nextAttempt)],
  ]);
  if (holdups.length === 0) return [...lines, "", "nothing holds writes up"];
  const rows = holdups.map(({ part, state, since, reason, advice }) => ({
    cells: [part, enumName(PartState, state), since ? formatTime(since) : "", reason],
    details: [advice],
  }));
  return [...lines, "", ...formatTable(["HELD UP BY", "STATE", "SINCE", "REASON"], rows)];
}

function describePart(part: PartStatus | undefined): string | undefined {
  if (!part) return undefined;
  return `${enumName(PartState, part.state)}${part.reason === "" ? "" : `, ${part.reason}`}`;
}
