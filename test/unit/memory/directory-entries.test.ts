import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DirectoryEntries } from "../../../backends/memory/directory-entries.js";

function namesAfter(entries: DirectoryEntries<number>, offset: number, limit = Number.POSITIVE_INFINITY) {
  const visited: { name: string; offset: number }[] = [];
  entries.visitAfter(offset, (entry) => {
    visited.push({ name: entry.name, offset: entry.offset });
    return visited.length < limit;
  });
  return visited;
}

function remove(entries: DirectoryEntries<number>, name: string): void {
  const entry = entries.get(name);
  if (entry !== undefined) {
    entries.remove(entry);
  }
}

const action = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("add" as const), name: fc.nat({ max: 200 }).map(String) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("remove" as const), name: fc.nat({ max: 200 }).map(String) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("read" as const), count: fc.integer({ min: 1, max: 20 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear" as const), below: fc.nat({ max: 200 }) }) },
);

describe("the entries of a directory", () => {
  it("are met in order, exactly once when they stay, whatever else comes and goes", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 200 }).map(String), { maxLength: 80 }),
        fc.array(action, { maxLength: 200 }),
        (initial, actions) => {
          const entries = new DirectoryEntries<number>();
          const model = new Map<string, number>();
          const add = (name: string) => {
            if (!model.has(name)) {
              entries.add(name, 1);
              model.set(name, 1);
            }
          };
          initial.forEach(add);
          const stayed = new Set(model.keys());
          const seen: string[] = [];
          let offset = 0;
          for (const step of actions) {
            if (step.kind === "add") {
              add(step.name);
            } else if (step.kind === "remove") {
              remove(entries, step.name);
              model.delete(step.name);
              stayed.delete(step.name);
            } else if (step.kind === "clear") {
              for (const name of [...model.keys()].filter((text) => Number(text) < step.below)) {
                remove(entries, name);
                model.delete(name);
                stayed.delete(name);
              }
            } else {
              const read = namesAfter(entries, offset, step.count);
              seen.push(...read.map(({ name }) => name));
              offset = read.at(-1)?.offset ?? offset;
            }
          }
          seen.push(...namesAfter(entries, offset).map(({ name }) => name));
          for (const name of stayed) {
            expect(seen.filter((other) => other === name)).toHaveLength(1);
          }
          expect(entries.size).toBe(model.size);
          expect(namesAfter(entries, 0).map(({ name }) => name)).toEqual([...model.keys()]);
        },
      ),
    );
  });

  it("go on behind an offset whose entry is gone", () => {
    const entries = new DirectoryEntries<number>();
    for (let i = 0; i < 1000; i++) {
      entries.add(`n${i}`, i);
    }
    const offset = namesAfter(entries, 0, 500).at(-1)?.offset ?? 0;
    for (let i = 0; i < 900; i++) {
      remove(entries, `n${i}`);
    }
    expect(namesAfter(entries, offset)[0]?.name).toBe("n900");
  });

  it("cost no more for the thousandth look at the first of them", () => {
    const entries = new DirectoryEntries<number>();
    const count = 200_000;
    for (let i = 0; i < count; i++) {
      entries.add(`n${i}`, i);
    }
    const started = performance.now();
    for (let i = 0; i < count; i++) {
      const [first] = namesAfter(entries, 0, 1);
      remove(entries, first?.name ?? "");
    }
    expect(entries.size).toBe(0);
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it("cost no more for a name that comes and goes in a large directory", () => {
    const entries = new DirectoryEntries<number>();
    for (let i = 0; i < 100_000; i++) {
      entries.add(`n${i}`, i);
    }
    const started = performance.now();
    for (let i = 0; i < 100_000; i++) {
      entries.add("lock", i);
      remove(entries, "lock");
    }
    expect(entries.get("lock")).toBeUndefined();
    expect(entries.size).toBe(100_000);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
