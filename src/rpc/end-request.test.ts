import { request } from "node:http";
import { connect, constants } from "node:http2";
import { expect, test } from "vitest";
import { StubServer } from "../../test/support/stub-server.ts";

test.each(["gRPC", "gRPC-Web", "Connect"])(
  "a request that is answered before its end is ended by the server: %s",
  async (protocol) => {
    await using stub = await StubServer.open();
    const session = connect(stub.url);
    try {
      const types = {
        gRPC: "application/grpc",
        "gRPC-Web": "application/grpc-web",
        Connect: "application/connect+proto",
      };
      const path = protocol === "Connect" ? "/opsdb.v1.QueryService/Query" : "/opsdb.v1.WriteService/Write";
      const headers = { "content-type": types[protocol as keyof typeof types], te: "trailers" };
      const stream = session.request({ ":method": "POST", ":path": path, ...headers }, { endStream: false });
      const seen: string[] = [];
      stream.on("response", (response) => seen.push(String(response["grpc-status"] ?? "")));
      stream.on("trailers", (trailers) => seen.push(String(trailers["grpc-status"])));
      stream.on("data", (chunk: Buffer) => seen.push(chunk.toString("latin1")));
      stream.write(Buffer.from([0, 0, 1, 0, 1])); // a message of 65,537 bytes begins, of 65,536 that are taken
      await new Promise((resolve) => stream.once("close", resolve));
      expect(seen.join()).toMatch(/8|resource_exhausted/);
      expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
    } finally {
      session.destroy();
    }
  },
);

test("so is one over HTTP/1.1, after its caller had time to read the answer", async () => {
  await using stub = await StubServer.open();
  const headers = { "content-type": "application/grpc-web", "content-length": 10_000_000 };
  const call = request(`${stub.url}/opsdb.v1.WriteService/Write`, { method: "POST", headers });
  const closed = new Promise((resolve) => call.once("close", resolve));
  call.on("error", () => {}); // the reset
  call.write(Buffer.from([0, 0, 1, 0, 1])); // a message of 65,537 bytes begins, of 65,536 that are taken
  const answer = await new Promise<string>((resolve) => {
    let seen = "";
    call.on("response", (response) => {
      response.on("data", (chunk: Buffer) => {
        seen += chunk.toString("latin1");
      });
      response.on("end", () => resolve(seen));
    });
  });
  expect(answer).toMatch(/grpc-status: 8/);
  await closed;
});
