import { type FuseClient, InitFlag, Lock, ROOT } from "../../support/frontend/index.js";
import { startChurn } from "./rings-churn.js";
import { fileHandlers } from "./rings-files.js";
import { nameHandlers } from "./rings-names.js";
import { checked, type Found, PathWalker } from "./rings-walk.js";
import { FileError, type System, type Value, type Word } from "./system.js";

const FIRST_FD = 3;

/** An open file description. */
export interface OpenFile {
  readonly file: Found;
  readonly fh: bigint;
  readonly flags: number;
  readonly directory: boolean;
  position: bigint;
  /** Descriptors that share it. */
  references: number;
}

/** A process of the guest. */
export interface Process {
  readonly name: string;
  readonly owner: number;
  uid: number;
  gid: number;
  groups: readonly number[];
  umask: number;
  nextFd: number;
  readonly files: Map<number, OpenFile>;
  /** What {@link System.start} began. */
  waiting: (() => Value[] | undefined) | undefined;
  /** What that came to. */
  result: Value[] | undefined;
}

/** What a handler of an operation works with. */
export interface Context {
  readonly client: FuseClient;
  readonly walker: PathWalker;
  readonly process: Process;
  /** The server has accepted HANDLE_KILLPRIV_V2 and the caller is not root. */
  readonly killsPrivileges: boolean;
}

/** The words of a call, by type. */
export class Words {
  readonly #words: readonly Word[];

  constructor(words: readonly Word[]) {
    this.#words = words;
  }

  number(index: number): number {
    return Number(this.#words[index] ?? 0);
  }

  big(index: number): bigint {
    return BigInt(this.#words[index] ?? 0);
  }

  text(index: number): string {
    return String(this.#words[index]);
  }

  from(index: number): readonly Word[] {
    return this.#words.slice(index);
  }
}

export type Handler = (context: Context, words: Words) => Value[] | undefined;

const HANDLERS: Readonly<Record<string, Handler>> = { ...fileHandlers, ...nameHandlers };

/** Descriptor → open file; EBADF otherwise. */
export function openFile(process: Process, fd: number): OpenFile {
  const file = process.files.get(fd);
  if (file === undefined) throw new FileError("EBADF", `descriptor ${fd}`);
  return file;
}

export function addFile(process: Process, file: OpenFile): Value[] {
  const fd = process.nextFd++;
  process.files.set(fd, file);
  return [BigInt(fd)];
}

/**
 * Maps system calls to the requests that a guest's kernel would send. What the kernel decides before it
 * asks (permissions, above all) is left out: the server has the word.
 */
export class RingsSystem implements System {
  readonly #client: FuseClient;
  readonly #walker: PathWalker;
  readonly #processes = new Map<string, Process>();
  #owners = 0;

  constructor(client: FuseClient) {
    this.#client = client;
    this.#walker = new PathWalker(client);
  }

  begin(name: string): void {
    for (const process of this.#processes.values()) {
      for (const fd of [...process.files.keys()]) this.call(process.name, "close", [fd]);
    }
    this.#processes.clear();
    const { nodeid } = checked(this.#client.mkdir(ROOT, name, 0o777), "begin");
    this.#client.forget(nodeid);
    this.#walker.begin(name);
  }

  call(actor: string, operation: string, words: readonly Word[]): Value[] {
    return this.#run(actor, operation, words) ?? [];
  }

  /** @returns undefined when the call has to wait */
  #run(actor: string, operation: string, words: readonly Word[]): Value[] | undefined {
    const handler = HANDLERS[operation];
    if (handler === undefined)
      throw new Error(`there is no request for ${operation}: the case needs a kernel`);
    const process = this.#process(actor);
    const accepted = this.#client.initReply?.flags ?? 0n;
    const killsPrivileges = process.uid !== 0 && (accepted & InitFlag.HANDLE_KILLPRIV_V2) !== 0n;
    const { uid, gid, owner } = process;
    this.#client.credentials = { uid, gid, pid: owner };
    this.#client.supplementaryGroup = undefined;
    return handler(
      { client: this.#client, walker: this.#walker, process, killsPrivileges },
      new Words(words),
    );
  }

  start(actor: string, operation: string, words: readonly Word[]): void {
    const process = this.#process(actor);
    process.result = undefined;
    process.waiting = () => this.#run(actor, operation, words);
    if (operation === "fcntlLock") process.waiting = this.#startLock(process, words.map(Number));
    if (operation === "churn") process.waiting = startChurn(this, actor, words);
  }

  /** Puts a request on the queue that the server answers when the lock is free. */
  #startLock(process: Process, words: readonly number[]): () => Value[] | undefined {
    const [fd, , type, start, length] = words as [number, number, number, number, number];
    const { file, fh } = openFile(process, fd);
    const ticket = this.#client.submitSetlkw(file.nodeid, fh, process.owner, lockRange(type, start, length));
    return () => {
      if (!this.#client.waitUsed(ticket, 0)) return undefined;
      const { error } = this.#client.wait(ticket);
      if (error !== null) throw new FileError(error, "lock");
      return [];
    };
  }

  /** Advances all that has been started, one step of each process in turn. */
  finish(actor: string, timeoutMs: number): Value[] | undefined {
    const until = Date.now() + timeoutMs;
    const process = this.#process(actor);
    for (;;) {
      for (const each of this.#processes.values()) {
        each.result ??= each.waiting?.();
        if (each.result !== undefined) each.waiting = undefined;
      }
      if (process.result !== undefined || Date.now() >= until) return process.result;
      if (process.waiting === undefined) throw new Error("nothing was started");
    }
  }

  #process(name: string): Process {
    const known = this.#processes.get(name);
    if (known !== undefined) return known;
    const process: Process = {
      name,
      owner: 1000 + ++this.#owners,
      uid: 0,
      gid: 0,
      groups: [],
      umask: 0o022,
      nextFd: FIRST_FD,
      files: new Map(),
      waiting: undefined,
      result: undefined,
    };
    this.#processes.set(name, process);
    return process;
  }
}

/** struct flock's range as struct fuse_file_lock has it. */
export function lockRange(type: number, start: number, length: number) {
  const end = length === 0 ? 0x7fff_ffff_ffff_ffffn : BigInt(start) + BigInt(length) - 1n;
  return { start: BigInt(start), end, type: [Lock.READ, Lock.WRITE, Lock.UNLOCK][type] ?? type };
}
