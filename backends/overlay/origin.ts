import { Attr, type AttrRecord, S_IFMT } from "../../src/vfs/attributes.js";
import { ENOSYS, EOPNOTSUPP, EPERM, type Result, type Status } from "../../src/vfs/errno.js";
import type { FileIdentifier, VfsNode } from "../../src/vfs/node.js";
import { attrRecord, type Layer, type LayerNode, type UpperLayer } from "./layers.js";
import { mark } from "./marks.js";
import type { OverlayNode, Stack } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { type Steps, wait } from "./steps.js";

/*
 * struct ovl_fb of Linux: version 0, magic, length of all, flags, type of the file handle, UUID of the file system,
 * file handle.
 */
const MAGIC = 0xfb;
const HEADER_BYTES = 5;
const UUID_BYTES = 16;
const FIXED_BYTES = HEADER_BYTES + UUID_BYTES;
const BIG_ENDIAN = 1;
const ANY_ENDIAN = 2;
const OF_UPPER = 4;

/** How a copy names the lower file that it was made from; `isUpper`: how a mark names a file of the upper layer. */
export function encodeOrigin({ type, bytes, fileSystem }: FileIdentifier, isUpper = false): Buffer {
  const header = [0, MAGIC, FIXED_BYTES + bytes.length, isUpper ? OF_UPPER : 0, type];
  return Buffer.concat([Buffer.from(header), fileSystem, bytes]);
}

/** The file that an origin names; undefined when it is in no form that this machine can read. */
export function decodeOrigin(value: Buffer): FileIdentifier | undefined {
  const [version, magic, length, flags = 0, type = 0] = value;
  const isForeign = (flags & ANY_ENDIAN) === 0 && (flags & BIG_ENDIAN) !== 0;
  if (version !== 0 || magic !== MAGIC || length !== value.length || length <= FIXED_BYTES || isForeign) {
    return undefined;
  }
  return {
    type,
    bytes: value.subarray(FIXED_BYTES),
    fileSystem: value.subarray(HEADER_BYTES, FIXED_BYTES),
  };
}

/** The origin that a copy of a lower file gets; undefined where the layer cannot name its files. */
export function* originOf({ layer, node }: LayerNode): Steps<Buffer | undefined> {
  const identifier = yield* wait(layer.backend.identify(node));
  return typeof identifier === "number" ? undefined : encodeOrigin(identifier);
}

/** The mark of a copy, by which it shows the inode number of the lower file from now on. */
export function originMark({ names }: Overlay, node: OverlayNode, origin: Buffer | undefined): Mark {
  if (origin !== undefined) {
    return { name: names.origin, value: origin };
  }
  const number = Buffer.alloc(8);
  number.writeUInt32LE(node.inoLow);
  number.writeUInt32LE(node.inoHigh, 4);
  return { name: names.number, value: number };
}

interface Mark {
  readonly name: string;
  readonly value: Buffer;
}

/**
 * Marks a copy, so that it shows the inode number of the lower file from now on: by origin, or where the layer
 * cannot name its files by the number itself. A layer that keeps no such marks does without.
 */
export function* markOrigin(
  overlay: Overlay,
  upper: UpperLayer,
  made: VfsNode,
  node: OverlayNode,
  origin: Buffer | undefined,
): Steps<Status> {
  const { name, value } = originMark(overlay, node, origin);
  return unlessImpossible(yield* wait(upper.setXattr(made, name, value)));
}

/** Files that cannot have such marks, symbolic links without "trusted." ones for example, do without. */
function unlessImpossible(status: Status): Status {
  return status === -EPERM || status === -EOPNOTSUPP || status === -ENOSYS ? 0 : status;
}

/** Marks a directory of the upper layer as holding something with an origin. */
export function* markImpure(overlay: Overlay, upper: UpperLayer, directory: OverlayNode): Steps<Status> {
  if (directory.impure === true || directory.upper === undefined) {
    return 0;
  }
  const set = yield* wait(upper.setXattr(directory.upper, overlay.names.impure, Buffer.from("y")));
  const status = unlessImpossible(set);
  directory.impure = status >= 0;
  return status;
}

/** Whether entries of a directory of the upper layer may have an origin. */
export function* mayHoldCopies(overlay: Overlay, upper: Layer, directory: OverlayNode): Steps<boolean> {
  if (directory.impure === undefined && directory.upper !== undefined) {
    const value = yield* mark(upper, directory.upper, overlay.names.impure);
    directory.impure = value !== undefined && typeof value !== "number";
  }
  return directory.impure === true || directory.lowers.length > 0;
}

/**
 * Puts the inode number that the guest sees into the attributes of something new.
 * @returns whether it is a copy of a lower file
 */
export function* numberFor(
  overlay: Overlay,
  parent: OverlayNode,
  { type, upper: node, lowers }: Stack,
  out: AttrRecord,
): Steps<boolean> {
  const { upper } = overlay;
  if (node === undefined || upper === undefined) {
    overlay.mapNumber((lowers[0] as LayerNode).layer, out);
    return false;
  }
  const isCopy =
    (yield* mayHoldCopies(overlay, upper, parent)) && (yield* readOrigin(overlay, upper, node, type, out));
  if (!isCopy) {
    overlay.mapNumber(upper, out);
  }
  return isCopy;
}

function* readOrigin(
  overlay: Overlay,
  upper: UpperLayer,
  node: VfsNode,
  type: number,
  out: AttrRecord,
): Steps<boolean> {
  const value: Result<Buffer> | undefined = yield* mark(upper, node, overlay.names.origin);
  if (typeof value === "number") {
    return false;
  }
  if (value === undefined) {
    return yield* readNumber(overlay, upper, node, out);
  }
  const identifier = decodeOrigin(value);
  if (identifier === undefined) {
    return false;
  }
  const attr = attrRecord();
  for (const layer of overlay.lowers) {
    const status = yield* wait(layer.backend.statIdentified(identifier, attr));
    if (status >= 0 && ((attr[Attr.MODE] as number) & S_IFMT) === type) {
      overlay.mapNumber(layer, attr);
      out[Attr.INO] = attr[Attr.INO] as number;
      out[Attr.INO + 1] = attr[Attr.INO + 1] as number;
      return true;
    }
  }
  return false;
}

function* readNumber(overlay: Overlay, upper: UpperLayer, node: VfsNode, out: AttrRecord): Steps<boolean> {
  const value = yield* mark(upper, node, overlay.names.number);
  if (value === undefined || typeof value === "number" || value.length !== 8) {
    return false;
  }
  out[Attr.INO] = value.readUInt32LE(0);
  out[Attr.INO + 1] = value.readUInt32LE(4);
  return true;
}
