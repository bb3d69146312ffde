import type { Incoming } from "./front.ts";

/** Whether path and host of a request make a URL: a host may be missing in HTTP/1.0, and anything may stand there. */
export function isRequestedUrl(request: Incoming): boolean {
  const host = "authority" in request ? request.authority : request.headers.host;
  return host !== undefined && URL.canParse(request.url ?? "", `http://${host}`);
}
