import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { errnoName } from "../../support/frontend/native.js";
import { FileError, type System, type Value, type Word } from "./system.js";

const SOURCES = ["executor.c", "file-operations.c", "name-operations.c"].map((name) =>
  fileURLToPath(new URL(`../executor/${name}`, import.meta.url)),
);

const TIMEOUT_MS = 40_000;
const POLL_MS = 0.2;

/** Compiles the executor; static, so that it runs in a guest without a C library, too. */
export function compileExecutor(directory: string): string {
  const program = join(directory, "executor");
  execFileSync("gcc", ["-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o", program, ...SOURCES]);
  return program;
}

/** A pair of descriptors that lead to an executor. Calls are synchronous, whether they block or not. */
export interface Wire {
  readonly requests: number;
  readonly replies: number;
}

/** System calls of a kernel, through the executor at the other end of a wire. */
export class ExecutorSystem implements System {
  readonly #wire: Wire;
  readonly #base: string;
  readonly #buffer = Buffer.alloc(1 << 16);
  #received = "";

  /** @param base the directory, as the executor sees it, in which cases get theirs */
  constructor(wire: Wire, base: string) {
    this.#wire = wire;
    this.#base = base;
  }

  begin(name: string): void {
    this.#ask(`begin ${join(this.#base, name)}`, "begin");
  }

  /** Ends all actors; nobody is in the file system any more. */
  leave(): void {
    this.#ask("leave", "leave");
  }

  /** Takes up contact over a wire on which something may be left from before. */
  synchronize(): void {
    this.#send("leave");
    this.#receive();
  }

  /** Ends all actors and deletes a tree. */
  remove(directory: string): void {
    this.leave();
    this.#ask(`remove ${directory}`, "remove");
  }

  call(actor: string, operation: string, words: readonly Word[]): Value[] {
    return this.#ask(`${actor} ${encode(operation, words)}`, operation);
  }

  start(actor: string, operation: string, words: readonly Word[]): void {
    this.#ask(`!${actor} ${encode(operation, words)}`, operation);
  }

  finish(actor: string, timeoutMs: number): Value[] | undefined {
    this.#send(`?${actor} ${timeoutMs}`);
    const line = this.#receive();
    return line === "pending" ? undefined : decode(line, "finish");
  }

  #ask(line: string, what: string): Value[] {
    this.#send(line);
    return decode(this.#receive(), what);
  }

  #send(line: string): void {
    const bytes = Buffer.from(`${line}\n`, "latin1");
    for (let sent = 0; sent < bytes.length; ) {
      sent += writeSync(this.#wire.requests, bytes, sent);
    }
  }

  /** Waits for bytes, also on a wire that does not block. @returns how many have come, 0 at its end */
  #read(): number {
    const until = Date.now() + TIMEOUT_MS;
    for (;;) {
      try {
        return readSync(this.#wire.replies, this.#buffer);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
        if (Date.now() > until) throw new Error(`no reply within ${TIMEOUT_MS} ms`);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
      }
    }
  }

  #receive(): string {
    for (;;) {
      const end = this.#received.indexOf("\n");
      if (end >= 0) {
        const line = this.#received.slice(0, end).replace(/\r$/, "");
        this.#received = this.#received.slice(end + 1);
        return line;
      }
      const count = this.#read();
      if (count === 0) throw new Error("the executor has ended");
      this.#received += this.#buffer.toString("latin1", 0, count);
    }
  }
}

function encode(operation: string, words: readonly Word[]): string {
  const encoded = words.map((word) =>
    typeof word === "string" ? `x${Buffer.from(word, "latin1").toString("hex")}` : `${word}`,
  );
  return [operation, ...encoded].join(" ");
}

function decode(line: string, what: string): Value[] {
  const [status, ...values] = line.split(" ");
  if (status === "err") throw new FileError(errnoName(Number(values[0])), what);
  if (status !== "ok") throw new Error(`executor: "${line}" to ${what}`);
  return values.map((value) =>
    value.startsWith("x") ? Buffer.from(value.slice(1), "hex").toString("latin1") : BigInt(value),
  );
}

/** An executor on this host. */
export class HostExecutor {
  readonly wire: Wire;
  readonly #directory: string;
  readonly #child: ChildProcess;

  constructor() {
    this.#directory = mkdtempSync(join(tmpdir(), "conformance-"));
    const program = compileExecutor(this.#directory);
    const [requests, theirRequests] = this.#pipe("requests").reverse() as [number, number];
    const [replies, theirReplies] = this.#pipe("replies") as [number, number];
    this.wire = { requests, replies };
    this.#child = spawn(program, { stdio: [theirRequests, theirReplies, "inherit"] });
    closeSync(theirRequests);
    closeSync(theirReplies);
  }

  /** A blocking pipe, which Node has no call for. @returns the end to read and the end to write */
  #pipe(name: string): [number, number] {
    const path = join(this.#directory, name);
    execFileSync("mkfifo", [path]);
    const both = openSync(path, "r+");
    const ends: [number, number] = [openSync(path, "r"), openSync(path, "w")];
    closeSync(both);
    return ends;
  }

  /** Ends the executor, waits for it, and removes what it needed. */
  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    closeSync(this.wire.requests);
    await ended;
    closeSync(this.wire.replies);
    rmSync(this.#directory, { recursive: true });
  }
}
