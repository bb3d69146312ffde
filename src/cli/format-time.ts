import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

/** "2026-04-02 03:04:05Z". */
export function formatTime(time: Timestamp | undefined): string {
  if (!time) return "unknown";
  return new Date(Number(time.seconds) * 1_000).toISOString().replace("T", " ").replace(".000Z", "Z");
}

/** The two largest units: "3 h 12 min". */
export function formatDuration(duration: Duration | undefined): string {
  return formatMs(Number(duration?.seconds ?? 0n) * 1_000);
}

/** The same of milliseconds. */
export function formatMs(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600), Math.floor(seconds / 60)];
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

/** "2026-04-02 03:04Z" for seconds since 1970. */
export function formatDate(seconds: number): string {
  return `${new Date(seconds * 1_000).toISOString().slice(0, 16).replace("T", " ")}Z`;
}
