import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { StubServer } from "../../test/support/stub-server.ts";

test.each([
  ["no host", "HTTP/1.0\r\n"],
  ["an empty host", "HTTP/1.1\r\nhost: \r\n"],
  ["a host that is none", "HTTP/1.1\r\nhost: [\r\n"],
])("a call with %s is refused as the caller's fault", async (_what, host) => {
  await using stub = await StubServer.open();
  const socket = connect(stub.port, "127.0.0.1");
  const headers = `${host}content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n`;
  socket.write(`POST /opsdb.v1.WriteService/Write ${headers}\r\n{}`);
  expect(await text(socket)).toMatch(/^HTTP\/1.1 400 .*"code":"invalid_argument"/s);
  expect(stub.logged).toEqual([]);
});
