import { mkdirSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { InHeader, Opcode } from "../fuse/protocol.js";
import type { FuseSession } from "../fuse/session.js";
import { type Lane, LaneResult, Slot } from "../native/lane.js";

/** What runs at a time: others that come meanwhile wait for so long. */
const SLICE_MS = 2;
/** How long the share must have been quiet before the warm-up goes on. */
const QUIET_MS = 20;
/** After so many rounds the code that serves a guest is compiled. */
const ROUNDS = 80;
/** A file system that takes longer for a round's files would hold up the guest. */
const SLOW_MS = 25;
const FILES = 24;
const SLOT = 0;
const ROOT_ID = 1;
const RDWR = 2;
const MODE_VALID = 1;
const REPLY_CAPACITY = 65_536;

/** A share of its own with nothing but files that may be changed at will, served to nobody. */
export interface Rehearsal {
  readonly lane: Lane;
  readonly session: FuseSession;
  end(): Promise<void>;
}

/** A node by its id. */
type NodeId = readonly [low: number, high: number];

/** An open file by its number. */
type HandleNumber = readonly [low: number, high: number];

/** Sends requests to a session as a guest would. */
class Guest {
  readonly #lane: Lane;
  readonly #session: FuseSession;

  constructor({ lane, session }: Rehearsal) {
    this.#lane = lane;
    this.#session = session;
  }

  /** @returns as the session's operations do */
  request(opcode: number, [low, high]: NodeId, words: readonly number[], text = ""): number {
    const { bytes, words: all, batch, results } = this.#lane;
    const base = SLOT * Slot.WORDS;
    const header = base + Slot.REQUEST_WORD;
    const fixed = InHeader.BYTES + words.length * 4;
    const length = fixed + text.length;
    all.fill(0, header, header + Slot.REQUEST_BYTES / 4);
    all[base + Slot.REQUEST_LENGTH_WORD] = length;
    all[base + Slot.REPLY_CAPACITY_WORD] = REPLY_CAPACITY;
    all[base + Slot.REPLY_OFFSET_WORD] = Slot.REPLY_BYTE;
    all.set([length, opcode, 2, 0, low, high, 0, 0, 1, 0, ...words], header);
    bytes.write(text, SLOT * Slot.BYTES + Slot.REQUEST_BYTE + fixed, "latin1");
    batch[0] = SLOT;
    this.#session.runBatch(1);
    return results[0] as number;
  }

  /** As request, of what answers with an entry. */
  async entry(opcode: number, parent: NodeId, words: readonly number[], name: string): Promise<NodeId> {
    return (await this.#number(this.request(opcode, parent, words, `${name}\0`))) ?? [0, 0];
  }

  /** Opens a file for reading. Undefined: files need not be opened. */
  open(file: NodeId): Promise<HandleNumber | undefined> {
    return this.#number(this.request(Opcode.OPEN, file, [0, 0]));
  }

  /** The number with which the reply begins; undefined after an error. */
  async #number(result: number): Promise<readonly [low: number, high: number] | undefined> {
    if (result === LaneResult.PENDING) {
      await delay(1);
    } else if (result < 0) {
      return undefined;
    }
    const { words } = this.#lane;
    const reply = SLOT * Slot.WORDS + Slot.REPLY_WORD;
    return [words[reply] ?? 0, words[reply + 1] ?? 0];
  }
}

/** Does what guests do most, with other files in each round. Yields where it may be interrupted. */
async function* rehearse(guest: Guest, lowers: readonly string[]): AsyncGenerator<void> {
  const root: NodeId = [ROOT_ID, 0];
  guest.request(Opcode.INIT, root, [7, 38, 1 << 20, 0xffff_ffff, ...new Array(12).fill(0)]);
  for (let round = 0; round < ROUNDS; round++) {
    if (!fillDirectory(lowers, `d${round}`)) {
      return;
    }
    const directory = await guest.entry(Opcode.LOOKUP, root, [], `d${round}`);
    for (let offset = 0; offset < 2; offset++) {
      guest.request(Opcode.READDIRPLUS, directory, [0, 0, 0, 0, 4096, 0, 0, 0, 0, 0]);
    }
    yield;
    for (let file = 0; file < FILES; file++) {
      await useFile(guest, directory, `f${file}`);
      yield;
    }
    const made = await guest.entry(Opcode.MKDIR, root, [0o755, 0], `n${round}`);
    for (let file = 0; file < FILES; file++) {
      await makeFile(guest, made, `f${file}`);
      yield;
    }
    guest.request(Opcode.FORGET, made, [1, 0]);
    guest.request(Opcode.FORGET, directory, [2, 0]);
  }
}

/** Finds, reads and copies up a file of a lower layer. */
async function useFile(guest: Guest, directory: NodeId, name: string): Promise<void> {
  await guest.entry(Opcode.LOOKUP, directory, [], `no-${name}`);
  const file = await guest.entry(Opcode.LOOKUP, directory, [], name);
  guest.request(Opcode.GETATTR, file, [0, 0, 0, 0]);
  const handle = await guest.open(file);
  if (handle === undefined) {
    guest.request(Opcode.READ, file, [0, 0, 0, 0, 4096, 0, 0, 0, 0, 0]);
  } else {
    // Native code reads what is open.
    guest.request(Opcode.RELEASE, file, [...handle, 0, 0, 0, 0]);
  }
  const change = new Array(22).fill(0);
  change[0] = MODE_VALID;
  change[17] = 0o100600;
  const status = guest.request(Opcode.SETATTR, file, change);
  if (status === LaneResult.PENDING) {
    await delay(1);
  }
  guest.request(Opcode.FORGET, file, [3, 0]);
}

/** Makes, writes and removes a file. */
async function makeFile(guest: Guest, directory: NodeId, name: string): Promise<void> {
  await guest.entry(Opcode.LOOKUP, directory, [], name);
  const file = await guest.entry(Opcode.CREATE, directory, [RDWR, 0o100644, 0, 0], name);
  guest.request(Opcode.GETXATTR, file, [0, 0], "security.capability\0");
  guest.request(Opcode.WRITE, file, [0, 0, 0, 0, 4, 0, 0, 0, 0, 0], "data");
  const change = new Array(22).fill(0);
  change[0] = MODE_VALID;
  change[17] = 0o100600;
  guest.request(Opcode.SETATTR, file, change);
  guest.request(Opcode.UNLINK, directory, [], `${name}\0`);
  guest.request(Opcode.FORGET, file, [1, 0]);
}

/** False when it takes too long. */
function fillDirectory(lowers: readonly string[], name: string): boolean {
  const begun = performance.now();
  for (let file = 0; file < FILES; file++) {
    writeFileSync(join(lowers[file % lowers.length] ?? "", name, `f${file}`), "data");
  }
  return performance.now() - begun < SLOW_MS;
}

/** Two layers with an empty directory for each round. @returns lower layers, upper layer */
function makeLayers(at: string): { lowers: string[]; upper: string } {
  const lowers = [join(at, "lower0"), join(at, "lower1")];
  for (const lower of lowers) {
    for (let round = 0; round < ROUNDS; round++) {
      mkdirSync(join(lower, `d${round}`), { recursive: true });
    }
  }
  const upper = join(at, "upper");
  mkdirSync(upper);
  return { lowers, upper };
}

/**
 * Has a share of files that nobody else sees served to nobody while the real one is quiet: the code is compiled by the time
 * that a guest, which takes its time to boot, asks for something. It ends at the first chance after `isWanted` says no.
 *
 * @param at an empty directory, to be removed
 * @param batches how often the guest was answered
 */
export async function warmUp(
  at: string,
  start: (lowers: readonly string[], upper: string) => Promise<Rehearsal>,
  batches: () => number,
  isWanted: () => boolean,
): Promise<void> {
  let rehearsal: Rehearsal | undefined;
  try {
    const { lowers, upper } = makeLayers(at);
    rehearsal = await start(lowers, upper);
    let sliceEnd = performance.now() + SLICE_MS;
    for await (const _ of rehearse(new Guest(rehearsal), lowers)) {
      if (performance.now() < sliceEnd) {
        continue;
      }
      let seen = batches();
      await turn();
      while (batches() !== seen && isWanted()) {
        seen = batches();
        await delay(QUIET_MS);
      }
      if (!isWanted()) {
        return;
      }
      sliceEnd = performance.now() + SLICE_MS;
    }
  } finally {
    await rehearsal?.end();
    await rm(at, { recursive: true, force: true });
  }
}
