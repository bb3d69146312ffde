// Exits 0 while the service in this container runs and is not stopping.
import { get } from "node:http";

const port = /\d+$/.exec(process.env.LISTEN_ADDRESS ?? "")?.[0] ?? "8080";
const request = get({ host: "127.0.0.1", port, path: "/healthz", timeout: 4_000 }, (response) => {
  process.exit(response.statusCode === 200 ? 0 : 1);
});
request.on("timeout", () => request.destroy(new Error("no answer within 4 s")));
request.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
