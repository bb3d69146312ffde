import { expect, test } from "vitest";
import { column, columnType, literalCatalog, table } from "../../test/support/literal-catalog.ts";
import { decideCheck } from "./decide-check.ts";

const { tables } = literalCatalog(
  table("t", [
    column("i", columnType("int4")),
    column("n", columnType("numeric")),
    column("r", columnType("float4")),
    column("d", columnType("float8")),
    column("s", columnType("text")),
    column("a Q", columnType("int4")),
    column("at", columnType("timestamptz")),
    column("dom", columnType("int4", { domain: true })),
  ]),
);

type Row = Record<string, string | null>;

function decide(expression: string, row: Row) {
  const [only] = tables;
  if (!only) throw new Error("no table");
  return decideCheck(only, { name: "c", expression, columns: [] }, (name) => row[name]);
}

test.each<[string, Row, boolean | null | undefined]>([
  ["(i >= 0)", { i: "0" }, true],
  ["(i >= 0)", { i: "-1" }, false],
  ["(i >= 0)", { i: null }, null],
  ["(i >= 0)", {}, undefined],
  ["(i <> '-500'::integer)", { i: "-500" }, false],
  ["((i >= 1) AND (i <= 64))", { i: "65" }, false],
  ["((i >= 1) AND (n <= (64)::numeric))", { i: "0" }, false],
  ["((i >= 1) AND (n <= (64)::numeric))", { i: "1" }, undefined],
  ["((i < 1) OR (n < (1)::numeric))", { i: "0" }, true],
  ["((i < 1) OR (n < (1)::numeric))", { i: "2", n: null }, null],
  ["(NOT (i > 3))", { i: "3" }, true],
  ["((at IS NULL) OR (at >= now()))", { at: null }, undefined],
  ["((at IS NULL) OR (at >= at))", { at: null }, true],
  ["((at IS NULL) OR (at >= at))", { at: "2026-11-23 04:00:00+00" }, undefined],
  ["(at IS NOT NULL)", { at: "2026-11-23 04:00:00+00" }, true],
  ["(n < 0.3)", { n: "0.30" }, false],
  ["(n <= 0.3)", { n: "0.30" }, true],
  ["(n > 0.1)", { n: "0.10000000000000001" }, undefined],
  ["(n > (0)::numeric)", { n: "NaN" }, undefined],
  ["(d <= (90)::double precision)", { d: "90.00000000000001" }, false],
  ["(d <= (90)::double precision)", { d: "Infinity" }, undefined],
  ["(r > (0.1)::double precision)", { r: "0.1" }, true],
  ["((r)::numeric > 0.1)", { r: "0.1" }, undefined],
  ["((d)::integer = 2)", { d: "1.5" }, undefined],
  ["(s = ANY (ARRAY['a'::text, 'it''s'::text]))", { s: "it's" }, true],
  ["((s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))", { s: "b" }, true],
  ["(s = ANY (ARRAY['a'::text]))", { s: "A" }, undefined],
  ["(s = ANY (ARRAY['a'::text]))", { s: null }, null],
  ['("a Q" < 3)', { "a Q": "2" }, true],
  ["(dom > 0)", { dom: "1" }, undefined],
  ["(length(s) > 0)", { s: "a" }, undefined],
  ["((i % 2) = 0)", { i: "2" }, undefined],
  ["(s ~ '^a'::text)", { s: "a" }, undefined],
  ["(t.* IS NOT NULL)", { i: "1" }, undefined],
  ["((i)::numeric(3,1) > 1.0)", { i: "2" }, undefined],
])("%s of %o", (expression, row, verdict) => {
  expect(decide(expression, row)).toBe(verdict);
});
