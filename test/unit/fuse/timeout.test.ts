import { expect, test } from "vitest";
import { splitTimeout } from "../../../src/fuse/timeout.js";

test.each([
  [0, 0, 0],
  [1, 1, 0],
  [0.5, 0, 500_000_000],
  [1.1, 1, 100_000_000],
  [2.999_999_999_9, 3, 0],
  [0.000_000_001, 0, 1],
])("%d s are %i s and %i ns", (timeoutSec, seconds, nanoseconds) => {
  expect(splitTimeout(timeoutSec)).toEqual({ seconds, nanoseconds });
});
