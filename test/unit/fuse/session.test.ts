import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { Opcode } from "../../../src/fuse/protocol.js";
import { FuseSession } from "../../../src/fuse/session.js";
import { Lane, LaneResult, Slot } from "../../../src/native/lane.js";
import { Attr, type AttrRecord, S_IFDIR, S_IFREG } from "../../../src/vfs/attributes.js";
import { Backend, type BackendCapabilities } from "../../../src/vfs/backend.js";
import { EBADF, EINVAL, EIO, ENAMETOOLONG, ENOENT, ENOSYS, EPROTO, ESTALE } from "../../../src/vfs/errno.js";
import type { Logger } from "../../../src/vfs/logger.js";
import { type Caller, VfsHandle, VfsNode } from "../../../src/vfs/node.js";

class Node extends VfsNode {
  constructor(readonly name: string) {
    super();
  }
}

class Handle extends VfsHandle {}

/** A file system of one directory in which every name exists but "absent". */
class TinyBackend extends Backend {
  readonly capabilities: BackendCapabilities = {
    hardLinks: false,
    specialFiles: false,
    xattrs: false,
    changesOutside: true,
    posixAcl: false,
    parents: false,
    birthTimes: true,
    choosesAttributes: false,
  };
  readonly root = new Node("");
  readonly forgotten: string[] = [];
  readonly released: string[] = [];
  lastCaller: Caller | undefined;

  override start(): VfsNode {
    return this.root;
  }

  override forget(node: VfsNode): void {
    this.forgotten.push((node as Node).name);
  }

  override lookup(caller: Caller, _parent: VfsNode, name: string, out: AttrRecord) {
    this.lastCaller = { ...caller };
    if (name === "absent") {
      return -ENOENT;
    }
    if (name === "bug") {
      throw new Error("an invariant is broken");
    }
    out.fill(0);
    out[Attr.MODE] = S_IFREG | 0o644;
    return new Node(name);
  }

  override getattr(_caller: Caller, _node: VfsNode, _handle: VfsHandle | undefined, out: AttrRecord) {
    out.fill(0);
    out[Attr.MODE] = S_IFDIR | 0o755;
    return 0;
  }

  override open(_caller: Caller, node: VfsNode) {
    return Promise.resolve(new Handle(node));
  }

  override opendir(_caller: Caller, node: VfsNode) {
    return new Handle(node);
  }

  override releasedir(handle: VfsHandle): void {
    this.released.push((handle.node as Node).name);
  }

  override access(): Promise<number> {
    return Promise.reject(new Error("another bug"));
  }
}

const lane = new Lane({ spinUs: 0, ioThreads: 0 });
afterAll(() => lane.close());

function createLogger(lines: string[]): Logger {
  const add = (fields: object | string, message?: string) => {
    lines.push(message ?? String(fields));
  };
  return { error: add, warn: add, info: add, debug: add };
}

describe("FuseSession", () => {
  let backend: TinyBackend;
  let session: FuseSession;
  let log: string[];

  /** Puts a request into slot 0 as native code does, and returns its result. */
  function request(opcode: number, nodeId: bigint, body: Buffer, length = 40 + body.length): number {
    const bytes = lane.bytes.subarray(0, Slot.BYTES);
    bytes.fill(0);
    lane.words[Slot.REQUEST_LENGTH_WORD] = length;
    lane.words[Slot.REPLY_CAPACITY_WORD] = 4096;
    lane.words[Slot.REPLY_OFFSET_WORD] = Slot.REPLY_BYTE;
    bytes.writeUInt32LE(length, Slot.REQUEST_BYTE);
    bytes.writeUInt32LE(opcode, Slot.REQUEST_BYTE + 4);
    bytes.writeBigUInt64LE(nodeId, Slot.REQUEST_BYTE + 16);
    bytes.writeUInt32LE(1000, Slot.REQUEST_BYTE + 24);
    bytes.writeUInt32LE(100, Slot.REQUEST_BYTE + 28);
    body.copy(bytes, Slot.REQUEST_BYTE + 40);
    lane.batch[0] = 0;
    session.runBatch(1);
    return lane.results[0] as number;
  }

  function initBody(major: number, minor: number): Buffer {
    const body = Buffer.alloc(64);
    body.writeUInt32LE(major, 0);
    body.writeUInt32LE(minor, 4);
    body.writeUInt32LE(0xffff_ffff, 12);
    return body;
  }

  const reply = () => lane.bytes.subarray(Slot.REPLY_BYTE, Slot.REPLY_BYTE + Slot.REPLY_BYTES);
  const name = (text: string) => Buffer.from(`${text}\0`, "latin1");
  const lookup = (text: string) => request(Opcode.LOOKUP, 1n, name(text));
  /** Node id of a file. */
  const idOf = (text: string) => {
    lookup(text);
    return reply().readBigUInt64LE(0);
  };

  beforeEach(() => {
    log = [];
    backend = new TinyBackend();
    const cachePolicy = {
      entryTimeoutSec: 1,
      attrTimeoutSec: 2,
      negativeTimeoutSec: 0,
      directIo: false,
      keepCache: false,
      cacheDirectory: false,
    };
    session = new FuseSession({
      lane,
      backend,
      root: backend.start(),
      cachePolicy,
      logger: createLogger(log),
    });
    expect(request(Opcode.INIT, 0n, initBody(7, 38))).toBe(64);
  });

  test("answers a lookup with node id, timeouts and attributes, for the caller", () => {
    expect(lookup("file")).toBe(128);
    const id = reply().readBigUInt64LE(0);
    expect(id & 0xffff_ffffn).toBe(2n);
    expect(reply().readBigUInt64LE(8)).toBe(id >> 32n);
    expect(reply().readBigUInt64LE(16)).toBe(1n);
    expect(reply().readBigUInt64LE(24)).toBe(2n);
    expect(reply().readUInt32LE(40 + Attr.MODE * 4)).toBe(S_IFREG | 0o644);
    expect(backend.lastCaller).toMatchObject({ uid: 1000, gid: 100 });
    expect(lookup("absent")).toBe(-ENOENT);
  });

  test("answers GETATTR around the attributes the backend filled in place", () => {
    expect(request(Opcode.GETATTR, 1n, Buffer.alloc(16))).toBe(104);
    const body = lane.words[Slot.REPLY_OFFSET_WORD] as number;
    expect(lane.bytes.readBigUInt64LE(body)).toBe(2n);
    expect(lane.bytes.readUInt32LE(body + 16 + Attr.MODE * 4)).toBe(S_IFDIR | 0o755);
  });

  test.each([
    ["empty", "", -EINVAL],
    [".", ".", -EINVAL],
    ["..", "..", -EINVAL],
    ["a slash", "a/b", -EINVAL],
    ["255 bytes", "x".repeat(255), 128],
    ["256 bytes", "x".repeat(256), -ENAMETOOLONG],
    ["not UTF-8", "\xff\xfe", 128],
  ])("checks names: %s", (_what, text, result) => {
    expect(lookup(text)).toBe(result);
  });

  test("refuses a name without its NUL, and arguments that are cut off", () => {
    expect(request(Opcode.LOOKUP, 1n, Buffer.from("file"))).toBe(-EINVAL);
    expect(request(Opcode.GETATTR, 1n, Buffer.alloc(15))).toBe(-EINVAL);
    expect(request(Opcode.SETATTR, 1n, Buffer.alloc(87))).toBe(-EINVAL);
  });

  test("refuses node ids and handles that the guest was not given", () => {
    expect(request(Opcode.GETATTR, 2n, Buffer.alloc(16))).toBe(-ESTALE);
    expect(request(Opcode.GETATTR, (1n << 32n) + 1n, Buffer.alloc(16))).toBe(-ESTALE);
    expect(request(Opcode.READDIR, 1n, Buffer.alloc(40))).toBe(-EBADF);
    expect(request(Opcode.RELEASE, 1n, Buffer.alloc(24))).toBe(-EBADF);
  });

  test.each([0, 7, 19, 49, 54, 63, 64, 4096, 0xffff_ffff])(
    "answers ENOSYS to opcode %i or refuses it",
    (opcode) => {
      expect([-ENOSYS, -95]).toContain(request(opcode, 1n, Buffer.alloc(64)));
    },
  );

  test("a bug in a backend is EIO, is logged once with the operation, and the session goes on", () => {
    expect(lookup("bug")).toBe(-EIO);
    expect(lookup("bug")).toBe(-EIO);
    expect(log).toEqual(["bug in LOOKUP, answered with EIO: an invariant is broken"]);
    expect(lookup("file")).toBe(128);
  });

  test("a rejected promise is a bug, too", async () => {
    expect(request(Opcode.ACCESS, 1n, Buffer.alloc(8))).toBe(LaneResult.PENDING);
    await new Promise((resolve) => setImmediate(resolve));
    expect(log).toEqual(["bug in ACCESS, answered with EIO: another bug"]);
  });

  test("an operation that waits opens its handle when it is done", async () => {
    expect(request(Opcode.OPEN, idOf("file"), Buffer.alloc(8))).toBe(LaneResult.PENDING);
    await new Promise((resolve) => setImmediate(resolve));
    expect(session.handles.size).toBe(1);
  });

  test("FLUSH of a backend without it succeeds, so that the guest goes on sending it", async () => {
    const id = idOf("file");
    request(Opcode.OPEN, id, Buffer.alloc(8));
    await new Promise((resolve) => setImmediate(resolve));
    const body = Buffer.alloc(24);
    body.writeUInt32LE(session.handles.generationAt(0), 4);
    expect(request(Opcode.FLUSH, id, body)).toBe(0);
  });

  test("FORGET has no reply and releases the node", () => {
    const id = idOf("file");
    const one = Buffer.alloc(8);
    one.writeUInt32LE(1);
    expect(request(Opcode.FORGET, id, one)).toBe(LaneResult.NO_REPLY);
    expect(backend.forgotten).toEqual(["file"]);
  });

  test("BATCH_FORGET believes the request's length, not its count", () => {
    const id = idOf("file");
    const body = Buffer.alloc(8 + 16);
    body.writeUInt32LE(1_000_000, 0);
    body.writeBigUInt64LE(id, 8);
    body.writeUInt32LE(1, 16);
    expect(request(Opcode.BATCH_FORGET, 0n, body)).toBe(LaneResult.NO_REPLY);
    expect(backend.forgotten).toEqual(["file"]);
  });

  test("INIT begins a new session: handles are released, node ids void", () => {
    const id = idOf("file");
    request(Opcode.OPENDIR, 1n, Buffer.alloc(8));
    expect(request(Opcode.INIT, 0n, initBody(7, 38))).toBe(64);
    expect(backend.released).toEqual([""]);
    expect(backend.forgotten).toEqual(["file"]);
    // Not even in the place of a file of the new session.
    expect(idOf("file")).not.toBe(id);
    expect(request(Opcode.GETATTR, id, Buffer.alloc(16))).toBe(-ESTALE);
    expect(request(Opcode.GETATTR, 1n, Buffer.alloc(16))).toBe(104);
  });

  test("what waits while INIT begins a new session opens nothing in it", async () => {
    expect(request(Opcode.OPEN, 1n, Buffer.alloc(8))).toBe(LaneResult.PENDING);
    request(Opcode.INIT, 0n, initBody(7, 38));
    await new Promise((resolve) => setImmediate(resolve));
    expect(session.handles.size).toBe(0);
  });

  test("before INIT nothing is answered, after DESTROY again", () => {
    expect(request(Opcode.DESTROY, 0n, Buffer.alloc(0))).toBe(0);
    expect(lookup("file")).toBe(-EIO);
  });

  test.each([
    ["too old a minor", 7, 26, -EPROTO],
    ["the oldest minor", 7, 27, 64],
    ["an older major", 6, 38, -EPROTO],
    ["a newer major, which is told ours", 8, 0, 64],
  ])("INIT with %s", (_what, major, minor, result) => {
    expect(request(Opcode.INIT, 0n, initBody(major, minor))).toBe(result);
    expect(session.initialised).toBe(result > 0 && major === 7);
    if (result > 0) {
      expect(reply().readUInt32LE(0)).toBe(7);
    }
  });

  test("an extension length beyond the request is refused", () => {
    lookup("file");
    const bytes = lane.bytes;
    bytes.writeUInt16LE(0xffff, Slot.REQUEST_BYTE + 36);
    session.runBatch(1);
    expect(lane.results[0]).toBe(-EINVAL);
  });
});
