import { type Lane, LaneResult, Slot } from "../native/lane.js";
import { ATTR_WORDS, type AttrRecord } from "../vfs/attributes.js";
import { EINVAL, ENAMETOOLONG, type Result } from "../vfs/errno.js";
import { readLatin1 } from "../vfs/latin1.js";
import type { Caller } from "../vfs/node.js";
import { AttrOut, EntryOut, EXTENSION_GROUPS, InHeader, OUT_HEADER_BYTES } from "./protocol.js";
import type { TransferBuffers } from "./transfer-buffers.js";

/** Longest name of a directory entry, in bytes (NAME_MAX). */
const NAME_BYTES = 255;
const ARGUMENT_WORD = Slot.REQUEST_WORD + InHeader.WORDS;
const ARGUMENT_BYTE = Slot.REQUEST_BYTE + InHeader.BYTES;
/** An entry reply starts at the reply area; its attributes are where every attribute record is. */
const ATTR_WORD = Slot.REPLY_WORD + EntryOut.ATTR;

/**
 * A FUSE request in its slot: typed access to what the guest sent, and to where the answer goes. There
 * is one object per slot, reused for every request that comes to it, so nothing is allocated per request.
 */
export class Request {
  readonly slot: number;
  /** Who asks; refreshed by {@link begin}. */
  readonly caller: Caller = {
    uid: 0,
    gid: 0,
    pid: 0,
    supplementaryGroup: -1,
    umask: 0,
    clearsPrivileges: false,
    isAlone: false,
  };
  /** Where backends put attributes: in the reply, at the place all replies with attributes share. */
  readonly attr: AttrRecord;
  /** First word and byte of the slot. */
  readonly base: number;
  readonly #baseByte: number;
  readonly #lane: Lane;
  readonly #words: Uint32Array;
  #end = 0;
  #whole: Buffer | undefined;
  readonly #buffers: TransferBuffers;
  #borrowed: Buffer | undefined;

  constructor(lane: Lane, slot: number, buffers: TransferBuffers) {
    this.slot = slot;
    this.#buffers = buffers;
    this.base = slot * Slot.WORDS;
    this.#baseByte = slot * Slot.BYTES;
    this.#lane = lane;
    this.#words = lane.words;
    this.attr = lane.words.subarray(this.base + ATTR_WORD, this.base + ATTR_WORD + ATTR_WORDS);
  }

  /** Takes over the request that has arrived in the slot. False when its lengths contradict each other. */
  begin(): boolean {
    const words = this.#words;
    const header = this.base + Slot.REQUEST_WORD;
    this.caller.uid = words[header + InHeader.UID] as number;
    this.caller.gid = words[header + InHeader.GID] as number;
    this.caller.pid = words[header + InHeader.PID] as number;
    this.caller.supplementaryGroup = -1;
    this.caller.umask = 0;
    this.caller.clearsPrivileges = false;
    this.#whole = undefined;
    const extensionBytes = ((words[header + InHeader.EXTENSION_LENGTH] as number) & 0xffff) * 8;
    this.#end = (words[this.base + Slot.REQUEST_LENGTH_WORD] as number) - extensionBytes;
    return this.#end >= InHeader.BYTES;
  }

  get opcode(): number {
    return this.#words[this.base + Slot.REQUEST_WORD + InHeader.OPCODE] as number;
  }

  /** Index of the queue it came from. */
  get queue(): number {
    return this.#words[this.base + Slot.QUEUE_WORD] as number;
  }

  /** The guest's number of this request, by which INTERRUPT names it; exact below 2^53. */
  get unique(): number {
    const word = this.base + Slot.REQUEST_WORD + InHeader.UNIQUE;
    return (this.#words[word + 1] as number) * 0x1_0000_0000 + (this.#words[word] as number);
  }

  /** Halves of the node id in the header. */
  get nodeLow(): number {
    return this.#words[this.base + Slot.REQUEST_WORD + InHeader.NODE_ID] as number;
  }

  get nodeHigh(): number {
    return this.#words[this.base + Slot.REQUEST_WORD + InHeader.NODE_ID + 1] as number;
  }

  /** Bytes of arguments, names and data behind the header, without extensions. */
  get argumentBytes(): number {
    return this.#end - InHeader.BYTES;
  }

  /** Bytes of body that the guest has room for. */
  get replyCapacity(): number {
    return Math.max(0, (this.#words[this.base + Slot.REPLY_CAPACITY_WORD] as number) - OUT_HEADER_BYTES);
  }

  /** The argument word at `index`; it must be inside what the operation's minimum length covers. */
  word(index: number): number {
    return this.#words[this.base + ARGUMENT_WORD + index] as number;
  }

  /** Two argument words as an unsigned 64-bit number; exact below 2^53. */
  number64(index: number): number {
    return this.word(index + 1) * 0x1_0000_0000 + this.word(index);
  }

  /** Two argument words as a signed 64-bit number; exact for |value| < 2^53. */
  signed64(index: number): number {
    return (this.word(index + 1) | 0) * 0x1_0000_0000 + this.word(index);
  }

  /** Two argument words as an unsigned bigint. */
  bigint64(index: number): bigint {
    return (BigInt(this.word(index + 1)) << 32n) | BigInt(this.word(index));
  }

  /**
   * The bytes behind the header, without extensions: a view of the slot, or a copy when the request is
   * longer than a slot holds. Valid until the request is answered.
   */
  payload(): Buffer {
    if (this.#end <= Slot.REQUEST_BYTES) {
      return this.#lane.bytes.subarray(
        this.#baseByte + ARGUMENT_BYTE,
        this.#baseByte + Slot.REQUEST_BYTE + this.#end,
      );
    }
    if (this.#whole === undefined) {
      const whole = this.scratch(this.argumentBytes);
      const count = this.#lane.readRequest(this.slot, InHeader.BYTES, whole);
      whole.fill(0, count);
      this.#whole = whole;
    }
    return this.#whole;
  }

  /** Memory for the request, with whatever is in it. Valid until the request is answered. */
  scratch(bytes: number): Buffer {
    const borrowed = this.#borrowed === undefined ? this.#buffers.take(bytes) : undefined;
    this.#borrowed ??= borrowed;
    return borrowed?.subarray(0, bytes) ?? Buffer.allocUnsafe(bytes);
  }

  /** The request is answered: its memory is the next one's. */
  end(): void {
    if (this.#borrowed !== undefined) {
      this.#whole = undefined;
      this.#buffers.give(this.#borrowed);
      this.#borrowed = undefined;
    }
  }

  /**
   * A NUL-terminated string among the arguments, from argument byte `start`, as latin1 and without the NUL.
   * Errors: EINVAL when it is empty or not terminated.
   */
  string(start: number): Result<string> {
    if (this.#end <= Slot.REQUEST_BYTES) {
      const bytes = this.#lane.bytes;
      const from = this.#baseByte + ARGUMENT_BYTE + start;
      const limit = this.#baseByte + Slot.REQUEST_BYTE + this.#end;
      let end = from;
      while (end < limit && bytes[end] !== 0) {
        end++;
      }
      return end < limit && end > from ? readLatin1(bytes, from, end) : -EINVAL;
    }
    const payload = this.payload();
    const end = payload.indexOf(0, start);
    return end > start ? readLatin1(payload, start, end) : -EINVAL;
  }

  /**
   * A name of a directory entry from argument byte `start`. Errors: EINVAL when it is no such name (empty,
   * not terminated, ".", "..", or with a slash), ENAMETOOLONG beyond 255 bytes.
   */
  name(start: number): Result<string> {
    const name = this.string(start);
    if (typeof name === "number") {
      return name;
    }
    if (name.length > NAME_BYTES) {
      return -ENAMETOOLONG;
    }
    return name.includes("/") || name === "." || name === ".." ? -EINVAL : name;
  }

  /** Reads the extensions behind the arguments: the supplementary group that creation should use. */
  readExtensions(): void {
    const extensionBytes = (this.#words[this.base + Slot.REQUEST_LENGTH_WORD] as number) - this.#end;
    if (extensionBytes < 16) {
      return;
    }
    const extensions = Buffer.allocUnsafe(extensionBytes);
    const count = this.#lane.readRequest(this.slot, this.#end, extensions);
    for (let at = 0; at + 8 <= count; ) {
      const size = extensions.readUInt32LE(at);
      const type = extensions.readUInt32LE(at + 4);
      if (size < 8 || at + size > count) {
        return;
      }
      if (type === EXTENSION_GROUPS && size >= 16 && extensions.readUInt32LE(at + 8) > 0) {
        this.caller.supplementaryGroup = extensions.readUInt32LE(at + 12);
      }
      at += (size + 7) & ~7;
    }
  }

  /** Word of the lane where the reply's body begins, unless it is one with attributes. */
  get replyWord(): number {
    return this.base + Slot.REPLY_WORD;
  }

  /** The reply's body in the slot, `Slot.REPLY_BYTES` long. */
  replyBytes(length: number): Buffer {
    const start = this.#baseByte + Slot.REPLY_BYTE;
    return this.#lane.bytes.subarray(start, start + length);
  }

  /** Clears `count` words of the reply's body. */
  clearReply(count: number): void {
    this.#words.fill(0, this.replyWord, this.replyWord + count);
  }

  /** Makes the reply a struct fuse_attr_out around {@link attr}; returns its first word. */
  beginAttrReply(): number {
    const word = ATTR_WORD - AttrOut.ATTR;
    this.#words[this.base + Slot.REPLY_OFFSET_WORD] = word * 4;
    return this.base + word;
  }

  /**
   * Puts the reply's body behind {@link attr}, for replies that are made from it; returns its first word.
   * There is room for `Slot.REPLY_BYTES - 4 * (EntryOut.ATTR + ATTR_WORDS)` bytes.
   */
  beginReplyBehindAttributes(): number {
    const word = ATTR_WORD + ATTR_WORDS;
    this.#words[this.base + Slot.REPLY_OFFSET_WORD] = word * 4;
    return this.base + word;
  }

  /** Sends the first `length` bytes of `body`, past the slot. Returns the request's result. */
  replyInPlace(body: Uint8Array, length: number): number {
    return this.#lane.writeBody(this.slot, body, length) ? length + LaneResult.BODY_IN_PLACE : -EINVAL;
  }
}
