/** A number, or bytes as a latin1 string. */
export type Word = number | bigint | string;
export type Value = bigint | string;

/** A failed call; `code` is the name of its errno. */
export class FileError extends Error {
  readonly code: string;

  constructor(code: string, what: string) {
    super(`${what}: ${code}`);
    this.code = code;
  }
}

/**
 * Something that executes file system calls for several processes ("actors"): a real kernel behind the
 * executor, or the adapter that maps calls to FUSE requests. Operations and words are those of
 * executor/*.c. Calls wait for their result; a failure throws a {@link FileError}.
 */
export interface System {
  /** Makes an empty directory `name` in which the actors of the next case start; earlier actors end. */
  begin(name: string): void;
  call(actor: string, operation: string, words: readonly Word[]): Value[];
  /** Begins a call that may wait. An actor has at most one of these. */
  start(actor: string, operation: string, words: readonly Word[]): void;
  /** The result of what was started, or undefined when it still waits after `timeoutMs`. */
  finish(actor: string, timeoutMs: number): Value[] | undefined;
}
