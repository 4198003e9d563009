import { expect, test } from "vitest";
import { Residents } from "../../../backends/s3/cache/residents.js";

const LIMIT = 1000;

function filled(names: readonly string[], bytes = 100): Residents {
  const residents = new Residents(LIMIT);
  for (const name of names) add(residents, name, bytes);
  return residents;
}

function add(residents: Residents, name: string, bytes = 100): void {
  residents.use(name);
  residents.grow(name, bytes, 0);
}

/** Who goes, one after the other. */
function victims(residents: Residents): string[] {
  const gone: string[] = [];
  for (
    let name = residents.takeVictim(() => true);
    name !== undefined;
    name = residents.takeVictim(() => true)
  ) {
    gone.push(name);
  }
  return gone;
}

test("what was used once goes first, the longest unused before the others", () => {
  const residents = filled(["a", "b", "c", "d"]);
  residents.use("b");
  expect(victims(residents)).toEqual(["a", "c", "d", "b"]);
  expect(residents.bytes).toBe(0);
});

test("a scan over many files does not drive out what is used again", () => {
  const residents = filled(["hot"]);
  residents.use("hot");
  for (let i = 0; i < 100; i++) {
    add(residents, `scan-${i}`);
    while (residents.isOver) residents.takeVictim(() => true);
  }
  expect(victims(residents).at(-1)).toBe("hot");
});

test("what is fetched ahead and opened then was used once", () => {
  const residents = filled(["again"]);
  residents.use("again");
  residents.expect("ahead");
  residents.grow("ahead", 100, 0);
  residents.use("ahead");
  expect(victims(residents)).toEqual(["ahead", "again"]);
});

test("what is used again keeps four fifths of the room, and has another turn beyond", () => {
  const residents = new Residents(LIMIT);
  for (const name of ["a", "b", "c"]) {
    add(residents, name, 300);
    residents.use(name);
  }
  add(residents, "d", 50);
  expect(victims(residents)).toEqual(["a", "d", "b", "c"]);
});

test("what may not go stays", () => {
  const residents = filled(["open", "closed"]);
  expect(residents.takeVictim((name) => name !== "open")).toBe("closed");
  expect(residents.takeVictim((name) => name !== "open")).toBeUndefined();
  expect(residents.bytes).toBe(100);
});

test("the limit follows the room on the disk, up to what was configured", () => {
  const residents = filled(["a", "b"]);
  residents.limitTo(150);
  expect(residents.isOver).toBe(true);
  residents.limitTo(1e9);
  add(residents, "c", 801);
  expect(residents.isOver).toBe(true);
});

test("a file counts with what it takes beside its data, once", () => {
  const residents = new Residents(LIMIT);
  residents.use("a");
  residents.grow("a", 100, 8);
  residents.grow("a", 100, 8);
  expect(residents.bytes).toBe(208);
});
