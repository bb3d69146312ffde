import type { DescMethod, MessageShape } from "@bufbuild/protobuf";
import { AdminService } from "../../gen/ts/opsdb/v1/admin_service_pb.ts";
import { CatalogService } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import { QueryService } from "../../gen/ts/opsdb/v1/query_service_pb.ts";
import { ReplicationService } from "../../gen/ts/opsdb/v1/replication_service_pb.ts";
import type { ColumnValues, Mutation, WriteStatus } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { WriteService } from "../../gen/ts/opsdb/v1/write_service_pb.ts";
import { OpsDbError } from "../errors.ts";
import type { Caller, Role } from "../security/caller.ts";
import { toldTo } from "./told-to.ts";

/** What a caller needs for one method. */
export interface AccessRule {
  /** One of these is needed for any call; told before the message is read. */
  anyOf: readonly Role[];
  /** The method shows or changes what belongs to no one table: a token for some tables may not call it. */
  allTables?: boolean;
  /** Throws ACCESS_DENIED for a message that asks for more. */
  check?: (caller: Caller, request: never) => void;
  /** Takes out of an answer, in place, what is not for a caller with a token for some tables or without the role read. */
  conceal?: (caller: Caller, response: never, request: never) => void;
}

const rules = new Map<string, AccessRule>();

/** What the method needs; undefined for one that nobody has thought about: it is denied. */
export function accessRule(method: DescMethod): AccessRule | undefined {
  return rules.get(nameOf(method));
}

allow(WriteService.method.write, {
  anyOf: ["write"],
  check: (caller, { mutations }) =>
    mutations.forEach(({ table }, i) => {
      requireTable(caller, table, `mutations[${i}].table`);
    }),
  conceal(caller, { status, rows }, request) {
    concealRejection(caller, status);
    if (caller.roles.has("read")) return;
    for (const [i, row] of rows.entries()) concealRow(row, request.mutations[i]);
  },
});
// Who wrote may ask what became of it. An id is as good as a secret where it was made at random; what the database said
// about a rejected write may be about any table.
allow(WriteService.method.getWrite, {
  anyOf: ["read", "write"],
  conceal: (caller, { status }) => concealRejection(caller, status),
});
allow(WriteService.method.watchWrites, { anyOf: ["read"], allTables: true });
allow(QueryService.method.query, {
  anyOf: ["read", "sql"],
  check(caller, { sql, table, related }) {
    requireRole(caller, "read");
    if (sql !== "") {
      requireRole(caller, "sql");
      requireAllTables(caller);
    }
    if (sql === "" || table !== "") requireTable(caller, table, "table");
    related.forEach((each, i) => {
      requireTable(caller, each.table, `related[${i}].table`);
    });
  },
});
allow(ReplicationService.method.watchReplication, {
  anyOf: ["read"],
  conceal(caller, { event }) {
    if (event.case === "write") concealRejection(caller, event.value);
    // While main decides write by write, the reason has what it said of the last one.
    if (event.case === "status" && event.value.processor?.state) event.value.processor.state.reason = "";
  },
});
allow(CatalogService.method.listTables, {
  anyOf: ["read"],
  conceal(caller, response) {
    response.tables = response.tables.filter(({ name }) => caller.tables.includes(name));
  },
});
allow(CatalogService.method.describeTable, {
  anyOf: ["read"],
  check: (caller, { table }) => requireTable(caller, table, "table"),
});
for (const method of AdminService.methods) allow(method, { anyOf: ["admin"], allTables: true });

/** Throws ACCESS_DENIED where no message could make the call one for this caller. */
export function requireAccess(caller: Caller, method: DescMethod): void {
  const rule = accessRule(method);
  if (!rule) throw denied(`no token is for ${nameOf(method)}`, { method: nameOf(method) });
  if (!rule.anyOf.some((role) => caller.roles.has(role))) throw roleMissing(rule.anyOf.join(" or "));
  if (rule.allTables) requireAllTables(caller);
}

interface Rule<M extends DescMethod> extends Omit<AccessRule, "check" | "conceal"> {
  check?: (caller: Caller, request: MessageShape<M["input"]>) => void;
  conceal?: (caller: Caller, response: MessageShape<M["output"]>, request: MessageShape<M["input"]>) => void;
}

function allow<M extends DescMethod>(method: M, rule: Rule<M>): void {
  rules.set(nameOf(method), rule as AccessRule);
}

function nameOf(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

function requireRole(caller: Caller, role: Role): void {
  if (!caller.roles.has(role)) throw roleMissing(role);
}

function requireTable(caller: Caller, table: string, field: string): void {
  if (caller.tables.includes(table)) return;
  throw denied(`this access token is not for table ${JSON.stringify(table)}`, { table }, field);
}

function requireAllTables(caller: Caller): void {
  if (!caller.tables.all) throw denied("this call needs an access token for all tables", { table: "*" });
}

function roleMissing(role: string): OpsDbError {
  return denied(`this access token has not the role ${role}, which the call needs`, { role });
}

function denied(message: string, metadata: Record<string, string>, field?: string): OpsDbError {
  return new OpsDbError("ACCESS_DENIED", message, { metadata, ...(field === undefined ? {} : { field }) });
}

function concealRejection(caller: Caller, status: WriteStatus | undefined): void {
  if (status?.rejection) status.rejection.message = toldTo(caller, status.rejection);
}

/** An upsert's row may have been there before: of it, who may not read is told what the request has said. */
function concealRow({ values }: ColumnValues, mutation: Mutation | undefined): void {
  const operation = mutation?.operation;
  if (operation && operation.case !== "upsert") return;
  const named = operation?.value.values ?? {};
  for (const column of Object.keys(values)) if (!Object.hasOwn(named, column)) delete values[column];
}
