import { expect, it } from "vitest";
import { nearest } from "../../../src/cli/nearest.js";
import { createProgram, optionNames } from "../../../src/cli/program.js";

const names = optionNames(createProgram());

it.each([
  ["--shared-dri", "--shared-dir"],
  ["--shareddir", "--shared-dir"],
  ["--share", "--shared-dir"],
  ["--sokcet-path", "--socket-path"],
  ["--read-only", "--readonly"],
  ["--xattrs", "--xattr"],
  ["--log", "--log-level"],
  ["--threads-pool-size", "--thread-pool-size"],
  ["--hepl", "--help"],
  ["--cahce", "--cache"],
])("%s is taken for %s", (typed, meant) => {
  expect(nearest(typed, names)).toBe(meant);
});

it.each(["--frobnicate", "-x", "--", "--zzz"])("%s is like nothing", (typed) => {
  expect(nearest(typed, names)).toBeUndefined();
});
