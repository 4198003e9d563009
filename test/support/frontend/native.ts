import { createRequire } from "node:module";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

/** The functions of native/test/frontend.cc: each returns a count or a negative errno. */
interface FrontendAddon {
  memfdCreate(sizeBytes: number): number;
  truncate(fd: number, sizeBytes: number): number;
  map(fd: number, sizeBytes: number): Buffer | number;
  eventCreate(): number;
  eventSignal(fd: number): number;
  eventTake(fd: number): number;
  pipeCreate(): [number, number] | number;
  connectUnix(path: string): number;
  closeDescriptor(fd: number): number;
  send(fd: number, bytes: Buffer, descriptors: readonly number[]): number;
  receive(
    fd: number,
    into: Buffer,
    start: number,
    end: number,
    timeoutMs: number,
    descriptors: number[],
  ): number;
  waitReadable(fds: readonly number[], timeoutMs: number): number;
  loadAcquire16(memory: Buffer, offset: number): number;
  storeRelease16(memory: Buffer, offset: number, value: number): void;
  fullFence(): void;
}

const addonPath =
  process.env.FRONTEND_ADDON ??
  fileURLToPath(new URL("../../../build/Release/frontend_test.node", import.meta.url));

export const native = createRequire(import.meta.url)(addonPath) as FrontendAddon;

const ALIASES = new Set(["ENOTSUP", "EWOULDBLOCK"]);
const errnoNames = new Map<number, string>();
for (const [name, number] of Object.entries(constants.errno)) {
  if (!ALIASES.has(name)) errnoNames.set(number, name);
}

/** "ENOENT" for 2 (or -2); "E4095" for a number that has no name. */
export function errnoName(errno: number): string {
  return errnoNames.get(Math.abs(errno)) ?? `E${Math.abs(errno)}`;
}

/** Returns a count, or throws with the name of the error that it carries. */
export function checked(count: number, what: string): number {
  if (count < 0) throw new Error(`${what}: ${errnoName(count)}`);
  return count;
}
