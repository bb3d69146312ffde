import { gzipSync } from "node:zlib";
import { type DescMethod, fromBinary, toBinary, toJsonString } from "@bufbuild/protobuf";
import { Chance } from "../property/chance.ts";
import { anyMessage } from "./any-message.ts";
import type { Dictionary } from "./dictionary.ts";
import { mutateBytes, mutateText } from "./mutate-bytes.ts";
import { plausibleRequest } from "./plausible-request.ts";

export type Protocol = "grpc" | "grpc-web" | "connect";

/** One request as it goes over the wire, whatever is wrong with it. */
export interface PlannedCall {
  protocol: Protocol;
  /** Version of HTTP. */
  http: 1 | 2;
  method: string;
  path: string;
  headers: Record<string, string>;
  /** What is sent, piece by piece. */
  body: Buffer[];
  /** Whether the request is ended; otherwise it is left half-way. */
  ends: boolean;
  /** When the caller goes away, milliseconds after the request; undefined: it waits for the answer. */
  leavesAfterMs: number | undefined;
}

/** The same call for the same seed. */
export function planCall(method: DescMethod, seed: number, dictionary: Dictionary): PlannedCall {
  const chance = new Chance(seed);
  const protocol = chance.of<Protocol>(["grpc", "grpc", "grpc", "grpc", "connect", "connect", "grpc-web"]);
  const json = protocol === "connect" && !chance.once(3);
  const message = plannedMessage(method, chance, dictionary, json);
  const streams = method.methodKind !== "unary";
  const enveloped = protocol !== "connect" || streams;
  const headers = plannedHeaders(chance, protocol, json, method);
  const leaves = streams ? !chance.once(3) : chance.once(12);
  return {
    protocol,
    http: protocol === "grpc" || chance.once(2) ? 2 : 1,
    method: chance.once(150) ? chance.of(["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"]) : "POST",
    path: plannedPath(chance, method),
    headers,
    body: enveloped ? envelopes(chance, message, headers) : [message],
    ends: !chance.once(60),
    leavesAfterMs: leaves ? chance.of([0, 1, 5, 20]) : undefined,
  };
}

function plannedMessage(method: DescMethod, chance: Chance, dictionary: Dictionary, json: boolean): Buffer {
  const kind = chance.below(3);
  const whole = kind === 0 ? undefined : toBinary(method.input, plausibleRequest(method, chance, dictionary));
  const bytes =
    whole === undefined
      ? anyMessage(method.input, chance, dictionary)
      : kind === 1 && !json
        ? mutateBytes(whole, chance)
        : whole;
  if (!json) return Buffer.from(bytes);
  const text = asJson(method, bytes);
  return kind === 2 && text !== undefined ? Buffer.from(text) : mutateText(text ?? "{}", chance);
}

function asJson(method: DescMethod, bytes: Uint8Array): string | undefined {
  try {
    return toJsonString(method.input, fromBinary(method.input, bytes));
  } catch {
    return undefined; // no message, or one that JSON has no words for
  }
}

function plannedPath(chance: Chance, method: DescMethod): string {
  const path = `/${method.parent.typeName}/${method.name}`;
  if (!chance.once(60)) return path;
  return chance.of([
    `${path}?x=1`,
    `${path}/`,
    `/${path}`,
    path.toLowerCase(),
    `${path}%00`,
    `${path}?connect=v1&encoding=json&message=%7B%7D`,
    "//",
    "/opsdb.v1.WriteService/constructor",
    "/__proto__",
  ]);
}

function plannedHeaders(chance: Chance, protocol: Protocol, json: boolean, method: DescMethod): Record<string, string> {
  const streams = method.methodKind !== "unary";
  const types = {
    grpc: ["application/grpc", "application/grpc+proto"],
    "grpc-web": ["application/grpc-web", "application/grpc-web+proto"],
    connect: [`application/${streams ? "connect+" : ""}${json ? "json" : "proto"}`],
  };
  const headers: Record<string, string> = { "content-type": chance.of(types[protocol]) };
  if (protocol === "grpc") headers.te = "trailers";
  if (protocol === "connect" && chance.once(2)) headers["connect-protocol-version"] = "1";
  const timeout = protocol === "connect" ? "connect-timeout-ms" : "grpc-timeout";
  const unit = protocol === "connect" ? "" : "m";
  // A watch goes on until its deadline.
  const longest = streams && method.name !== "Query" ? 100 : 5_000;
  headers[timeout] = `${Math.min(longest, chance.of([5_000, 5_000, 5_000, 1_000, 100, 10, 2, 1]))}${unit}`;
  if (chance.once(25))
    headers[timeout] = chance.of([
      "0",
      "-1",
      "1",
      "1x",
      "99999999H",
      "999999999S",
      "",
      " 1S",
      "1n",
      "NaN",
      "1e3",
      "١S",
    ]);
  if (!chance.once(20)) return headers;
  const [name, value] = chance.of<[string, string]>([
    ["content-type", "application/grpc+json"],
    ["content-type", "text/plain"],
    ["content-type", ""],
    ["content-type", "application/grpc-web-text"],
    ["content-type", "application/json; charset=latin1"],
    ["content-type", `application/${"x".repeat(2_000)}`],
    ["grpc-encoding", "gzip"],
    ["grpc-encoding", "snappy"],
    ["grpc-accept-encoding", "gzip,deflate,br,nobody"],
    ["connect-content-encoding", "gzip"],
    ["content-encoding", "gzip"],
    ["content-encoding", "br"],
    ["connect-protocol-version", "2"],
    ["x-noise", "\u00ff\u00fe"],
    ["x-noise", "x".repeat(5_000)],
    ["x-noise-bin", "not base64!"],
    ["grpc-trace-bin", "AAAA"],
    ["traceparent", "00-zz-zz-zz"],
    ["authorization", "Bearer x"],
    ["te", "gzip"],
    ["accept", "nothing/nowhere"],
    ["cookie", "a=b; ".repeat(200)],
  ]);
  headers[name] = value;
  return headers;
}

/** The message in the frames of a stream, with lies about them now and then. */
function envelopes(chance: Chance, message: Buffer, headers: Record<string, string>): Buffer[] {
  const good = envelope(0, message);
  if (!chance.once(8)) return [good];
  switch (chance.below(9)) {
    case 0:
      return [];
    case 1:
      return [good, good];
    case 2:
      return [good.subarray(0, chance.below(good.length))];
    case 3:
      return [Buffer.concat([good, Buffer.from([0])])];
    case 4:
      return [envelope(0, message, chance.of([0, message.length + 1, 2 ** 31, 2 ** 32 - 1]))];
    case 5:
      return [envelope(chance.of([2, 4, 0x7f, 0x80, 0xff]), message)];
    case 6:
      return [envelope(1, message)]; // said to be compressed
    case 7: {
      headers[headers["content-type"]?.startsWith("application/grpc") ? "grpc-encoding" : "connect-content-encoding"] =
        "gzip";
      const packed = gzipSync(chance.once(4) ? zeros : message);
      return [envelope(1, chance.once(2) ? packed : packed.subarray(0, packed.length / 2))];
    }
    default:
      return Array.from({ length: Math.min(good.length, 40) }, (_, i) =>
        i < 39 ? good.subarray(i, i + 1) : good.subarray(39),
      );
  }
}

/** Small when packed, and larger than any message may be. */
const zeros = Buffer.alloc(6 * 1024 * 1024);

export function envelope(flags: number, message: Uint8Array, length = message.length): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags, 0);
  prefix.writeUInt32BE(length, 1);
  return Buffer.concat([prefix, message]);
}
