import { PROTECTED } from "../../src/vfs/attributes.js";
import { type Awaitable, EINVAL, EPERM, type Status } from "../../src/vfs/errno.js";
import type { Caller, VfsHandle } from "../../src/vfs/node.js";
import { copyUpProtected } from "./copy-up.js";
import { OverlayFileHandle } from "./file-handle.js";
import { withDirectory } from "./inode-flags.js";
import type { OverlayNode } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { protectionOf, writeProtection } from "./protection.js";
import { run, type Steps, wait } from "./steps.js";

const FS_IOC_GETFLAGS = 0x8008_6601;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_IOC_FSGETXATTR = 0x801c_581f;
const FS_IOC_FSSETXATTR = 0x401c_5820;
const FLAGS_BYTES = 4;
/** Where the protecting flags are in struct fsxattr: FS_XFLAG_IMMUTABLE and FS_XFLAG_APPEND are one bit further down. */
const XFLAGS_SHIFT = 1;

/** ioctl(2) of a file or directory that is open. */
export function inodeIoctl(
  overlay: Overlay,
  caller: Caller,
  handle: VfsHandle,
  command: number,
  input: Uint8Array,
  into: Uint8Array,
): Awaitable<Status> {
  const node = handle.node as OverlayNode;
  const pass = (data: Uint8Array) => ask(overlay, caller, handle, command, data, into);
  switch (command) {
    case FS_IOC_GETFLAGS:
    case FS_IOC_FSGETXATTR:
      return run(read(overlay, node, into, shiftOf(command), () => pass(input)));
    case FS_IOC_SETFLAGS:
    case FS_IOC_FSSETXATTR:
      return run(change(overlay, caller, node, input, shiftOf(command), pass));
    default:
      return run(pass(input));
  }
}

function shiftOf(command: number): number {
  return command === FS_IOC_FSGETXATTR || command === FS_IOC_FSSETXATTR ? XFLAGS_SHIFT : 0;
}

/** What the layer says, with the flags that the overlay keeps. */
function* read(
  overlay: Overlay,
  node: OverlayNode,
  into: Uint8Array,
  shift: number,
  pass: () => Steps<Status>,
): Steps<Status> {
  const status = yield* pass();
  const flags = status < 0 || node.upper === undefined ? 0 : yield* wait(protectionOf(overlay, node));
  if (flags < 0) {
    return flags;
  }
  if (flags !== 0 && status >= FLAGS_BYTES) {
    const words = viewOf(into);
    words.setUint32(0, words.getUint32(0, true) | (flags >> shift), true);
  }
  return status;
}

/** Only root makes files immutable or append-only, or takes that back. */
function* change(
  overlay: Overlay,
  caller: Caller,
  node: OverlayNode,
  input: Uint8Array,
  shift: number,
  pass: (input: Uint8Array) => Steps<Status>,
): Steps<Status> {
  if (input.length < FLAGS_BYTES) {
    return -EINVAL;
  }
  const before = overlay.upper === undefined ? 0 : yield* wait(protectionOf(overlay, node));
  const wanted = (viewOf(input).getUint32(0, true) << shift) & PROTECTED;
  if (before < 0 || (before !== wanted && caller.uid !== 0)) {
    return before < 0 ? before : -EPERM;
  }
  const copied = yield* wait(copyUpProtected(overlay, node));
  const { upper } = overlay;
  if (copied < 0 || upper === undefined || node.upper === undefined) {
    return copied;
  }
  const others = Uint8Array.from(input);
  const words = viewOf(others);
  words.setUint32(0, words.getUint32(0, true) & ~(PROTECTED >> shift), true);
  let status = yield* pass(others);
  if (status >= 0 && before !== wanted) {
    const written = yield* wait(writeProtection(overlay, upper, node.upper, wanted));
    status = written < 0 ? written : status;
    node.protection = written < 0 ? undefined : wanted;
  }
  return status;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function* ask(
  overlay: Overlay,
  caller: Caller,
  handle: VfsHandle,
  command: number,
  input: Uint8Array,
  into: Uint8Array,
): Steps<Status> {
  if (handle instanceof OverlayFileHandle) {
    return yield* wait(handle.layer.backend.ioctl(caller, handle.inner, command, input, into));
  }
  const real = overlay.real(handle.node as OverlayNode);
  return yield* withDirectory(real, (open) => real.layer.backend.ioctl(caller, open, command, input, into));
}
