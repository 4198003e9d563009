import { describe, expect, test } from "vitest";
import {
  type Client,
  Lock,
  Opcode,
  OUT_HEADER_BYTES,
  ok,
  ROOT,
  S_IFREG,
  Seek,
  type Status,
} from "../support/frontend/index.js";
import { expectServes, makeFile, useClient } from "../support/frontend-testing.js";

const NO_NODE = ["ESTALE", "EINVAL", "ENOENT", "EBADF"];
const NO_HANDLE = ["EBADF", "EINVAL", "ESTALE", "ENOENT"];
const FOREIGN_NODES = [0n, 1_000_000n, (1n << 31n) - 1n, 1n << 32n, (1n << 32n) + 1n, 1n << 63n];
const LAST = (1n << 64n) - 1n;
const LOCK = { start: 0n, end: 10n, type: Lock.READ };

type OnNode = (fs: Client, nodeid: bigint) => Status;
type OnHandle = (fs: Client, nodeid: bigint, fh: bigint) => Status;

const NODE_OPERATIONS: readonly [string, OnNode][] = [
  ["LOOKUP", (fs, id) => fs.lookup(id, "name")],
  ["GETATTR", (fs, id) => fs.getattr(id)],
  ["SETATTR", (fs, id) => fs.setattr(id, { mode: 0o600 })],
  ["READLINK", (fs, id) => fs.readlink(id)],
  ["SYMLINK", (fs, id) => fs.symlink(id, "name", "target")],
  ["MKNOD", (fs, id) => fs.mknod(id, "name", S_IFREG | 0o644)],
  ["MKDIR", (fs, id) => fs.mkdir(id, "name")],
  ["UNLINK", (fs, id) => fs.unlink(id, "name")],
  ["RMDIR", (fs, id) => fs.rmdir(id, "name")],
  ["RENAME from", (fs, id) => fs.rename(id, "name", ROOT, "other")],
  ["RENAME to", (fs, id) => fs.rename(ROOT, "present", id, "other")],
  ["LINK of", (fs, id) => fs.link(id, ROOT, "name")],
  ["LINK in", (fs, id) => fs.link(ok(fs.lookup(ROOT, "present")).nodeid, id, "name")],
  ["OPEN", (fs, id) => fs.open(id)],
  ["OPENDIR", (fs, id) => fs.opendir(id)],
  ["CREATE", (fs, id) => fs.create(id, "name")],
  ["STATFS", (fs, id) => fs.statfs(id)],
];

const FILE_OPERATIONS: readonly [string, OnHandle][] = [
  ["READ", (fs, id, fh) => fs.read(id, fh, 0, 100)],
  ["WRITE", (fs, id, fh) => fs.write(id, fh, 0, "data")],
  ["FSYNC", (fs, id, fh) => fs.fsync(id, fh)],
  ["RELEASE", (fs, id, fh) => fs.release(id, fh)],
];
const OPTIONAL_OPERATIONS: readonly [string, OnHandle][] = [
  ["FLUSH", (fs, id, fh) => fs.flush(id, fh)],
  ["FALLOCATE", (fs, id, fh) => fs.fallocate(id, fh, 0, 10)],
  ["LSEEK", (fs, id, fh) => fs.lseek(id, fh, 0, Seek.DATA)],
  ["GETLK", (fs, id, fh) => fs.getlk(id, fh, 1, LOCK)],
  ["SETLK", (fs, id, fh) => fs.setlk(id, fh, 1, LOCK)],
  [
    "COPY_FILE_RANGE",
    (fs, nodeid, fh) => fs.copyFileRange({ nodeid, fh, offset: 0 }, { nodeid, fh, offset: 100 }, 10),
  ],
];
const DIRECTORY_OPERATIONS: readonly [string, OnHandle][] = [
  ["READDIR", (fs, id, fh) => fs.readdir(id, fh)],
  ["READDIRPLUS", (fs, id, fh) => fs.readdirplus(id, fh)],
  ["RELEASEDIR", (fs, id, fh) => fs.releasedir(id, fh)],
];

describe.each(["passthrough", "memory"] as const)("identities on %s", (backend) => {
  const shared = useClient({ backend });

  test.each([0, 7, 19, 49, 54, 60, 255, 4095, 4096, 4097, 0x7fff_ffff, 0xffff_ffff])(
    "opcode %i does not exist",
    (opcode) => {
      for (const bytes of [0, 8, 64]) {
        const reply = shared.fs.request(opcode, ROOT, Buffer.alloc(bytes), 4096);
        expect(reply.error).toBeOneOf(["ENOSYS", "EINVAL", "EOPNOTSUPP"]);
      }
      expectServes(shared.fs);
    },
  );

  describe.each(NODE_OPERATIONS)("%s", (_name, run) => {
    test("nodes that were never given are refused", () => {
      if (shared.fs.lookup(ROOT, "present").error !== null) makeFile(shared.fs, "present");
      for (const nodeid of [...FOREIGN_NODES, LAST]) {
        expect(run(shared.fs, nodeid).error, `node ${nodeid}`).toBeOneOf(NO_NODE);
      }
      expectServes(shared.fs);
    });

    test("a node that was forgotten is refused", () => {
      const { fs } = shared;
      if (fs.lookup(ROOT, "present").error !== null) makeFile(fs, "present");
      const { nodeid } = ok(fs.mkdir(ROOT, "short-lived"));
      ok(fs.rmdir(ROOT, "short-lived"));
      fs.forget(nodeid);
      expect(run(fs, nodeid).error).toBeOneOf(NO_NODE);
      expectServes(fs);
    });
  });

  describe.each([...FILE_OPERATIONS, ...OPTIONAL_OPERATIONS])("%s", (name, run) => {
    const refused = OPTIONAL_OPERATIONS.some(([other]) => other === name)
      ? [...NO_HANDLE, "ENOSYS", "EOPNOTSUPP"]
      : NO_HANDLE;

    test("handles that were never given are refused", () => {
      const nodeid = makeFile(shared.fs, `file-${name}`);
      for (const fh of [500_000n, (1n << 31n) - 1n, 1n << 31n, 1n << 32n, 1n << 63n, LAST]) {
        expect(run(shared.fs, nodeid, fh).error, `handle ${fh}`).toBeOneOf(refused);
      }
      expectServes(shared.fs);
    });

    test("a handle that was released is refused", () => {
      const { fs } = shared;
      const { nodeid, fh } = ok(fs.create(ROOT, `released-${name}`));
      ok(fs.release(nodeid, fh));
      expect(run(fs, nodeid, fh).error).toBeOneOf(refused);
      expectServes(fs);
    });

    test("the handle of a directory is refused", () => {
      const { fs } = shared;
      const { fh } = ok(fs.opendir(ROOT));
      if (name !== "RELEASE" && name !== "FSYNC" && name !== "FLUSH") {
        expect(run(fs, ROOT, fh).error).toBeOneOf([...refused, "EISDIR", "ENODEV"]);
      }
      ok(fs.readdir(ROOT, fh));
      ok(fs.releasedir(ROOT, fh));
    });
  });

  describe.each(DIRECTORY_OPERATIONS)("%s", (_name, run) => {
    test("handles that were never given or are released are refused", () => {
      const { fs } = shared;
      const { fh } = ok(fs.opendir(ROOT));
      ok(fs.releasedir(ROOT, fh));
      for (const wrong of [fh, 500_000n, 1n << 32n, 1n << 63n, LAST]) {
        expect(run(fs, ROOT, wrong).error, `handle ${wrong}`).toBeOneOf(NO_HANDLE);
      }
      expectServes(fs);
    });
  });

  test("a file's handle is no directory's", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "no-directory"));
    expect(fs.readdir(nodeid, fh).error).toBeOneOf([...NO_HANDLE, "ENOTDIR"]);
    expect(fs.readdirplus(nodeid, fh).error).toBeOneOf([...NO_HANDLE, "ENOTDIR"]);
    ok(fs.write(nodeid, fh, 0, "still open"));
    ok(fs.release(nodeid, fh));
  });

  test("releasing twice does not touch a handle given meanwhile", () => {
    const { fs } = shared;
    const first = ok(fs.create(ROOT, "first"));
    ok(fs.release(first.nodeid, first.fh));
    const second = ok(fs.create(ROOT, "second"));
    if (second.fh !== first.fh) {
      expect(fs.release(first.nodeid, first.fh).error).toBeOneOf(NO_HANDLE);
    }
    expect(ok(fs.write(second.nodeid, second.fh, 0, "data")).size).toBe(4);
    ok(fs.release(second.nodeid, second.fh));
  });
});

describe.each(["passthrough", "memory"] as const)("forgets on %s", (backend) => {
  const shared = useClient({ backend });

  test("more than was given drops the node and nothing else", () => {
    const { fs } = shared;
    const kept = makeFile(fs, "kept");
    for (const count of [2n, 1_000n, 1n << 32n, 1n << 63n, LAST]) {
      const { nodeid } = ok(fs.mkdir(ROOT, "forgotten"));
      fs.forget(nodeid, count);
      expect(fs.getattr(nodeid).error).toBeOneOf(NO_NODE);
      ok(fs.rmdir(ROOT, "forgotten"));
      ok(fs.getattr(kept));
    }
  });

  test("exactly what was given drops the node, one less keeps it", () => {
    const { fs } = shared;
    const nodeid = makeFile(fs, "counted");
    for (let i = 1; i < 5; i++) expect(ok(fs.lookup(ROOT, "counted")).nodeid).toBe(nodeid);
    fs.forget(nodeid, 4);
    ok(fs.getattr(nodeid));
    fs.forget(nodeid, 1);
    expect(fs.getattr(nodeid).error).toBeOneOf(NO_NODE);
    ok(fs.getattr(ok(fs.lookup(ROOT, "counted")).nodeid));
  });

  test("the root stays, and nodes that were never given do no harm", () => {
    const { fs } = shared;
    for (const nodeid of [0n, ROOT, 1_000_000n, LAST]) {
      for (const count of [0n, 1n, LAST]) fs.forget(nodeid, count);
    }
    ok(fs.getattr(ROOT));
    expectServes(fs);
  });

  test("an open file outlives its node", () => {
    const { fs } = shared;
    const { nodeid, fh } = ok(fs.create(ROOT, "outlived"));
    ok(fs.write(nodeid, fh, 0, "data"));
    fs.forget(nodeid);
    fs.release(nodeid, fh);
    const again = ok(fs.lookup(ROOT, "outlived"));
    expect(again.attr.size).toBe(4);
  });

  test("BATCH_FORGET with a count that lies drops at most what it holds", () => {
    const { fs } = shared;
    for (const claimed of [0, 1, 2, 3, 4, 1_000, 0x1000_0000, 0xffff_ffff]) {
      const nodes = ["a", "b", "c"].map((name) => ok(fs.mkdir(ROOT, name)).nodeid);
      fs.batchForget(
        nodes.map((nodeid) => ({ nodeid, count: 1 })),
        claimed,
      );
      expectServes(fs);
      for (const name of ["a", "b", "c"]) ok(fs.rmdir(ROOT, name));
      for (const nodeid of nodes) fs.forget(nodeid);
    }
  });

  test("BATCH_FORGET that tells the truth drops all", () => {
    const { fs } = shared;
    const nodes = ["a", "b", "c"].map((name) => ok(fs.mkdir(ROOT, name)).nodeid);
    fs.batchForget(nodes.map((nodeid) => ({ nodeid, count: 1 })));
    for (const nodeid of nodes) expect(fs.getattr(nodeid).error).toBeOneOf(NO_NODE);
  });

  test.each([Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY])(
    "opcode %i comes back, whatever its length",
    (opcode) => {
      const { fs } = shared;
      for (const bytes of [0, 1, 7, 8, 64]) {
        for (const capacity of [0, OUT_HEADER_BYTES]) {
          const ticket = fs.submit(opcode, ROOT, Buffer.alloc(bytes), capacity, { queue: 0 });
          expect(fs.waitUsed(ticket)).toBe(true);
          expect(ticket.usedLength).toBeOneOf([0, capacity]);
        }
      }
      expectServes(fs);
    },
  );
});
