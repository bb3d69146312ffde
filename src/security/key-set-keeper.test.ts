import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { createLogger } from "../lib/logger.ts";
import { KeySetKeeper } from "./key-set-keeper.ts";

test("of an endless answer no more is read than keys could have", async () => {
  const chunk = Buffer.alloc(64 * 1024, " ");
  const server = createServer((_, response) => {
    const more = (): void => void (response.destroyed || response.write(chunk, more));
    more();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const logged: string[] = [];
  const keeper = new KeySetKeeper({
    source: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    copy: undefined,
    refreshMs: 1,
    timeoutMs: 1_000,
    logger: createLogger({ level: "info", destination: { write: (line) => void logged.push(line) } }),
    changed: () => {},
  });
  await keeper.renew();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  expect(logged.join("")).toContain("answers with more than 1048576 bytes");
});
