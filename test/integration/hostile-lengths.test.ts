import { describe, expect, test } from "vitest";
import {
  Body,
  type Client,
  encodeInHeader,
  IN_HEADER_BYTES,
  Opcode,
  OUT_HEADER_BYTES,
  ok,
  ROOT,
} from "../support/frontend/index.js";
import { expectServes, makeFile, useClient } from "../support/frontend-testing.js";

const ENTRY = 128;
const ATTR = 104;
const OPENED = 16;

interface Sample {
  readonly name: keyof typeof Opcode;
  /** A complete body, for the file or directory that it is sent to. */
  readonly body: (target: Target) => Body;
  /** Length of a successful reply's body, where it is fixed. */
  readonly reply?: number;
  /** Shorter bodies are valid too, down to this length (older kernels). */
  readonly shortest?: number;
  readonly onRoot?: boolean;
}

interface Target {
  readonly nodeid: bigint;
  readonly fh: bigint;
  readonly directoryHandle: bigint;
}

const lock = (fh: bigint) => new Body().u64(fh, 1, 0, 10).u32(0, 0, 0, 0);

const SAMPLES: readonly Sample[] = [
  { name: "LOOKUP", body: () => new Body().name("sample"), reply: ENTRY, onRoot: true },
  { name: "GETATTR", body: () => new Body().u32(0, 0).u64(0), reply: ATTR, shortest: 0 },
  { name: "SETATTR", body: () => new Body().raw(Buffer.alloc(88)), reply: ATTR },
  { name: "SYMLINK", body: () => new Body().name("new").name("t"), reply: ENTRY, onRoot: true },
  { name: "MKNOD", body: () => new Body().u32(0o100644, 0, 0, 0).name("new"), reply: ENTRY, onRoot: true },
  { name: "MKDIR", body: () => new Body().u32(0o755, 0).name("new"), reply: ENTRY, onRoot: true },
  { name: "UNLINK", body: () => new Body().name("absent"), onRoot: true },
  { name: "RMDIR", body: () => new Body().name("absent"), onRoot: true },
  { name: "RENAME", body: () => new Body().u64(ROOT).name("absent").name("new"), onRoot: true },
  { name: "RENAME2", body: () => new Body().u64(ROOT).u32(0, 0).name("absent").name("new"), onRoot: true },
  { name: "LINK", body: ({ nodeid }) => new Body().u64(nodeid).name("new"), reply: ENTRY, onRoot: true },
  { name: "OPEN", body: () => new Body().u32(0, 0), reply: OPENED },
  { name: "READ", body: ({ fh }) => new Body().u64(fh, 0).u32(8, 0).u64(0).u32(0, 0), shortest: 24 },
  {
    name: "WRITE",
    body: ({ fh }) => new Body().u64(fh, 0).u32(4, 0).u64(0).u32(0, 0).raw(Buffer.from("data")),
    reply: 8,
  },
  { name: "FSYNC", body: ({ fh }) => new Body().u64(fh).u32(0, 0) },
  { name: "FLUSH", body: ({ fh }) => new Body().u64(fh).u32(0, 0).u64(0) },
  {
    name: "SETXATTR",
    body: () => new Body().u32(1, 0).raw(Buffer.alloc(8)).name("user.x").raw(Buffer.from("v")),
  },
  { name: "GETXATTR", body: () => new Body().u32(0, 0).name("user.x"), reply: 8 },
  { name: "LISTXATTR", body: () => new Body().u32(0, 0), reply: 8 },
  { name: "REMOVEXATTR", body: () => new Body().name("user.x") },
  { name: "OPENDIR", body: () => new Body().u32(0, 0), reply: OPENED, onRoot: true },
  {
    name: "READDIR",
    body: ({ directoryHandle }) => new Body().u64(directoryHandle, 0).u32(256, 0).u64(0).u32(0, 0),
    onRoot: true,
    shortest: 24,
  },
  {
    name: "READDIRPLUS",
    body: ({ directoryHandle }) => new Body().u64(directoryHandle, 0).u32(256, 0).u64(0).u32(0, 0),
    onRoot: true,
    shortest: 24,
  },
  {
    name: "FSYNCDIR",
    body: ({ directoryHandle }) => new Body().u64(directoryHandle).u32(0, 0),
    onRoot: true,
  },
  { name: "GETLK", body: ({ fh }) => lock(fh), reply: 24 },
  { name: "SETLK", body: ({ fh }) => lock(fh) },
  { name: "ACCESS", body: () => new Body().u32(4, 0) },
  {
    name: "CREATE",
    body: () => new Body().u32(2, 0o644, 0, 0).name("new"),
    reply: ENTRY + OPENED,
    onRoot: true,
  },
  { name: "FALLOCATE", body: ({ fh }) => new Body().u64(fh, 0, 10).u32(0, 0) },
  { name: "LSEEK", body: ({ fh }) => new Body().u64(fh, 0).u32(3, 0), reply: 8 },
  {
    name: "COPY_FILE_RANGE",
    body: ({ nodeid, fh }) => new Body().u64(fh, 0, nodeid, fh, 100, 4, 0),
    reply: 8,
  },
  { name: "STATFS", body: () => new Body(), reply: 80 },
  { name: "BMAP", body: () => new Body().u64(0).u32(512, 0), reply: 8 },
  { name: "IOCTL", body: ({ fh }) => new Body().u64(fh).u32(0, 0x5401).u64(0).u32(0, 0), reply: 16 },
  { name: "POLL", body: ({ fh }) => new Body().u64(fh, 1).u32(0, 1), reply: 8 },
  { name: "SETUPMAPPING", body: ({ fh }) => new Body().u64(fh, 0, 4096, 3, 0) },
  { name: "REMOVEMAPPING", body: () => new Body().u32(1, 0).u64(0, 4096) },
  { name: "SYNCFS", body: () => new Body().u64(0), shortest: 0 },
];

function prepare(fs: Client): Target {
  if (fs.lookup(ROOT, "sample").error !== null) makeFile(fs, "sample", "sample content");
  const { nodeid } = ok(fs.lookup(ROOT, "sample"));
  const { fh } = ok(fs.open(nodeid, 2));
  return { nodeid, fh, directoryHandle: ok(fs.opendir(ROOT)).fh };
}

function clean(fs: Client, target: Target): void {
  for (const { name, type } of fs.list(ROOT)) {
    if (name === "sample" || name === "." || name === "..") continue;
    const removed = type === 4 ? fs.rmdir(ROOT, name) : fs.unlink(ROOT, name);
    expect(removed.error).toBeNull();
  }
  ok(fs.release(target.nodeid, target.fh));
  ok(fs.releasedir(ROOT, target.directoryHandle));
}

describe.each(["passthrough", "memory"] as const)("lengths on %s", (backend) => {
  const shared = useClient({ backend, args: ["--xattr"] });

  test.each(SAMPLES)("$name cut off at every byte is refused", ({ name, body, shortest, onRoot }) => {
    const { fs } = shared;
    const target = prepare(fs);
    const whole = body(target).bytes;
    const nodeid = onRoot === true ? ROOT : target.nodeid;
    for (let length = 0; length < whole.length; length++) {
      const part = whole.subarray(0, length);
      const reply = fs.request(Opcode[name], nodeid, part, OUT_HEADER_BYTES + 4096);
      const allowed = shortest !== undefined && length >= shortest;
      if (!allowed) expect(reply.error, `${length} of ${whole.length} bytes`).not.toBeNull();
    }
    clean(fs, target);
    expectServes(fs);
  });

  test.each(SAMPLES)("$name with more bytes than it needs is answered", ({ name, body, onRoot }) => {
    const { fs } = shared;
    const target = prepare(fs);
    const nodeid = onRoot === true ? ROOT : target.nodeid;
    for (const extra of [1, 8, 4096]) {
      const longer = body(target).raw(Buffer.alloc(extra, 0xff)).bytes;
      const reply = fs.request(Opcode[name], nodeid, longer, OUT_HEADER_BYTES + 4096);
      expect(reply.errno).toBeGreaterThanOrEqual(0);
    }
    clean(fs, target);
    expectServes(fs);
  });

  test.each(SAMPLES)("$name with too small a reply buffer is refused", ({ name, body, reply, onRoot }) => {
    const { fs } = shared;
    const target = prepare(fs);
    const nodeid = onRoot === true ? ROOT : target.nodeid;
    const { bytes } = body(target);
    for (const capacity of reply === undefined ? [] : [0, 1, reply - 1]) {
      const result = fs.request(Opcode[name], nodeid, bytes, OUT_HEADER_BYTES + capacity);
      expect(result.error, `room for ${capacity} of ${reply} bytes`).not.toBeNull();
    }
    expectNoAnswer(fs, Opcode[name], nodeid, bytes);
    clean(fs, target);
    expectServes(fs);
  });
});

/** Where the reply's header does not fit, the chain comes back with length 0. */
function expectNoAnswer(fs: Client, opcode: number, nodeid: bigint, body: Buffer): void {
  const [, queue] = fs.frontend.queues;
  if (queue === undefined) throw new Error("no queue 1");
  const header = encodeInHeader({
    length: IN_HEADER_BYTES + body.length,
    opcode,
    unique: 6n,
    nodeid,
    credentials: fs.credentials,
    extensionUnits: 0,
  });
  for (const room of [0, 1, 15]) {
    const { memory } = fs.frontend;
    const request = memory.store(Buffer.concat([header, body]));
    const writable = room === 0 ? [] : [memory.allocate(room)];
    queue.add([request], writable);
    queue.kick();
    expect(fs.frontend.waitUsed(queue)).toBe("used");
    expect(queue.take()?.length).toBe(0);
    for (const range of [request, ...writable]) memory.release(range);
  }
}
