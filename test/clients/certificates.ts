import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Makes an authority and, signed by it, certificates of a server and a client of this name: ca, server and client, .pem and .key. */
export async function createCertificates(openssl: string, directory: string, name: string): Promise<void> {
  const path = (file: string): string => join(directory, file);
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const authority = ["-subj", "/CN=test authority", "-keyout", path("ca.key"), "-out", path("ca.pem")];
  await run(openssl, [...request, ...authority]);
  for (const role of ["server", "client"]) {
    const subject = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
    const leaf = ["-addext", "basicConstraints=critical,CA:FALSE", "-CA", path("ca.pem"), "-CAkey", path("ca.key")];
    await run(openssl, [...request, ...subject, ...leaf, "-keyout", path(`${role}.key`), "-out", path(`${role}.pem`)]);
  }
}
