// Exits 0 while the service in this container runs and is not stopping. A door that is closed to this check, for want of
// a token or of a client's certificate, is answered by a service that runs.
import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";

const { LISTEN_ADDRESS = "", TLS_CERT_FILE, OPSDB_CERT, OPSDB_KEY } = process.env;
const port = /\d+$/.exec(LISTEN_ADDRESS)?.[0] ?? "8080";
const { get } = TLS_CERT_FILE ? https : http;
// It speaks to itself: whose name is in the certificate says nothing here.
const options = { host: "127.0.0.1", port, path: "/healthz", timeout: 4_000, rejectUnauthorized: false };
if (OPSDB_CERT && OPSDB_KEY) Object.assign(options, { cert: readFileSync(OPSDB_CERT), key: readFileSync(OPSDB_KEY) });

get(options, ({ statusCode }) => process.exit(statusCode === 503 ? 1 : 0))
  .on("timeout", () => fail("no answer within 4 s"))
  .on("error", ({ code, message }) =>
    code === "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED" ? process.exit(0) : fail(message),
  );

function fail(reason) {
  console.error(reason);
  process.exit(1);
}
