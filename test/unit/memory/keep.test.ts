import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { MemoryBackendOptions } from "../../../backends/memory/options.js";
import { posix } from "../../../src/native/posix.js";
import { Change } from "../../../src/vfs/attributes.js";
import { GatewayError } from "../../../src/vfs/gateway-error.js";
import type { VfsNode } from "../../../src/vfs/node.js";
import { MemoryShare, ROOT } from "./memory-share.js";
import { type Dumped, dump, Opened } from "./tree-dump.js";

const MIB = 1 << 20;
const FS_IOC_SETFLAGS = 0x4008_6602;
const FS_IMMUTABLE_FL = 0x10;
const FS_APPEND_FL = 0x20;
const FS_NODUMP_FL = 0x40;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "keep-"));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

let count = 0;
const fresh = (suffix = "") => join(folder, `${count++}${suffix}`);

async function seeded(seed: string, options: Partial<MemoryBackendOptions> = {}): Promise<MemoryShare> {
  const share = await MemoryShare.seeded({ seed, ...options });
  onTestFinished(() => share.stop());
  return share;
}

/** Saves a share and starts another from that. */
async function saved(fill: (share: MemoryShare) => void, suffix = ".tar", options = {}) {
  const save = fresh(suffix);
  const share = new MemoryShare({ save, ...options });
  fill(share);
  const before = dump(share);
  await share.backend.stop();
  return { save, before, after: dump(await seeded(save, options)) };
}

/** Sets all that setattr can. */
function dress(share: MemoryShare, node: VfsNode, seconds = 1_700_000_000): void {
  const times = { atime: seconds + 1, atimeNsec: 123_456_789, mtime: seconds, mtimeNsec: 987_654_321 };
  const ids = { uid: 3_000_000_000, gid: 12 };
  share.setattr(node, { valid: Change.UID | Change.GID, ...ids });
  share.setattr(node, { valid: Change.MODE | Change.ATIME | Change.MTIME, mode: 0o4751, ...times });
}

function setFlags(share: MemoryShare, node: VfsNode, flags: number): void {
  const input = Buffer.alloc(8);
  input.writeUInt32LE(flags);
  expect(share.backend.ioctl(ROOT, new Opened(node), FS_IOC_SETFLAGS, input, Buffer.alloc(0))).toBe(0);
}

function fillWithEverything(share: MemoryShare): void {
  const { root, backend } = share;
  const file = share.mknod("file");
  share.write(share.open(file), 0, Buffer.alloc(10_000, "data"));
  backend.setxattr(ROOT, file, "security.capability", Buffer.from([1, 0, 0, 2, 255, 10, 61, 0]), 0);
  backend.setxattr(ROOT, file, "user.a=b%c\n", Buffer.alloc(0), 0);
  backend.link(ROOT, file, root, "hard", share.out);
  share.mknod("empty");
  share.mkdir("empty directory");
  const long = share.mkdir("d".repeat(255), share.mkdir("e".repeat(255)));
  share.mknod("\xff\xfe\n\x01 not utf-8", long);
  const link = share.symlink("link", "t".repeat(4000));
  backend.link(ROOT, link, long, "same link", share.out);
  share.symlink("up", "../../etc/passwd\xe9");
  backend.mknod(ROOT, root, "null", 0o020666, 0x103, share.out);
  backend.mknod(ROOT, root, "disk", 0o060600, 0xabc0_01de, share.out);
  backend.mknod(ROOT, root, "fifo", 0o010600, 0, share.out);
  backend.mknod(ROOT, root, "socket", 0o140600, 0, share.out);
  const sparse = share.create("sparse");
  share.write(sparse, 8192, "middle");
  share.write(sparse, 5 * 2 ** 40, "far");
  share.setattr(sparse.node, { valid: Change.SIZE, size: 2n ** 63n - 1n });
  const hole = share.mknod("hole");
  share.setattr(hole, { valid: Change.SIZE, size: 12_345n });
  for (const name of ["file", "link", "null", "fifo", "empty", "sparse", "empty directory"]) {
    dress(share, share.lookup(name), name === "empty" ? -5 : undefined);
  }
  dress(share, root);
  const shut = share.mkdir("immutable");
  share.mknod("inside", shut);
  const log = share.mknod("append-only", shut);
  share.write(share.open(log), 0, "first line");
  backend.link(ROOT, log, root, "same-log", share.out);
  setFlags(share, log, FS_APPEND_FL | FS_NODUMP_FL);
  setFlags(share, shut, FS_IMMUTABLE_FL);
  setFlags(share, root, FS_NODUMP_FL);
}

describe("saving and seeding", () => {
  it.each([".tar", ".tar.gz", ".tgz"])("keeps everything in %s", async (suffix) => {
    const { save, before, after } = await saved(fillWithEverything, suffix);
    expect(before["/immutable/append-only"]).toMatchObject({ flags: FS_APPEND_FL | FS_NODUMP_FL, nlink: 2 });
    (before["/"] as Dumped).size = (after["/"] as Dumped).size;
    expect(after).toEqual(before);
    const isPacked = readFileSync(save).readUInt16BE(0) === 0x1f8b;
    expect(isPacked).toBe(suffix !== ".tar");
    expect(statSync(save).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  it("keeps ACLs where they are on, and leaves them out where not", async () => {
    const acl = Buffer.from(
      "02000000010007000000000002000600e80300000400050000000000100007000000000020000000ffffffff",
      "hex",
    );
    for (const at of [8, 24, 32]) {
      acl.writeUInt32LE(0xffff_ffff, at);
    }
    const name = "system.posix_acl_access";
    const fill = (share: MemoryShare) => share.backend.setxattr(ROOT, share.mknod("f"), name, acl, 0);
    const { save, before, after } = await saved(fill, ".tar", { posixAcl: true });
    expect(after).toEqual(before);
    expect(after["/f"]?.xattrs).toHaveProperty([name]);
    expect(dump(await seeded(save))["/f"]?.xattrs).toEqual({});
  });

  it("is the identity for any tree", async () => {
    const name = fc
      .string({
        unit: fc.integer({ min: 1, max: 255 }).map((byte) => String.fromCharCode(byte)),
        minLength: 1,
        maxLength: 255,
      })
      .filter((text) => !text.includes("/") && text !== "." && text !== "..");
    const file = fc.record({
      name,
      inner: fc.boolean(),
      pieces: fc.array(fc.tuple(fc.nat(200_000), fc.uint8Array({ minLength: 1, maxLength: 5000 })), {
        maxLength: 4,
      }),
      seconds: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
      nanoseconds: fc.nat(999_999_999),
      xattr: fc.uint8Array({ maxLength: 300 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(file, { maxLength: 12 }), async (files) => {
        const { before, after } = await saved(
          (share) => {
            const directory = share.mkdir("\x01directory");
            for (const { name, inner, pieces, seconds, nanoseconds, xattr } of files) {
              const parent = inner ? directory : share.root;
              if (share.missing(name, parent) === 0) {
                continue;
              }
              const handle = share.create(name, 2, parent);
              for (const [offset, bytes] of pieces) {
                share.write(handle, offset, bytes);
              }
              share.backend.setxattr(ROOT, handle.node, "user.x", xattr, 0);
              const times = {
                atime: seconds,
                atimeNsec: nanoseconds,
                mtime: -seconds,
                mtimeNsec: nanoseconds,
              };
              share.setattr(handle.node, { valid: Change.ATIME | Change.MTIME, ...times });
              share.release(handle);
            }
          },
          ".tar",
          { sizeBytes: 64 * MIB },
        );
        expect(after).toEqual(before);
      }),
      { numRuns: 40 },
    );
  });
});

describe("Debian's tar", () => {
  function hostTree(): string {
    const root = fresh();
    mkdirSync(join(root, "sub/deep"), { recursive: true });
    writeFileSync(join(root, "sub/file"), Buffer.alloc(100_000, "host"));
    chmodSync(join(root, "sub/file"), 0o6711);
    linkSync(join(root, "sub/file"), join(root, "hard"));
    symlinkSync("sub/none", join(root, "link"));
    writeFileSync(Buffer.from(`${root}/\xff\xe9`, "latin1"), "");
    writeFileSync(join(root, "n".repeat(200)), "long");
    writeFileSync(join(root, "sparse"), "start");
    truncateSync(join(root, "sparse"), 3 * MIB);
    execFileSync("mkfifo", [join(root, "fifo")]);
    execFileSync("mknod", [join(root, "zero"), "c", "1", "5"]);
    setXattr(join(root, "sub/file"), "user.note", Buffer.from([0, 255, 10, 61]));
    setXattr(join(root, "sub"), "trusted.t", Buffer.from("x"));
    utimesSync(join(root, "sub/deep"), 1.5, -2.25);
    return root;
  }

  /** Does nothing where the host has no such attributes. */
  function setXattr(path: string, name: string, value: Buffer): void {
    posix.prepareThread();
    const parent = posix.openRoot(dirname(path));
    const fd = posix.openPath(parent, basename(path));
    posix.setXattr(fd, name, value, 0);
    closeSync(fd);
    closeSync(parent);
  }

  it("finds no difference between a directory and what was saved of it", async () => {
    const root = hostTree();
    const save = fresh(".tar");
    const share = await seeded(root, { sizeBytes: 16 * MIB, save });
    const before = dump(share);
    await share.backend.stop();
    const compare = ["--xattrs", "--xattrs-include=*", "--compare", "--file", save, "--directory", root];
    expect(execFileSync("tar", compare, { encoding: "utf8" })).toBe("");
    const unpacked = fresh();
    mkdirSync(unpacked);
    const extract = [
      "--xattrs",
      "--xattrs-include=*",
      "--extract",
      "--atime-preserve",
      "-f",
      save,
      "-C",
      unpacked,
    ];
    execFileSync("tar", [...extract, "--same-owner", "--same-permissions"]);
    const again = dump(await seeded(unpacked, { sizeBytes: 16 * MIB }));
    for (const tree of [before, again]) {
      for (const entry of Object.values(tree)) {
        entry.times = entry.times.slice(0, 2);
      }
    }
    expect(again).toEqual(before);
  });

  it.each([
    ["POSIX", ["--format=posix", "--xattrs", "--xattrs-include=*"]],
    ["sparse POSIX", ["--format=posix", "--sparse", "--xattrs", "--xattrs-include=*"]],
    ["sparse 0.1", ["--format=posix", "--sparse", "--sparse-version=0.1", "--xattrs", "--xattrs-include=*"]],
    ["GNU", ["--format=gnu"]],
    ["sparse GNU", ["--format=gnu", "--sparse"]],
    ["gzip", ["--format=posix", "-z", "--xattrs", "--xattrs-include=*"]],
  ])("writes %s archives that a share starts from", async (_name, options) => {
    const root = hostTree();
    const archive = fresh();
    execFileSync("tar", ["--create", ...options, "--file", archive, "--directory", root, "."]);
    const [fromTar, fromDirectory] = [
      dump(await seeded(archive, { sizeBytes: 16 * MIB })),
      dump(await seeded(root, { sizeBytes: 16 * MIB })),
    ];
    const isExact = options.includes("--xattrs");
    const keepsHoles = options.includes("--sparse");
    for (const tree of [fromTar, fromDirectory]) {
      for (const entry of Object.values(tree)) {
        entry.times = isExact ? entry.times.slice(0, 2) : [];
        entry.xattrs = isExact ? entry.xattrs : {};
        if (!keepsHoles) {
          entry.blocks = 0;
          entry.contents = "";
        }
      }
    }
    expect(fromTar).toEqual(fromDirectory);
  });

  it("with many holes, and a map longer than a block", async () => {
    const archive = fresh();
    const { save, before } = await saved(
      (share) => {
        const handle = share.create("holes");
        for (let page = 0; page < 300; page += 2) {
          share.write(handle, page * 4096, `page ${page}`);
        }
      },
      ".tar",
      { sizeBytes: 4 * MIB },
    );
    const unpacked = fresh();
    mkdirSync(unpacked);
    execFileSync("tar", ["-xf", save, "-C", unpacked]);
    execFileSync("tar", ["-c", "--sparse", "--format=gnu", "-f", archive, "-C", unpacked, "."]);
    for (const seed of [unpacked, archive]) {
      expect(dump(await seeded(seed, { sizeBytes: 4 * MIB }))["/holes"]?.contents).toBe(
        before["/holes"]?.contents,
      );
    }
  });
});

describe("a seed that is refused", () => {
  async function refusal(seed: string, options: Partial<MemoryBackendOptions> = {}): Promise<string> {
    const error = await MemoryShare.seeded({ seed, ...options }).then(
      () => undefined,
      (err: unknown) => err,
    );
    expect(error).toBeInstanceOf(GatewayError);
    expect((error as GatewayError).code).toBe("environment");
    return (error as GatewayError).message.replace(JSON.stringify(seed), "PATH");
  }

  function archiveOf(...args: string[]): string {
    const archive = fresh(".tar");
    execFileSync("tar", ["-cf", archive, ...args], { stdio: "ignore" });
    return archive;
  }

  it("missing, or no archive", async () => {
    expect(await refusal(fresh())).toBe("--seed: PATH: no such file or directory");
    const text = fresh();
    writeFileSync(text, "text ".repeat(1000));
    expect(await refusal(text)).toBe("--seed: PATH: not a tar archive");
    writeFileSync(text, "");
    expect(await refusal(text)).toBe("--seed: PATH: not a tar archive");
    writeFileSync(text, Buffer.from([0x1f, 0x8b, 1, 2, 3]));
    expect(await refusal(text)).toMatch(/^--seed: PATH: .+$/);
  });

  it("too large: the option that helps is named", async () => {
    const root = fresh();
    mkdirSync(root);
    writeFileSync(join(root, "f"), Buffer.alloc(2 * MIB));
    writeFileSync(join(root, "g"), "");
    for (const seed of [root, archiveOf("-C", root, ".")]) {
      expect(await refusal(seed)).toBe("--seed: PATH: does not fit into the share: raise --size");
      const options = { sizeBytes: 4 * MIB, inodeLimit: 2 };
      expect(await refusal(seed, options)).toBe("--seed: PATH: does not fit into the share: raise --inodes");
    }
  });

  it("cut off", async () => {
    const root = fresh();
    mkdirSync(root);
    writeFileSync(join(root, "f"), Buffer.alloc(100_000, "x"));
    const archive = archiveOf("-C", root, "f");
    truncateSync(archive, 50_000);
    expect(await refusal(archive)).toBe('--seed: PATH: "f": the archive is cut off');
  });

  it("with names that lead outside", async () => {
    const root = fresh();
    mkdirSync(join(root, "a"), { recursive: true });
    writeFileSync(join(root, "f"), "x");
    symlinkSync(folder, join(root, "out"));
    const up = archiveOf("-P", "-C", join(root, "a"), "../f");
    expect(await refusal(up)).toMatch(/^--seed: PATH: "..\/f": "..\/f" leads outside/);
    const through = archiveOf("-C", root, "out", "f", "--transform=s,^f$,out/f,");
    expect(await refusal(through)).toBe('--seed: PATH: "out/f": "out" on its path is not a directory');
    expect(existsSync(join(folder, "f"))).toBe(false);
    const absolute = archiveOf("-P", join(root, "f"));
    expect(Object.keys(dump(await seeded(absolute))).at(-1)).toBe(join(root, "f"));
  });

  it("or destination that cannot be written", async () => {
    const save = join(fresh(), "x.tar");
    const start = () => new MemoryShare({ save });
    expect(start).toThrow(`--save: ${JSON.stringify(save)}: no such file or directory`);
    expect(() => new MemoryShare({ save: folder })).toThrow("is a directory");
  });
});

describe("an archive that names things twice", () => {
  it("ends with the last", async () => {
    const root = fresh();
    mkdirSync(root);
    writeFileSync(join(root, "f"), "first");
    const archive = fresh(".tar");
    execFileSync("tar", ["-cf", archive, "-C", root, "."]);
    writeFileSync(join(root, "f"), "second!");
    execFileSync("tar", ["-rf", archive, "-C", root, "f"]);
    const share = await seeded(archive);
    expect(share.read(share.open(share.lookup("f")))).toBe("second!");
  });
});
