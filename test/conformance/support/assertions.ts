import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { errorOf, type Stat } from "./actor.js";

export { errorOf as outcomeOf } from "./actor.js";
export { deepStrictEqual as same, ok as holds, strictEqual as equal };

/** `action` fails with this errno. */
export function fails(errno: string, action: () => unknown): void {
  strictEqual(errorOf(action), errno);
}

/** Which of a file's times `action` changes, as a string of the letters a, m and c. */
export function timesChanged(stat: () => Stat, tick: () => void, action: () => void): string {
  const before = stat();
  tick();
  action();
  const after = stat();
  return [
    before.atime === after.atime ? "" : "a",
    before.mtime === after.mtime ? "" : "m",
    before.ctime === after.ctime ? "" : "c",
  ].join("");
}

/** Permission bits as octal digits, for messages that people read. */
export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, "0");
}
