import { writeSync } from "node:fs";

const enter = "\u001b[?1049h\u001b[?25l";
const leave = "\u001b[?25h\u001b[?1049l";

/**
 * The whole terminal, given back as it was when this is disposed of and whenever the process ends, also by an error.
 * What is typed comes to `onKey`, one character at a time.
 */
export class FullScreen implements Disposable {
  readonly #onResize: () => void;
  readonly #onKey: (key: string) => void;
  #open = true;

  constructor({ onResize, onKey }: { onResize: () => void; onKey: (key: string) => void }) {
    this.#onResize = onResize;
    this.#onKey = onKey;
    process.stdout.write(enter);
    process.stdout.on("resize", onResize);
    if (process.stdin.isTTY) {
      process.stdin.setRawMode(true);
      process.stdin.setEncoding("utf8").on("data", onKey).resume();
    }
    process.once("exit", this.#leave);
  }

  get size(): { width: number; height: number } {
    const { columns, rows } = process.stdout;
    return { width: columns || 80, height: rows || 24 };
  }

  /** Draws over what is there, line by line, so that nothing flickers. */
  draw(lines: readonly string[]): void {
    const shown = lines.slice(0, this.size.height);
    process.stdout.write(`\u001b[H${shown.map((line) => `${line}\u001b[K`).join("\r\n")}\u001b[J`);
  }

  [Symbol.dispose](): void {
    process.stdout.off("resize", this.#onResize);
    process.stdin.off("data", this.#onKey).pause();
    process.off("exit", this.#leave);
    this.#leave();
  }

  /** Without waiting, because it is the last thing that a process does. */
  readonly #leave = (): void => {
    if (!this.#open) return;
    this.#open = false;
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
    try {
      writeSync(1, leave);
    } catch {
      // The terminal is gone.
    }
  };
}
