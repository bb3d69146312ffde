/** A column type with a few texts of its values: few, so that rows meet, and several texts of the same value where there are. */
export interface SampledType {
  /** As a column definition has it. */
  sql: string;
  texts: readonly string[];
  /** Texts that the type refuses, for writes that were accepted without asking the replica. */
  bad?: readonly string[];
  /** No btree: neither in a key nor in an order. */
  unordered?: true;
  /** No equality operator at all. */
  incomparable?: true;
  /** Equal values have equal texts. */
  exact?: true;
  /** PostgreSQL has no foreign keys of this type. */
  unreferenced?: true;
  /** A text type: LIKE, concatenation. */
  text?: true;
  /** A plain number: arithmetic in generated columns and CHECKs. */
  number?: true;
}

/** Made once for all schemas, in a namespace of their own. */
export const sampledTypesSql = `
  create schema kinds;
  create extension if not exists citext schema public;
  create collation kinds.caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
  create type kinds."Mood" as enum ('sad', 'ok', 'very happy');
  create type kinds.pair as (a numeric, "B b" text);
  create domain kinds.amount as numeric check (value > -100);
  create domain kinds.code as varchar(3) check (value <> 'bad');
  create domain kinds.named as text collate kinds.caseless;
  create domain kinds.yes as boolean;
  create domain kinds.padded as char(4);
  create domain kinds.few as int[] check (array_length(value, 1) < 4);`;

const letters = ["a", "A", "b", "ab", "", "ä", "a\u0308", "Z", "a b", "ß"];
const numbers = ["0", "1", "2", "3", "-1", "7"];

export const sampledTypes: readonly SampledType[] = [
  { sql: "int", exact: true, texts: numbers, number: true },
  { sql: "smallint", exact: true, texts: numbers, number: true },
  { sql: "bigint", exact: true, texts: [...numbers, "9223372036854775807"] },
  { sql: "oid", exact: true, texts: ["1", "2", "4294967295"] },
  { sql: "bool", exact: true, texts: ["t", "false"] },
  { sql: "numeric", texts: ["1", "1.0", "1.00", "-0.0", "0", "2.5", "2.50", "NaN", "Infinity", "1e3", "1000"] },
  { sql: "numeric(6,2)", exact: true, texts: ["1", "1.005", "1.01", "-3", "NaN", "0"], number: true },
  { sql: "float8", texts: ["0", "-0", "1.5", "NaN", "-Infinity", "1e300", "0.1"] },
  { sql: "float4", texts: ["0", "-0", "1.5", "NaN", "0.1", "16777216"] },
  { sql: "money", texts: ["1.00", "$1.00", "-2.50", "1,000.00"], bad: ["much"] },
  { sql: "text", exact: true, texts: letters, text: true },
  { sql: 'text collate "und-x-icu"', exact: true, texts: letters, text: true },
  { sql: 'text collate "C"', exact: true, texts: letters, text: true },
  { sql: "text collate kinds.caseless", texts: letters },
  { sql: "varchar(5)", exact: true, texts: letters, text: true },
  { sql: "varchar(5) collate kinds.caseless", texts: letters },
  { sql: "char(4)", texts: ["a", "a  ", "A", "b", "", "ab"] },
  { sql: "bpchar", texts: ["a", "a  ", "A", "b", ""] },
  { sql: "name", exact: true, texts: ["a", "A", "b c"] },
  { sql: '"char"', texts: ["a", "b", ""] },
  { sql: "citext", texts: letters },
  {
    sql: "uuid",
    exact: true,
    texts: ["00000000-0000-0000-0000-000000000001", "{A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11}"],
  },
  { sql: "bytea", exact: true, texts: ["\\x", "\\x00ff", "\\x00FF", "\\x61"] },
  { sql: "date", exact: true, texts: ["2026-01-01", "2025-12-31", "infinity", "0044-03-15 BC"] },
  { sql: "time", texts: ["00:00", "24:00", "12:30:00.5"] },
  { sql: "timetz", texts: ["12:00+00", "14:00+02", "12:00:00.5-03"], bad: ["noon"] },
  { sql: "timestamp(3)", texts: ["2026-01-01", "2026-01-01 00:00:00.0004", "infinity"] },
  {
    sql: "timestamptz",
    exact: true,
    texts: ["2026-01-01T00:00:00Z", "2026-01-01T02:00:00+02", "-infinity", "2026-01-01 00:00:00.000001Z"],
  },
  {
    sql: "interval",
    texts: ["1 day", "24:00:00", "P1D", "1 mon", "30 days", "-1 day", "1 day -24:00:00", "0"],
    bad: ["long"],
  },
  { sql: "interval(0)", texts: ["1.4 s", "1 s", "60 s", "1 min"], bad: ["short"] },
  { sql: "json", texts: ["1", "1.0", '{"b":1,  "a":2}', "null"], incomparable: true, unordered: true },
  { sql: "jsonb", texts: ["1", "1.0", "[1.00]", "[1]", '{"b":1,"a":2.0}', '{"a":2,"b":1}', "null"] },
  { sql: 'kinds."Mood"', exact: true, texts: ["sad", "ok", "very happy"] },
  { sql: "kinds.amount", texts: ["1", "1.0", "2.50", "2.5", "-99"], bad: ["-100", "x"] },
  { sql: "kinds.code", texts: ["a", "A", "abc"], bad: ["bad"] },
  { sql: "kinds.named", texts: letters },
  { sql: "kinds.yes", texts: ["t", "false", "on"], bad: ["perhaps"] },
  { sql: "kinds.padded", texts: ["a", "a  ", "A", "b"] },
  { sql: "kinds.few", texts: ["{1,2}", "{}", "[0:1]={1,2}"], bad: ["{1,2,3,4}"] },
  { sql: "kinds.pair", texts: ["(1,a)", "(1.0,a)", '(2,"A b")', "(,)", "(1,A)"], bad: ["(1)"] },
  { sql: "kinds.pair[]", texts: ['{"(1,a)"}', '{"(1.00,a)",NULL}', "{}"], bad: ["{(1)}"] },
  { sql: "int[]", texts: ["{1,2}", "{1,2,NULL}", "{}", "[0:1]={1,2}", "{{1},{2}}"] },
  { sql: "numeric[]", texts: ["{1}", "{1.0}", "{NULL,2.50}", "{NULL,2.5}"] },
  { sql: "text[]", texts: ["{a,b}", '{"a b",NULL,"NULL"}', '{"q\\"","\\\\"}', "{A,b}"] },
  { sql: "text[] collate kinds.caseless", texts: ["{a,b}", "{A,b}", "{}"] },
  { sql: "interval[]", texts: ['{"1 day"}', "{24:00:00}", "{NULL}"], bad: ["{long}"] },
  { sql: "int4range", texts: ["[1,5)", "[1,4]", "empty", "(,3)"], bad: ["[5,1)"] },
  { sql: "numrange", texts: ["[1,2]", "[1.0,2.00]", "(1,2)", "empty", "[1,)"], bad: ["[2,1]"] },
  {
    sql: "tstzrange",
    texts: ["[2026-01-01Z,2026-01-02Z)", "[2026-01-01 02:00+02,2026-01-02Z)", "empty"],
    bad: ["[x,y]"],
  },
  { sql: "nummultirange", texts: ["{[1,2],[2,3]}", "{[1.0,3.0]}", "{}"], bad: ["{[2,1]}"] },
  { sql: "int4range[]", texts: ['{"[1,5)"}', '{"[1,4]"}'], bad: ['{"[5,1)"}'] },
  { sql: "inet", texts: ["10.0.0.1", "10.0.0.1/32", "10.0.0.0/8", "::1"], bad: ["999.0.0.1"] },
  { sql: "cidr", texts: ["10.0.0.0/8", "10/8", "::/0"], bad: ["10.0.0.1/8"] },
  { sql: "macaddr", texts: ["08:00:2b:01:02:03", "08002b010203", "08-00-2b-01-02-04"], bad: ["08"] },
  { sql: "bit(4)", texts: ["0101", "1111", "0000"], bad: ["10", "10101", "2"] },
  { sql: "varbit(5)", texts: ["", "1", "01010"], bad: ["101010"] },
  { sql: "bit(2)[]", texts: ["{01,11}", "{}"], bad: ["{0}"], unreferenced: true },
  { sql: "pg_lsn", texts: ["0/1", "0/00000001", "16/B374D848"], bad: ["x"] },
  { sql: "tsvector", texts: ["a b", "b a", "'a':1 'b':2A"] },
  { sql: "tsquery", texts: ["a & b", "'a'&'b'", "!a"] },
  { sql: "xml", texts: ["<a/>", "<a></a>", "text"], incomparable: true, unordered: true },
  { sql: "point", texts: ["(1,2)", "1.0,2", "(-0,0)"], incomparable: true, unordered: true },
  { sql: "polygon", texts: ["((0,0),(1,1))", "(0,0),(1,1)"], incomparable: true, unordered: true },
  { sql: "box", texts: ["(1,1),(0,0)", "(0,0),(1,1)", "(2,0.5),(0,0)"], unordered: true },
  { sql: "circle", texts: ["<(0,0),1>", "<(1,1),1>"], unordered: true },
  { sql: "lseg", texts: ["[(0,0),(1,1)]", "(0,0),(2,2)"], unordered: true },
  { sql: "path", texts: ["[(0,0),(1,1)]", "((0,0),(2,2))"], unordered: true },
  { sql: "line", texts: ["{1,-1,0}", "{2,-2,0}"], unordered: true },
];

export const keyTypes = sampledTypes.filter(({ unordered }) => !unordered);
