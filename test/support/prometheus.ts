import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Child } from "./child.ts";
import { eventually } from "./eventually.ts";
import { freePort } from "./free-port.ts";
import { removeAtEnd } from "./janitor.ts";

export interface Target {
  /** host:port. */
  address: string;
  labels: Record<string, string>;
}

export interface Sample {
  metric: Record<string, string>;
  value: number;
}

export interface FiringAlert {
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

/** A Prometheus of its own that scrapes and evaluates five times a second. */
export class Prometheus implements AsyncDisposable {
  readonly #child: Child;
  readonly #url: string;
  readonly #directory: string;

  private constructor(child: Child, url: string, directory: string) {
    this.#child = child;
    this.#url = url;
    this.#directory = directory;
  }

  /** Starts it with rules in Prometheus's own form, and waits until it has seen every target. */
  static async start(targets: readonly Target[], rules: string): Promise<Prometheus> {
    const directory = mkdtempSync(join(tmpdir(), "opsdb-prometheus-"));
    removeAtEnd(directory);
    const port = await freePort();
    writeFileSync(join(directory, "rules.yml"), rules);
    const config = {
      global: { scrape_interval: "200ms", scrape_timeout: "200ms", evaluation_interval: "200ms" },
      rule_files: ["rules.yml"],
      scrape_configs: [
        {
          job_name: "ops-db-api",
          scrape_timeout: "200ms",
          static_configs: targets.map(({ address, labels }) => ({ targets: [address], labels })),
        },
      ],
    };
    writeFileSync(join(directory, "prometheus.yml"), JSON.stringify(config)); // JSON is YAML
    const child = await Child.start({
      command: "prometheus",
      args: [
        `--config.file=${join(directory, "prometheus.yml")}`,
        `--storage.tsdb.path=${join(directory, "data")}`,
        `--web.listen-address=127.0.0.1:${port}`,
        "--query.lookback-delta=5s",
      ],
      cwd: directory,
      log: join(directory, "prometheus.log"),
    });
    const prometheus = new Prometheus(child, `http://127.0.0.1:${port}`, directory);
    try {
      await eventually(
        () => prometheus.query("up == 1"),
        (up) => up.length === targets.length,
        { timeoutMs: 20_000, everyMs: 100, what: "that Prometheus has seen every target" },
      );
    } catch (error) {
      await prometheus[Symbol.asyncDispose]();
      throw error;
    }
    return prometheus;
  }

  /** What an expression answers just now. Rejects where Prometheus cannot read it. */
  async query(expression: string): Promise<Sample[]> {
    const { result } = await this.#get<{ result: { metric: Sample["metric"]; value: [number, string] }[] }>(
      `query?query=${encodeURIComponent(expression)}`,
    );
    return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
  }

  async firing(): Promise<FiringAlert[]> {
    const { alerts } = await this.#get<{ alerts: (FiringAlert & { state: string })[] }>("alerts");
    return alerts.filter(({ state }) => state === "firing");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.end("SIGTERM");
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #get<T>(path: string): Promise<T> {
    const response = await fetch(`${this.#url}/api/v1/${path}`, { headers: { connection: "close" } });
    const answer = (await response.json()) as { status: string; data: T; error?: string };
    if (answer.status !== "success") throw new Error(`${path}: ${answer.error}`);
    return answer.data;
  }
}
