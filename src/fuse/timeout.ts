/** A duration as the protocol carries it. */
export interface Timeout {
  readonly seconds: number;
  readonly nanoseconds: number;
}

const NANOSECONDS = 1e9;

/** Splits seconds, which may have decimals, to the nearest nanosecond. */
export function splitTimeout(timeoutSec: number): Timeout {
  const whole = Math.floor(timeoutSec);
  const nanoseconds = Math.round((timeoutSec - whole) * NANOSECONDS);
  return nanoseconds < NANOSECONDS ? { seconds: whole, nanoseconds } : { seconds: whole + 1, nanoseconds: 0 };
}
