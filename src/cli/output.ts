import { exitCode } from "./exit-code.ts";

/** Writes to standard output at the pace of whoever reads it; resolves when more may come. */
export async function writeOut(text: string): Promise<void> {
  if (text === "" || process.stdout.write(text)) return;
  await new Promise<void>((resolve) => process.stdout.once("drain", resolve));
}

/** Ends the process without a word when the reader of its output has gone, as `head` does once it has its lines. */
export function endWithReader(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(exitCode.closedPipe);
    throw error;
  });
}

/** Whether colours and other ornaments may be written there. */
export function ornate(stream: { isTTY?: boolean }, env: Readonly<Record<string, string | undefined>>): boolean {
  return stream.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb";
}
