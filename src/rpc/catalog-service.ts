import type { ServiceImpl } from "@connectrpc/connect";
import type * as pb from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import type { CatalogService } from "../../gen/ts/opsdb/v1/catalog_service_pb.ts";
import { type Catalog, type Column, isOwn, type Table } from "../catalog/catalog.ts";
import { OpsDbError } from "../errors.ts";
import type { Site } from "../site/site.ts";

export function catalogService(site: Site): ServiceImpl<typeof CatalogService> {
  return {
    listTables() {
      const tables = site.catalog().tables.map((table) => ({
        name: table.name,
        writable: table.primaryKey.length > 0 && !isOwn(table),
        comment: table.comment,
      }));
      return { tables: tables.sort((a, b) => (a.name < b.name ? -1 : 1)) };
    },

    describeTable(request) {
      if (request.table === "") throw new OpsDbError("INVALID_FIELD", "no table is named", { field: "table" });
      const catalog = site.catalog();
      return { table: encodeTable(catalog.table(request.table, "table"), catalog) };
    },
  };
}

function encodeTable(table: Table, catalog: Catalog): pb.Table {
  return {
    $typeName: "opsdb.v1.Table",
    name: table.name,
    columns: table.columns.map(encodeColumn),
    primaryKey: [...table.primaryKey],
    foreignKeys: table.foreignKeys.map((key) => ({
      $typeName: "opsdb.v1.ForeignKey",
      name: key.name,
      columns: [...key.columns],
      referencedTable: catalog.byId(key.referencedTable)?.name ?? key.referencedTable,
      referencedColumns: [...key.referencedColumns],
    })),
    checks: table.checks.map(({ name, expression }) => ({ $typeName: "opsdb.v1.CheckConstraint", name, expression })),
    comment: table.comment,
  };
}

function encodeColumn(column: Column): pb.ColumnDescription {
  return {
    $typeName: "opsdb.v1.ColumnDescription",
    name: column.name,
    type: column.type.display,
    nullable: column.nullable,
    defaultExpression: column.defaultExpression ?? "",
    enumValues: [...column.type.enumValues],
    generated: column.generatedExpression !== undefined || column.identity === "always",
    identity: column.identity !== "none",
    comment: column.comment,
  };
}
