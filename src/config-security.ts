/** Who may use what is no call of the service itself. */
export type Access = "open" | "token" | "closed";

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Undefined: clients need no certificate. */
  readonly clientCaFile: string | undefined;
}

/** An identity provider whose JSON Web Tokens are taken. */
export interface JwtConfig {
  /** URL or path of its key set. */
  readonly keys: string;
  readonly issuer: string;
  readonly audience: string;
  readonly rolesClaim: string;
  readonly tablesClaim: string;
  readonly clockToleranceMs: number;
  readonly refreshMs: number;
}

export interface AuthConfig {
  readonly pollMs: number;
  /** Of a token that says nothing of it itself; 0: no limit. */
  readonly callsPerSecond: number;
  readonly jwt: JwtConfig | undefined;
}

export interface SecurityConfig {
  /** Undefined: plaintext. */
  readonly tls: TlsFiles | undefined;
  /** Undefined: everybody may do everything. */
  readonly auth: AuthConfig | undefined;
  readonly access: { readonly reflection: Access; readonly health: Access; readonly metrics: Access };
}

/** What the reading of the environment offers. What it returns after a problem is never used. */
export interface VariableReader {
  optional(name: string): string | undefined;
  text(name: string): string;
  integer(name: string): number;
  problem(name: string, problem: string): void;
}

/** Reads who may do what, and refuses a door that stands open by mistake. */
export function readSecurity(reader: VariableReader, listenHost: string): SecurityConfig {
  const tls = readTls(reader);
  const insecure = reader.text("ALLOW_INSECURE") === "true";
  const open = insecure || isLoopback(listenHost);
  const auth = reader.optional("AUTH");
  const where = `${listenHost} is not loopback`;
  const switched = "or ALLOW_INSECURE=true, if that is what you want";
  if (!open && tls === undefined)
    reader.problem("TLS_CERT_FILE", `is not set, and LISTEN_ADDRESS ${where}: set it with TLS_KEY_FILE, ${switched}`);
  if (!open && auth === undefined)
    reader.problem("AUTH", `is not set, and LISTEN_ADDRESS ${where}: set AUTH=on, ${switched}`);
  if (!open && auth === "off" && tls !== undefined && tls.clientCaFile === undefined)
    reader.problem("AUTH", `is off, and LISTEN_ADDRESS ${where}: set AUTH=on, or TLS_CLIENT_CA_FILE, ${switched}`);
  const on = auth === "on";
  const byDefault = on ? "token" : "open";
  return {
    tls,
    auth: on ? readAuth(reader) : undefined,
    access: {
      reflection: readAccess(reader, "REFLECTION_ACCESS", byDefault, on),
      health: readAccess(reader, "HEALTH_ACCESS", "open", on),
      metrics: readAccess(reader, "METRICS_ACCESS", byDefault, on),
    },
  };
}

function readTls(reader: VariableReader): TlsFiles | undefined {
  const certFile = reader.optional("TLS_CERT_FILE");
  const keyFile = reader.optional("TLS_KEY_FILE");
  const clientCaFile = reader.optional("TLS_CLIENT_CA_FILE");
  if (certFile !== undefined && keyFile !== undefined) return { certFile, keyFile, clientCaFile };
  if (certFile !== undefined) reader.problem("TLS_KEY_FILE", "is not set, and TLS_CERT_FILE is");
  else if (keyFile !== undefined) reader.problem("TLS_CERT_FILE", "is not set, and TLS_KEY_FILE is");
  else if (clientCaFile !== undefined) reader.problem("TLS_CERT_FILE", "is not set, and TLS_CLIENT_CA_FILE is");
  return undefined;
}

function readAuth(reader: VariableReader): AuthConfig {
  return {
    pollMs: reader.integer("TOKEN_POLL_MS"),
    callsPerSecond: reader.integer("TOKEN_CALLS_PER_SECOND"),
    jwt: readJwt(reader),
  };
}

function readJwt(reader: VariableReader): JwtConfig | undefined {
  const keys = reader.optional("JWT_KEYS");
  if (keys === undefined) return undefined;
  if (/^[a-z]+:\/\//.test(keys) && !isKeySetUrl(keys))
    reader.problem("JWT_KEYS", "must be an https:// URL, an http:// URL on loopback, or a file");
  return {
    keys,
    issuer: reader.text("JWT_ISSUER"),
    audience: reader.text("JWT_AUDIENCE"),
    rolesClaim: reader.text("JWT_ROLES_CLAIM"),
    tablesClaim: reader.text("JWT_TABLES_CLAIM"),
    clockToleranceMs: reader.integer("JWT_CLOCK_TOLERANCE_MS"),
    refreshMs: reader.integer("JWT_KEYS_REFRESH_MS"),
  };
}

/** Whoever can change keys on their way could make tokens. */
function isKeySetUrl(text: string): boolean {
  const url = URL.parse(text);
  return url?.protocol === "https:" || (url?.protocol === "http:" && isLoopback(url.hostname.replace(/^\[|\]$/g, "")));
}

function readAccess(reader: VariableReader, name: string, byDefault: Access, auth: boolean): Access {
  const access = (reader.optional(name) as Access | undefined) ?? byDefault;
  if (access === "token" && !auth) reader.problem(name, "is token, which needs AUTH=on");
  return access;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}
