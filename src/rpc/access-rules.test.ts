import { expect, test } from "vitest";
import { Health } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { type Caller, roles } from "../security/caller.ts";
import { tableScope } from "../security/table-scope.ts";
import { requireAccess } from "./access-rules.ts";

const mighty: Caller = {
  id: "a",
  name: "a",
  roles: new Set(roles),
  tables: tableScope([]),
  messageBytes: undefined,
  calls: undefined,
  ended: () => undefined,
};

test("a call that nobody has made a rule for is denied to everybody", () => {
  expect(() => requireAccess(mighty, WriteService.method.write)).not.toThrow();
  expect(() => requireAccess(mighty, Health.method.check)).toThrow(
    expect.objectContaining({ reason: "ACCESS_DENIED" }),
  );
});
