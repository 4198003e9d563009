import { expect, it } from "vitest";
import { OncePerKey } from "../../../src/observability/once.js";

it("is true once per key", () => {
  const once = new OncePerKey();
  expect([once.isFirst("read"), once.isFirst("read"), once.isFirst("write")]).toEqual([true, false, true]);
});

it("holds no more keys than its limit and silences the rest", () => {
  const once = new OncePerKey(2);
  const firsts = ["a", "b", "c", "d", "a"].map((key) => once.isFirst(key));
  expect(firsts).toEqual([true, true, false, false, false]);
});
