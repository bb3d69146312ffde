import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

/** Milliseconds as a Duration. */
export function toDuration(ms: number): Duration {
  const whole = Math.floor(ms / 1000);
  const nanos = Math.floor((ms - whole * 1000) * 1e6);
  return { $typeName: "google.protobuf.Duration", seconds: BigInt(whole), nanos };
}

/** A Duration in milliseconds. */
export function fromDuration(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** A Date as a Timestamp. */
export function toTimestamp(date: Date): Timestamp {
  const ms = date.getTime();
  const seconds = Math.floor(ms / 1000);
  return { $typeName: "google.protobuf.Timestamp", seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 };
}
