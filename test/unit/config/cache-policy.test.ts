import { expect, it } from "vitest";
import { CACHE_POLICY_NAMES, cachePolicy } from "../../../src/config/cache-policy.js";

it.each([
  ["auto", 1, false, false],
  ["always", 86_400, false, true],
  ["never", 0, true, false],
  ["metadata", 86_400, true, false],
] as const)("%s: timeouts of %d s, direct I/O %o, kept caches %o", (name, timeoutSec, directIo, keeps) => {
  expect(cachePolicy(name)).toEqual({
    entryTimeoutSec: timeoutSec,
    attrTimeoutSec: timeoutSec,
    negativeTimeoutSec: 0,
    directIo,
    keepCache: keeps,
    cacheDirectory: keeps,
  });
});

it.each([
  [{}, 1, 1, 0],
  [{ timeout: 5 }, 5, 5, 0],
  [{ timeout: 5, attrTimeout: 0.5 }, 5, 0.5, 0],
  [{ entryTimeout: 0, negativeTimeout: 2.5 }, 0, 1, 2.5],
])(
  "timeouts %o replace those of the policy",
  (timeouts, entryTimeoutSec, attrTimeoutSec, negativeTimeoutSec) => {
    expect(cachePolicy("auto", timeouts)).toEqual({
      ...cachePolicy("auto"),
      entryTimeoutSec,
      attrTimeoutSec,
      negativeTimeoutSec,
    });
  },
);

it.each([
  ["auto", 86_400, 86_400, true],
  ["always", 86_400, 86_400, true],
  ["metadata", 86_400, 86_400, false],
  ["never", 0, 0, false],
] as const)(
  "%s where nothing changes from outside: timeouts of %d s, of absent names %d s",
  (name, timeoutSec, negativeTimeoutSec, keeps) => {
    expect(cachePolicy(name, {}, false)).toEqual({
      ...cachePolicy(name),
      entryTimeoutSec: timeoutSec,
      attrTimeoutSec: timeoutSec,
      negativeTimeoutSec,
      keepCache: keeps,
      cacheDirectory: keeps,
    });
  },
);

it("has a policy for every name", () => {
  expect(CACHE_POLICY_NAMES.map((name) => typeof cachePolicy(name))).not.toContain("undefined");
});
