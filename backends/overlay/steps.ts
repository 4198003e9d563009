import type { Awaitable } from "../../src/vfs/errno.js";

/**
 * An operation of several steps, written as a generator: `const x = yield* wait(layer.lookup(...))`. It runs to
 * its end at once as long as no layer makes it wait, without a promise or a turn of the event loop.
 */
export type Steps<T> = Generator<Promise<unknown>, T, unknown>;

/** The value of a result that may come later. */
export function* wait<T>(value: Awaitable<T>): Steps<T> {
  return value instanceof Promise ? ((yield value) as T) : value;
}

/** Runs steps; the result is a promise only if one of them had to wait. */
export function run<T>(steps: Steps<T>): Awaitable<T> {
  const next = steps.next();
  return next.done ? next.value : finish(steps, next.value);
}

async function finish<T>(steps: Steps<T>, first: Promise<unknown>): Promise<T> {
  let pending = first;
  for (;;) {
    let next: IteratorResult<Promise<unknown>, T>;
    try {
      next = steps.next(await pending);
    } catch (error) {
      // The steps may want to clean up; what they do not catch comes out of throw().
      next = steps.throw(error);
    }
    if (next.done) {
      return next.value;
    }
    pending = next.value;
  }
}

/** Applies `next` to a result, now or when it is there. */
export function andThen<T, U>(value: Awaitable<T>, next: (value: T) => Awaitable<U>): Awaitable<U> {
  return value instanceof Promise ? value.then(next) : next(value);
}
