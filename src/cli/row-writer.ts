import type { Column, QueryHeader, Row } from "../../gen/ts/opsdb/v1/query_pb.ts";
import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { displayWidth, padded } from "./display-width.ts";
import { valueJson, valueText } from "./format-value.ts";
import { printable } from "./printable.ts";

/** Makes the text of a result, piece by piece; none of them keeps rows. */
export interface RowWriter {
  /** What stands before the rows; `first` are some of them, to choose widths by. */
  begin(header: QueryHeader, first: readonly Row[]): string;
  rows(rows: readonly Row[]): string;
  /** What stands after a complete result of so many rows. */
  end(count: number): string;
}

export const formats = ["table", "json", "csv"] as const;

export function rowWriter(format: (typeof formats)[number]): RowWriter {
  switch (format) {
    case "table":
      return new TableWriter();
    case "json":
      return new JsonWriter();
    case "csv":
      return new CsvWriter();
  }
}

/** One object a line. */
class JsonWriter implements RowWriter {
  #names: string[] = [];
  #withoutZone: boolean[] = [];

  begin({ columns }: QueryHeader): string {
    this.#names = columns.map(({ name }) => JSON.stringify(name));
    this.#withoutZone = columns.map(isWithoutZone);
    return "";
  }

  rows(rows: readonly Row[]): string {
    return rows
      .map(({ values }) => {
        const members = values.map((value, i) => `${this.#names[i]}:${this.#json(value, i)}`);
        return `{${members.join(",")}}\n`;
      })
      .join("");
  }

  end(): string {
    return "";
  }

  #json(value: Value, column: number): string {
    const json = valueJson(value);
    return this.#withoutZone[column] && value.kind.case === "timestampValue" ? json.replace(/Z"$/, '"') : json;
  }
}

/** RFC 4180: a line of names, CRLF, quotes where they are needed. NULL is empty, the empty text is "". */
class CsvWriter implements RowWriter {
  #withoutZone: boolean[] = [];

  begin({ columns }: QueryHeader): string {
    this.#withoutZone = columns.map(isWithoutZone);
    return `${columns.map(({ name }) => field(name)).join(",")}\r\n`;
  }

  rows(rows: readonly Row[]): string {
    return rows
      .map(({ values }) => `${values.map((value, i) => field(columnText(value, this.#withoutZone[i]))).join(",")}\r\n`)
      .join("");
  }

  end(): string {
    return "";
  }
}

/** Columns are as wide as the widest of the first rows; a wider one later pushes its line. */
class TableWriter implements RowWriter {
  #widths: number[] = [];
  #sides: ("left" | "right")[] = [];
  #withoutZone: boolean[] = [];
  #pending = 0n;

  begin({ columns, pendingWrites }: QueryHeader, first: readonly Row[]): string {
    this.#pending = pendingWrites;
    this.#sides = columns.map(({ type }) => (numbers.test(type) ? "left" : "right"));
    this.#withoutZone = columns.map(isWithoutZone);
    const names = columns.map(({ name }) => printable(name));
    const all = [names, ...first.map((row) => this.#cells(row))];
    this.#widths = columns.map((_, i) => Math.max(...all.map((cells) => displayWidth(cells[i] ?? ""))));
    return `${this.#line(names)}${this.#line(this.#widths.map((width) => "─".repeat(width)))}`;
  }

  rows(rows: readonly Row[]): string {
    return rows.map((row) => this.#line(this.#cells(row))).join("");
  }

  end(count: number): string {
    const pending = this.#pending === 0n ? "" : `, ${amount(this.#pending, "pending write")} merged`;
    return `(${amount(count, "row")}${pending})\n`;
  }

  #cells({ values }: Row): string[] {
    return values.map((value, i) => printable(columnText(value, this.#withoutZone[i]) ?? "NULL"));
  }

  #line(cells: readonly string[]): string {
    const line = cells.map((cell, i) => padded(cell, this.#widths[i] ?? 0, this.#sides[i])).join("  ");
    return `${line.trimEnd()}\n`;
  }
}

const numbers = /^(smallint|integer|bigint|oid|real|double precision|numeric)[^[]*$/;

function isWithoutZone({ type }: Column): boolean {
  return /^timestamp(\(\d\))? without time zone$/.test(type);
}

/** A timestamp of a column without time zone is not told as one of UTC. */
function columnText(value: Value, withoutZone: boolean | undefined): string | undefined {
  const text = valueText(value);
  return withoutZone && value.kind.case === "timestampValue" ? text?.slice(0, -1) : text;
}

function field(text: string | undefined): string {
  if (text === undefined) return "";
  return text === "" || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function amount(count: number | bigint, what: string): string {
  return `${count} ${what}${BigInt(count) === 1n ? "" : "s"}`;
}
