import { type DescMethod, fromBinary, fromJsonString } from "@bufbuild/protobuf";
import { type WriteResponse, WriteResponseSchema } from "../../gen/ts/opsdb/v1/write_pb.ts";
import type { Dictionary } from "./dictionary.ts";
import { type PlannedCall, planCall } from "./planned-call.ts";
import { type CallSender, frames, type Outcome } from "./send-call.ts";

/** Calls under way at once. */
const AT_ONCE = 32;
/** Cases that are told of each kind of finding. */
const TOLD = 2;

export interface MethodReport {
  sent: number;
  codes: Map<string, number>;
  /** Answers that no bad input may have, by code and message, with the cases. */
  findings: Map<string, { count: number; cases: string[] }>;
  /** Ids of the writes that were acknowledged. */
  acknowledged: string[];
}

export interface FuzzOptions {
  method: DescMethod;
  sender: CallSender;
  dictionary: Dictionary;
  seed: number;
  count: number;
  /** No further call begins after that, `performance.now()`. */
  until?: number;
}

/** Sends so many random calls of one method. Each depends on its seed alone: the first has the given one. */
export async function fuzzMethod(options: FuzzOptions): Promise<MethodReport> {
  const { method, sender, dictionary, seed, count, until = Number.POSITIVE_INFINITY } = options;
  const report: MethodReport = { sent: 0, codes: new Map(), findings: new Map(), acknowledged: [] };
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < count && performance.now() < until) {
      const caseSeed = seed + next++;
      const call = planCall(method, caseSeed, dictionary);
      const outcome = await sender.send(call);
      record(report, method, call, caseSeed, outcome);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, caller));
  return report;
}

function record(report: MethodReport, method: DescMethod, call: PlannedCall, seed: number, outcome: Outcome): void {
  report.sent += 1;
  report.codes.set(outcome.code, (report.codes.get(outcome.code) ?? 0) + 1);
  if (outcome.code === "OK" && method.name === "Write") {
    const id = acknowledgement(call, outcome)?.status?.writeId;
    if (id) report.acknowledged.push(id);
  }
  if (isContract(outcome)) return;
  const kind = `${outcome.code}: ${outcome.message.replace(/\d+/g, "N").slice(0, 120)}`;
  const finding = report.findings.get(kind) ?? { count: 0, cases: [] };
  finding.count += 1;
  if (finding.cases.length < TOLD) finding.cases.push(describeCase(method, call, seed));
  report.findings.set(kind, finding);
}

/** Each kind of finding as one text. */
export function describeFindings({ findings }: MethodReport): string[] {
  return [...findings].map(([kind, { count, cases }]) => [`${count} times ${kind}`, ...cases].join("\n"));
}

/** Whether the contract has this answer for a caller who is wrong while the service is well. */
function isContract({ code, message }: Outcome): boolean {
  // A stock of leased keys that random inserts use up faster than main gives more is a named state with a time to retry.
  if (code === "UNAVAILABLE" && message.includes("and this site has none left")) return true;
  // So is a Redis that this machine, with many calls at once, was too slow for.
  if (code === "UNAVAILABLE" && /no answer within \d+ ms|Command timed out/.test(message)) return true;
  return contract.has(code) || /^HTTP (4\d\d|505)$/.test(code); // 505: bidirectional calls need HTTP/2
}

const contract: ReadonlySet<string> = new Set([
  "OK",
  "CANCELLED",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "UNIMPLEMENTED",
  "left", // the caller has gone before an answer
  "not sent", // the client's own library refused
]);

function acknowledgement(call: PlannedCall, { body }: Outcome): WriteResponse | undefined {
  try {
    if (call.headers["content-type"]?.includes("json")) return fromJsonString(WriteResponseSchema, body.toString());
    const [first] = call.protocol === "connect" ? [{ data: body }] : frames(body);
    return first && fromBinary(WriteResponseSchema, first.data);
  } catch {
    return undefined; // an answer in another form than its call
  }
}

function describeCase(method: DescMethod, call: PlannedCall, seed: number): string {
  const { body, ...rest } = call;
  const bytes = Buffer.concat(body);
  const shown = `${bytes
    .subarray(0, 300)
    .toString("latin1")
    .replace(/[^ -~]/g, ".")} (${bytes.length} bytes)`;
  return `TEST_SEED=${seed} TEST_FUZZ_METHOD=${method.name} ${JSON.stringify(rest)} ${shown}`;
}
