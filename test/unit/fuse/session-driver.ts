import { DEFAULT_FEATURES, type SessionFeatures } from "../../../src/fuse/features.js";
import { Opcode } from "../../../src/fuse/protocol.js";
import { type CachePolicy, FuseSession } from "../../../src/fuse/session.js";
import { Lane, Slot } from "../../../src/native/lane.js";
import {
  ATTR_WORDS,
  Attr,
  type AttributeChange,
  type AttrRecord,
  S_IFDIR,
  S_IFREG,
  setWords64,
} from "../../../src/vfs/attributes.js";
import { Backend, type BackendCapabilities } from "../../../src/vfs/backend.js";
import { ENOENT, type Status } from "../../../src/vfs/errno.js";
import { type Caller, VfsHandle, VfsNode } from "../../../src/vfs/node.js";

export const lane = new Lane({ spinUs: 0, ioThreads: 0 });

export class Node extends VfsNode {
  constructor(
    readonly name: string,
    readonly parent?: Node,
  ) {
    super();
  }
}

class Handle extends VfsHandle {}

/** What reached the backend: the operation, the caller as it was then, and the other arguments. */
export interface Call {
  readonly operation: string;
  readonly caller: Caller;
  readonly args: readonly unknown[];
}

/** A backend that writes down what it is asked; every name but "absent" exists. */
export class RecordingBackend extends Backend {
  readonly root = new Node("");
  readonly calls: Call[] = [];
  readonly attr: AttrRecord = new Uint32Array(ATTR_WORDS);
  /** Answers of LOOKUP and IOCTL come as promises. */
  waits = false;

  constructor(readonly capabilities: BackendCapabilities) {
    super();
    this.attr[Attr.MODE] = S_IFREG | 0o644;
    setWords64(this.attr, Attr.INO, 77);
  }

  get last(): Call {
    return this.calls.at(-1) as Call;
  }

  #note(operation: string, caller: Caller, ...args: unknown[]): void {
    this.calls.push({ operation, caller: { ...caller }, args });
  }

  override start(): VfsNode {
    return this.root;
  }

  override lookup(caller: Caller, parent: VfsNode, name: string, out: AttrRecord) {
    this.#note("lookup", caller, name);
    out.set(this.attr);
    const found = name === "absent" ? -ENOENT : new Node(name, parent as Node);
    return this.waits ? Promise.resolve(found) : found;
  }

  override parentOf(caller: Caller, node: VfsNode, out: AttrRecord) {
    this.#note("parentOf", caller, (node as Node).name);
    out.set(this.attr);
    return (node as Node).parent ?? this.root;
  }

  override getattr(caller: Caller, node: VfsNode, handle: VfsHandle | undefined, out: AttrRecord): Status {
    this.#note("getattr", caller, (node as Node).name, handle !== undefined);
    out.set(this.attr);
    return 0;
  }

  override setattr(
    caller: Caller,
    _node: VfsNode,
    _handle: VfsHandle | undefined,
    change: AttributeChange,
    out: AttrRecord,
  ): Status {
    this.#note("setattr", caller, change.valid);
    out.set(this.attr);
    return 0;
  }

  override mknod(
    caller: Caller,
    parent: VfsNode,
    name: string,
    mode: number,
    _rdev: number,
    out: AttrRecord,
  ) {
    this.#note("mknod", caller, name, mode);
    out.set(this.attr);
    return new Node(name, parent as Node);
  }

  override mkdir(caller: Caller, parent: VfsNode, name: string, mode: number, out: AttrRecord) {
    this.#note("mkdir", caller, name, mode);
    out.set(this.attr);
    out[Attr.MODE] = S_IFDIR | mode;
    return new Node(name, parent as Node);
  }

  override open(caller: Caller, node: VfsNode, flags: number) {
    this.#note("open", caller, flags);
    return new Handle(node);
  }

  override opendir(caller: Caller, node: VfsNode) {
    this.#note("opendir", caller);
    return new Handle(node);
  }

  override create(
    caller: Caller,
    _parent: VfsNode,
    name: string,
    flags: number,
    mode: number,
    out: AttrRecord,
  ) {
    this.#note("create", caller, name, flags, mode);
    out.set(this.attr);
    return new Handle(new Node(name));
  }

  override tmpfile(caller: Caller, _parent: VfsNode, flags: number, mode: number, out: AttrRecord) {
    this.#note("tmpfile", caller, flags, mode);
    out.set(this.attr);
    return new Handle(new Node("(unnamed)"));
  }

  override ioctl(caller: Caller, _handle: VfsHandle, command: number, input: Uint8Array, into: Uint8Array) {
    this.#note("ioctl", caller, command, Buffer.from(input).toString("hex"), into.length);
    into.fill(0xab);
    return this.waits ? Promise.resolve(into.length) : into.length;
  }

  override write(caller: Caller, _handle: VfsHandle, offset: number, from: Uint8Array): Status {
    this.#note("write", caller, offset, Buffer.from(from).toString("latin1"));
    return from.length;
  }

  override fallocate(caller: Caller): Status {
    this.#note("fallocate", caller);
    return 0;
  }

  override copyFileRange(
    caller: Caller,
    _from: VfsHandle,
    fromOffset: bigint,
    _to: VfsHandle,
    toOffset: bigint,
    length: bigint,
  ) {
    this.#note("copyFileRange", caller, fromOffset, toOffset, length);
    return length;
  }

  override setxattr(caller: Caller, _node: VfsNode, name: string, value: Uint8Array, flags: number): Status {
    this.#note("setxattr", caller, name, Buffer.from(value).toString("latin1"), flags);
    return 0;
  }
}

export interface DriverOptions {
  readonly capabilities?: Partial<BackendCapabilities>;
  readonly features?: Partial<SessionFeatures>;
  readonly cachePolicy?: Partial<CachePolicy>;
}

const SLOT = 3;

/** A session over the recording backend, asked as native code asks it: through a slot of the lane. */
export class SessionDriver {
  readonly backend: RecordingBackend;
  readonly session: FuseSession;
  readonly log: string[] = [];

  constructor(options: DriverOptions = {}) {
    this.backend = new RecordingBackend({
      hardLinks: true,
      specialFiles: true,
      xattrs: true,
      changesOutside: false,
      posixAcl: false,
      parents: false,
      birthTimes: true,
      choosesAttributes: false,
      ...options.capabilities,
    });
    const add = (fields: object | string, message?: string) => {
      this.log.push(message ?? String(fields));
    };
    this.session = new FuseSession({
      lane,
      backend: this.backend,
      root: this.backend.root,
      cachePolicy: {
        entryTimeoutSec: 1,
        attrTimeoutSec: 1,
        negativeTimeoutSec: 0,
        directIo: false,
        keepCache: false,
        cacheDirectory: false,
        ...options.cachePolicy,
      },
      features: { ...DEFAULT_FEATURES, ...options.features },
      logger: { error: add, warn: add, info: add, debug: add },
    });
  }

  /** Asks for `flags` and flags2; what was agreed upon, or the errno. */
  init(flags = 0xffff_ffff, flags2 = 0xffff_ffff): { status: number; flags: number; flags2: number } {
    const status = this.request(
      Opcode.INIT,
      0n,
      words(7, 45, 1 << 20, flags, flags2, ...new Array(11).fill(0)),
    );
    const reply = this.reply();
    return { status, flags: reply.readUInt32LE(12), flags2: reply.readUInt32LE(32) };
  }

  request(opcode: number, nodeId: bigint, body: Buffer, uid = 1000): number {
    const bytes = lane.bytes.subarray(SLOT * Slot.BYTES, (SLOT + 1) * Slot.BYTES);
    const control = lane.words.subarray(SLOT * Slot.WORDS, (SLOT + 1) * Slot.WORDS);
    bytes.fill(0);
    const length = 40 + body.length;
    control[Slot.REQUEST_LENGTH_WORD] = length;
    control[Slot.REPLY_CAPACITY_WORD] = 4096;
    control[Slot.REPLY_OFFSET_WORD] = Slot.REPLY_BYTE;
    bytes.writeUInt32LE(length, Slot.REQUEST_BYTE);
    bytes.writeUInt32LE(opcode, Slot.REQUEST_BYTE + 4);
    bytes.writeBigUInt64LE(nodeId, Slot.REQUEST_BYTE + 16);
    bytes.writeUInt32LE(uid, Slot.REQUEST_BYTE + 24);
    body.copy(bytes, Slot.REQUEST_BYTE + 40);
    lane.batch[0] = SLOT;
    this.session.runBatch(1);
    return lane.results[0] as number;
  }

  /** The reply's body. */
  reply(): Buffer {
    const start = lane.words[SLOT * Slot.WORDS + Slot.REPLY_OFFSET_WORD] as number;
    return lane.bytes.subarray(SLOT * Slot.BYTES + start, (SLOT + 1) * Slot.BYTES);
  }

  /** Node id of a file. */
  lookup(name: string): bigint {
    this.request(Opcode.LOOKUP, 1n, text(name));
    return this.reply().readBigUInt64LE(0);
  }

  /** Number of a handle on it. */
  open(nodeId: bigint, opcode: number = Opcode.OPEN): bigint {
    this.request(opcode, nodeId, words(2, 0));
    return this.reply().readBigUInt64LE(0);
  }
}

export function words(...values: number[]): Buffer {
  return Buffer.from(Uint32Array.from(values).buffer);
}

export function longs(...values: (number | bigint)[]): Buffer {
  return Buffer.from(BigUint64Array.from(values.map(BigInt)).buffer);
}

export function text(value: string): Buffer {
  return Buffer.from(`${value}\0`, "latin1");
}
