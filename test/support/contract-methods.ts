import { globSync } from "node:fs";
import { join } from "node:path";
import type { DescMethod, DescService } from "@bufbuild/protobuf";

const folder = join(import.meta.dirname, "../../gen/ts/opsdb/v1");

/** Every method of every service that the contract has, found in the generated code: a new one is among them by itself. */
export async function contractMethods(): Promise<DescMethod[]> {
  const methods: DescMethod[] = [];
  for (const file of globSync(join(folder, "*_service_pb.ts"))) {
    const module = (await import(file)) as Record<string, { kind?: string }>;
    for (const found of Object.values(module))
      if (found.kind === "service") methods.push(...(found as unknown as DescService).methods);
  }
  return methods;
}
