import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { makeTemporaryDirectory } from "../../../src/vfs/temporary-directory.js";

const PREFIX = "test-of-";
/** More than Linux gives out. */
const NO_PID = 4_194_305;

let parent: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "temporary-directory-"));
});
afterEach(() => rmSync(parent, { recursive: true }));

it("is made anew, and what processes that are gone have left goes", () => {
  const names = [`${PREFIX}${NO_PID}-a`, `${PREFIX}${process.pid}-b`, `other-${NO_PID}-c`, `${PREFIX}x-d`];
  const [left, ...kept] = names.map((name) => join(parent, name));
  for (const path of [left as string, ...kept]) mkdirSync(join(path, "something"), { recursive: true });
  const made = makeTemporaryDirectory(parent, PREFIX);
  expect(existsSync(made)).toBe(true);
  expect(basename(made).startsWith(`${PREFIX}${process.pid}-`)).toBe(true);
  expect([existsSync(left as string), ...kept.map((path) => existsSync(path))]).toEqual([
    false,
    true,
    true,
    true,
  ]);
});
