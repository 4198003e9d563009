import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ReusableMap } from "../../../backends/passthrough/reusable-map.js";

describe("a map whose keys come back", () => {
  it("is a map", () => {
    const step = fc.record({ key: fc.integer({ min: 0, max: 60 }), value: fc.option(fc.integer()) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const map = new ReusableMap<number, { value: number }>();
        const model = new Map<number, { value: number }>();
        for (const { key, value } of steps) {
          if (value === null) {
            map.delete(key);
            model.delete(key);
          } else {
            const stored = { value };
            map.set(key, stored);
            model.set(key, stored);
          }
          expect([map.size, map.get(key)]).toEqual([model.size, model.get(key)]);
        }
        expect(new Set(map.values())).toEqual(new Set(model.values()));
      }),
    );
  });

  it("does not get slower when few keys of many come and go", () => {
    const map = new ReusableMap<number, object>();
    const value = {};
    for (let key = 0; key < 100_000; key++) map.set(key, value);
    const start = performance.now();
    for (let turn = 0; turn < 20_000; turn++) {
      map.delete(99_990 + (turn % 4));
      map.set(99_990 + (turn % 4), value);
    }
    // V8's own map takes a second and more.
    expect(performance.now() - start).toBeLessThan(200);
    expect(map.size).toBe(100_000);
  });
});
