import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The version in package.json, which is one level above src/, and two above dist/src/. */
export function packageVersion(): string {
  for (const path of ["../package.json", "../../package.json"]) {
    try {
      const content: unknown = JSON.parse(readFileSync(join(import.meta.dirname, path), "utf8"));
      if (typeof content === "object" && content !== null && "version" in content) return String(content.version);
    } catch {
      // The other place has it.
    }
  }
  throw new Error("package.json was not found");
}
