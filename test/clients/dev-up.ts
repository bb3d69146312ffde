import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "../support/child.ts";
import { eventually } from "../support/eventually.ts";
import { removeAtEnd } from "../support/janitor.ts";

const projectRoot = join(import.meta.dirname, "..", "..");

/** `./dev up` as in a terminal of its own. */
export class DevUp implements AsyncDisposable {
  #child: Child | undefined;
  #printed = "";

  /** Resolves when it has said where both sites are. */
  async start(): Promise<void> {
    const logs = mkdtempSync(join(tmpdir(), "opsdb-up-"));
    removeAtEnd(logs);
    this.#child = await Child.start({
      command: "./dev",
      args: ["up"],
      cwd: projectRoot,
      log: join(logs, "up.log"),
      onOutput: (text) => {
        this.#printed += text;
      },
    });
    await eventually(
      () => (this.#child?.running ? this.secondary : `ended: ${this.#printed}`),
      (address) => /^[\d.]+:\d+$/.test(address),
      { timeoutMs: 120_000, everyMs: 50, what: "that ./dev up says where the sites are" },
    );
  }

  /** host:port of the secondary site's gRPC, as it was printed. */
  get secondary(): string {
    return this.#printed.match(/secondary site +gRPC (\S+)/)?.[1] ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child?.end("SIGTERM");
  }
}
