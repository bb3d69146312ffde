import { expect, test } from "vitest";
import { parseWriteId, WriteIds } from "./write-id.ts";

test("ids made in one millisecond, and after the clock went back, still rise", () => {
  const clock = [1_000_000, 999_000];
  const ids = new WriteIds(() => (clock.length > 1 ? (clock.shift() as number) : (clock[0] as number)));
  const made = Array.from({ length: 10_000 }, () => ids.next());
  expect(made).toEqual([...made].sort());
  expect(new Set(made).size).toBe(made.length);
});

test("an id is a UUID of version 7 with the time in front", () => {
  const id = new WriteIds(() => 0x0123456789ab).next();
  expect(id).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("a client's id of any version is taken in lower case", () => {
  expect(parseWriteId("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "write_id")).toBe("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
});

test.each(["1", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"])(
  "%s is no id",
  (text) => {
    expect(() => parseWriteId(text, "write_id")).toThrow("UUID");
  },
);
