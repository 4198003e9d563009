import { Attr, type AttrRecord, Change, getWords64 } from "../../src/vfs/attributes.js";
import {
  EINVAL,
  EIO,
  ENOSYS,
  ENXIO,
  EOPNOTSUPP,
  EXDEV,
  type Result,
  type Status,
} from "../../src/vfs/errno.js";
import type { VfsHandle } from "../../src/vfs/node.js";
import { attributeChange } from "./attribute-change.js";
import { attrRecord, type Layer, OVERLAY } from "./layers.js";
import { type Steps, wait } from "./steps.js";

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const CHUNK_BYTES = 1 << 20;
/** One call of copy_file_range at most: other requests get their turn in between. */
const RANGE_BYTES = 1n << 26n;

/** A file of a layer that is open. */
export interface OpenFile {
  readonly layer: Layer;
  readonly handle: VfsHandle;
}

/** Whether the host can copy from one to the other by itself. */
export function canCopyRange(from: OpenFile, to: OpenFile): boolean {
  return (
    from.layer.backend === to.layer.backend ||
    (from.handle.boundFile?.kind === "descriptor" && to.handle.boundFile?.kind === "descriptor")
  );
}

/** How many bytes of a file with these attributes are copied where it is cut off at `limit` by the way. */
export function sizeOfCopy(attr: AttrRecord, limit: bigint | undefined): bigint {
  const all = BigInt(getWords64(attr, Attr.SIZE));
  return limit !== undefined && limit < all ? limit : all;
}

/** Copies the first `size` bytes of a file to an empty one, leaving its holes out. */
export function* copyData(from: OpenFile, to: OpenFile, size: bigint): Steps<Status> {
  let offset = 0n;
  let end = 0n;
  let wholeRanges = canCopyRange(from, to);
  while (offset < size) {
    const data = yield* seek(from, offset, SEEK_DATA, size, offset);
    if (typeof data === "number") {
      return data;
    }
    const hole = data >= size ? size : yield* seek(from, data, SEEK_HOLE, size, size);
    if (typeof hole === "number") {
      return hole;
    }
    offset = data;
    while (offset < hole) {
      const copied: number | bigint = wholeRanges
        ? yield* copyRange(from, to, offset, hole - offset)
        : yield* copyChunk(from, to, offset, hole - offset);
      if (typeof copied === "bigint") {
        offset += copied;
        end = offset;
      } else if (wholeRanges && isUnsupported(copied)) {
        wholeRanges = false;
      } else {
        return copied;
      }
    }
  }
  return end === size ? 0 : yield* setSize(to, size);
}

function isUnsupported(status: Status): boolean {
  return status === -EXDEV || status === -EOPNOTSUPP || status === -ENOSYS || status === -EINVAL;
}

/** As lseek, no further than `end`; `otherwise` where the layer does not know about holes. */
function* seek(
  { layer, handle }: OpenFile,
  offset: bigint,
  whence: number,
  end: bigint,
  otherwise: bigint,
): Steps<Result<bigint>> {
  const found = yield* wait(layer.backend.lseek(OVERLAY, handle, offset, whence));
  if (typeof found === "bigint") {
    return found < end ? found : end;
  }
  if (found === -ENXIO) {
    return end;
  }
  return isUnsupported(found) ? otherwise : found;
}

function* copyRange(from: OpenFile, to: OpenFile, offset: bigint, length: bigint): Steps<Result<bigint>> {
  const part = length < RANGE_BYTES ? length : RANGE_BYTES;
  const copied = yield* wait(
    to.layer.backend.copyFileRange(OVERLAY, from.handle, offset, to.handle, offset, part),
  );
  // Some file systems copy nothing where a plain read would get data.
  return copied === 0n ? -EOPNOTSUPP : copied;
}

function* copyChunk(from: OpenFile, to: OpenFile, offset: bigint, length: bigint): Steps<Result<bigint>> {
  const buffer = Buffer.allocUnsafe(Number(length < CHUNK_BYTES ? length : CHUNK_BYTES));
  const position = Number(offset);
  const read = yield* wait(from.layer.backend.read(OVERLAY, from.handle, position, buffer));
  if (read <= 0) {
    return read === 0 ? -EIO : read;
  }
  let written = 0;
  while (written < read) {
    const count = yield* wait(
      to.layer.backend.write(OVERLAY, to.handle, position + written, buffer.subarray(written, read)),
    );
    if (count <= 0) {
      return count === 0 ? -EIO : count;
    }
    written += count;
  }
  return BigInt(read);
}

/** The hole at the end of a file has no data to copy. */
function* setSize({ layer, handle }: OpenFile, size: bigint): Steps<Status> {
  const change = attributeChange({ valid: Change.SIZE, size });
  return yield* wait(layer.backend.setattr(OVERLAY, handle.node, handle, change, attrRecord()));
}
