import { expect, test } from "vitest";
import { decodeToken, encodeToken } from "./token.ts";

const token = { site: "ccat", systemIdentifier: "7451", timeline: 3, position: (5n << 64n) | 7n, lsn: 0x1000000aan };

test("a token comes back as it was given", () => {
  expect(decodeToken(encodeToken(token))).toEqual(token);
  const bare = { ...token, position: undefined, lsn: undefined };
  expect(decodeToken(encodeToken(bare))).toEqual(bare);
});

test.each([
  "",
  "{}",
  "[]",
  "[1]",
  '[2,"a","b",1,0,0]',
  '[1,"a","b",1.5,0,0]',
  '[1,"a","b",1,"x",0]',
  '[1,"a","b",1,0,"x"]',
  "\uffff",
])("%j is refused as INVALID_TOKEN with its field", (text) => {
  expect(() => decodeToken(new TextEncoder().encode(text))).toThrow(
    expect.objectContaining({ reason: "INVALID_TOKEN", field: "token" }),
  );
});
