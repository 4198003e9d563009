import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Change } from "../../../src/vfs/attributes.js";
import {
  EACCES,
  EBADF,
  EEXIST,
  EFBIG,
  EINVAL,
  EISDIR,
  ENOENT,
  ENOSPC,
  ENXIO,
} from "../../../src/vfs/errno.js";
import {
  MemoryShare,
  O_APPEND,
  O_NOATIME,
  O_RDONLY,
  O_RDWR,
  O_TRUNC,
  O_WRONLY,
  ROOT,
  type Stat,
  USER,
} from "./memory-share.js";

const PAGE = 4096;
const OLD: [number, number] = [1000, 5];

let share: MemoryShare;
beforeEach(() => {
  share = new MemoryShare();
});
afterEach(() => {
  share.stop();
});

/** Sets all times back, so that those that change show. */
function age(node: ReturnType<MemoryShare["mknod"]>): void {
  const times = { atime: 1000, atimeNsec: 5, mtime: 1000, mtimeNsec: 5, ctime: 1000, ctimeNsec: 5 };
  share.setattr(node, { valid: Change.ATIME | Change.MTIME | Change.CTIME, ...times });
}

/** Which times are not old any more. */
function changed(stat: Stat): string {
  const isNew = (time: [number, number]) => time[0] !== OLD[0] || time[1] !== OLD[1];
  return `${isNew(stat.atime) ? "a" : ""}${isNew(stat.mtime) ? "m" : ""}${isNew(stat.ctime) ? "c" : ""}`;
}

describe("a file", () => {
  it("is bound to the arena when it is written or has contents", () => {
    const file = share.mknod("f");
    const reader = share.open(file, O_RDONLY);
    expect(reader.boundFile).toBeUndefined();
    const writer = share.open(file, O_WRONLY | O_APPEND);
    expect(writer.boundFile).toMatchObject({ kind: "arena", append: true });
    expect(share.open(file, O_RDONLY | O_NOATIME).boundFile).toMatchObject({
      append: false,
      keepAtime: true,
    });
    expect(share.write(writer, 0, "hello")).toBe(5);
    expect(share.write(writer, 0, " world")).toBe(6);
    expect(share.read(reader)).toBe("hello world");
    expect(share.stat(file)).toMatchObject({ size: 11, blocks: 8 });
    expect(share.write(reader, 0, "x")).toBe(-EBADF);
    expect(share.backend.read(ROOT, writer, 0, new Uint8Array(1))).toBe(-EBADF);
  });

  it("is emptied by O_TRUNC", () => {
    const handle = share.create("f");
    share.write(handle, 0, "contents");
    const other = share.create("f", O_RDWR | O_TRUNC);
    expect(other.node).toBe(handle.node);
    expect(share.stat(handle.node)).toMatchObject({ size: 0, blocks: 0 });
  });

  it("lives without a name until it is released and forgotten, in either order", () => {
    for (const releaseFirst of [true, false]) {
      const handle = share.create("f");
      share.write(handle, 0, Buffer.alloc(3 * PAGE));
      expect(share.backend.unlink(ROOT, share.root, "f")).toBe(0);
      expect(share.missing("f")).toBe(-ENOENT);
      expect(share.stat(handle.node)).toMatchObject({ nlink: 0, size: 3 * PAGE });
      const free = share.backend.statfs();
      expect(share.write(handle, 0, "still here")).toBe(10);
      const steps = [() => share.release(handle), () => share.forget(handle.node)];
      for (const step of releaseFirst ? steps : steps.reverse()) {
        expect(share.backend.statfs().blocksFree).toBe(free.blocksFree);
        step();
      }
      expect(share.backend.statfs().blocksFree).toBe(free.blocksFree + 3);
      expect(share.backend.statfs().filesFree).toBe(free.filesFree + 1);
    }
  });

  it("without a name and unknown to the guest goes at once", () => {
    const file = share.mknod("f");
    share.forget(file);
    const free = share.backend.statfs().filesFree;
    share.backend.unlink(ROOT, share.root, "f");
    expect(share.backend.statfs().filesFree).toBe(free + 1);
  });

  it("with a name survives being forgotten", () => {
    const handle = share.create("f");
    share.write(handle, 0, "kept");
    share.release(handle);
    share.forget(handle.node);
    expect(share.read(share.open(share.lookup("f"), O_RDONLY))).toBe("kept");
  });

  it("can be sparse, allocated, punched and copied", () => {
    const handle = share.create("f");
    const { backend } = share;
    expect(share.setattr(handle.node, { valid: Change.SIZE, size: 2n ** 63n - 1n })).toBe(0);
    expect(backend.fallocate(ROOT, handle, 0, 1n << 62n, 4096n)).toBe(0);
    expect(share.stat(handle.node).blocks).toBe(8);
    expect(backend.fallocate(ROOT, handle, 0, 0n, 1n << 40n)).toBe(-ENOSPC);
    expect(backend.fallocate(ROOT, handle, 0, 2n ** 63n - 1n, 1n)).toBe(-EFBIG);
    expect(backend.fallocate(ROOT, handle, 0, -1n, 1n)).toBe(-EINVAL);
    expect(backend.fallocate(ROOT, handle, 3, 1n << 62n, 4096n)).toBe(0);
    share.write(handle, PAGE, "data");
    expect(backend.lseek(ROOT, handle, 0n, 3)).toBe(4096n);
    expect(backend.lseek(ROOT, handle, 4096n, 4)).toBe(8192n);
    expect(backend.lseek(ROOT, handle, 8192n, 3)).toBe(-ENXIO);
    expect(backend.lseek(ROOT, handle, 0n, 2)).toBe(-EINVAL);
    const copy = share.create("copy");
    expect(backend.lseek(ROOT, copy, 0n, 3)).toBe(-ENXIO);
    expect(backend.copyFileRange(ROOT, handle, 0n, copy, 10n, 8192n)).toBe(8192n);
    expect(share.read(copy, PAGE + 10, 4)).toBe("data");
    expect(backend.copyFileRange(ROOT, share.open(copy.node, O_WRONLY), 0n, handle, 0n, 1n)).toBe(-EBADF);
  });

  it("gives up its native part when it is empty and closed, and keeps its times", () => {
    const handle = share.create("f");
    age(handle.node);
    share.release(handle);
    expect(changed(share.stat(handle.node))).toBe("");
    expect(share.open(handle.node, O_RDONLY).boundFile).toBeUndefined();
  });
});

describe("times", () => {
  it("change as on tmpfs", () => {
    const { backend, root } = share;
    const handle = share.create("f");
    const file = handle.node;
    const check = (expected: string, action: () => unknown, node = file) => {
      age(node);
      action();
      expect(changed(share.stat(node)), action.toString()).toBe(expected);
    };
    check("mc", () => share.write(handle, 0, "x"));
    check("a", () => share.read(handle));
    check("", () => share.read(share.open(file, O_RDONLY | O_NOATIME)));
    check("c", () => share.setattr(file, { valid: Change.MODE, mode: 0o600 }));
    check("c", () => share.setattr(file, { valid: Change.UID, uid: 7 }));
    check("mc", () => share.setattr(file, { valid: Change.SIZE, size: 100n }));
    check("mc", () => share.setattr(file, { valid: Change.SIZE, size: 100n }));
    check("mc", () =>
      share.setattr(file, { valid: Change.SIZE | Change.MTIME_NOW | Change.MTIME, size: 100n }),
    );
    check("ac", () => share.setattr(file, { valid: Change.ATIME | Change.ATIME_NOW }));
    check("c", () => backend.link(ROOT, file, root, "g", share.out));
    check("c", () => share.rename("g", "h"));
    check("c", () => backend.unlink(ROOT, root, "h"));
    check("c", () => backend.setxattr(ROOT, file, "user.a", Buffer.from("v"), 0));
    check("mc", () => backend.fallocate(ROOT, handle, 3, 0n, 10n));
    check("mc", () => share.open(file, O_WRONLY | O_TRUNC));
    check("mc", () => share.open(file, O_WRONLY | O_TRUNC));
    check("mc", () => share.mknod("x"), root);
    check("mc", () => share.rename("x", "y"), root);
    check("mc", () => backend.unlink(ROOT, root, "y"), root);
    check("a", () => share.list(root), root);
    check("", () => share.lookup("f"), root);
    const link = share.symlink("link", "target");
    check("a", () => backend.readlink(ROOT, link), link);
  });

  it("hold nanoseconds and years before 1970 and after 2106", () => {
    const node = share.mknod("f");
    for (const file of [false, true]) {
      if (file) {
        share.write(share.open(node), 0, "x");
      }
      const times = { atime: -2, atimeNsec: 999_999_999, mtime: 2 ** 33, mtimeNsec: 1 };
      share.setattr(node, { valid: Change.ATIME | Change.MTIME, ...times });
      expect(share.stat(node)).toMatchObject({ atime: [-2, 999_999_999], mtime: [2 ** 33, 1] });
    }
  });

  it("of mtime and ctime are one instant", () => {
    const node = share.mknod("f");
    share.setattr(node, { valid: Change.SIZE | Change.MTIME | Change.MTIME_NOW, size: 10n });
    const { mtime, ctime } = share.stat(node);
    expect(mtime).toEqual(ctime);
  });
});

describe("setattr", () => {
  it("clears setuid and setgid on chown, and where a write would", () => {
    const node = share.mknod("f", share.root, 0o106755);
    share.setattr(node, { valid: Change.UID, uid: 5 });
    expect(share.stat(node)).toMatchObject({ mode: 0o100755, uid: 5 });
    share.setattr(node, { valid: Change.UID | Change.MODE, uid: 6, mode: 0o106644 });
    expect(share.stat(node).mode).toBe(0o106644);
    share.setattr(node, { valid: Change.SIZE | Change.KILL_SUIDGID, size: 5n });
    expect(share.stat(node).mode).toBe(0o102644);
    share.setattr(node, { valid: Change.GID, gid: 1 }, USER);
    expect(share.stat(node).mode).toBe(0o100644);
    const directory = share.mkdir("d", share.root, 0o6755);
    share.setattr(directory, { valid: Change.UID, uid: 5 });
    expect(share.stat(directory).mode).toBe(0o046755);
  });

  it("truncates regular files only", () => {
    expect(share.setattr(share.root, { valid: Change.SIZE, size: 0n })).toBe(-EISDIR);
    expect(share.setattr(share.symlink("l", "t"), { valid: Change.SIZE, size: 0n })).toBe(-EINVAL);
    expect(share.setattr(share.mknod("f"), { valid: Change.SIZE, size: 1n << 63n })).toBe(-EFBIG);
  });

  it("answers access by the mode bits", () => {
    const node = share.mknod("f", share.root, 0o100640);
    expect(share.backend.access(ROOT, node, 6)).toBe(0);
    expect(share.backend.access(ROOT, node, 1)).toBe(-EACCES);
    expect(share.backend.access(USER, node, 4)).toBe(-EACCES);
    share.setattr(node, { valid: Change.GID, gid: USER.gid });
    expect(share.backend.access(USER, node, 4)).toBe(0);
    expect(share.backend.access(USER, node, 2)).toBe(-EACCES);
  });
});

describe("limits", () => {
  it("of the size show in statfs and end writes short", () => {
    const small = new MemoryShare({ sizeBytes: 10 * PAGE });
    expect(small.backend.statfs()).toMatchObject({
      blocks: 10,
      blocksFree: 10,
      blockSize: 4096,
      nameLength: 255,
    });
    const handle = small.create("f");
    expect(small.write(handle, 0, Buffer.alloc(8 * PAGE))).toBe(8 * PAGE);
    small.symlink("long", "x".repeat(1000));
    expect(small.write(handle, 8 * PAGE, Buffer.alloc(5 * PAGE))).toBe(PAGE);
    expect(small.write(handle, 9 * PAGE, "x")).toBe(-ENOSPC);
    expect(small.backend.statfs().blocksAvailable).toBe(0);
    expect(small.backend.symlink(ROOT, small.root, "more", "y".repeat(1000), small.out)).toBe(-ENOSPC);
    expect(small.missing("more")).toBe(-ENOENT);
    const free = small.backend.statfs().filesFree;
    small.backend.unlink(ROOT, small.root, "long");
    small.forget(small.symlink("short", "y"));
    expect(small.backend.statfs().filesFree).toBe(free - 1);
    small.stop();
  });

  it("of the inodes count every further name", () => {
    const small = new MemoryShare({ inodeLimit: 4 });
    const { backend, root, out } = small;
    const file = small.mknod("a");
    small.mkdir("b");
    expect(backend.statfs()).toMatchObject({ files: 4, filesFree: 1 });
    expect(backend.link(ROOT, file, root, "c", out)).toBe(file);
    expect(backend.mkdir(ROOT, root, "d", 0o755, out)).toBe(-ENOSPC);
    expect(backend.symlink(ROOT, root, "d", "x", out)).toBe(-ENOSPC);
    expect(backend.create(ROOT, root, "d", O_RDWR, 0o644, out)).toBe(-ENOSPC);
    expect(backend.link(ROOT, file, root, "d", out)).toBe(-ENOSPC);
    expect(backend.mkdir(ROOT, root, "b", 0o755, out)).toBe(-EEXIST);
    expect(small.rename("a", "e", 4)).toBe(-ENOSPC);
    backend.unlink(ROOT, root, "a");
    expect(small.mkdir("d")).toBeTypeOf("object");
    small.stop();
  });

  it("may be left out for inodes", () => {
    const open = new MemoryShare({ inodeLimit: 0 });
    open.mkdir("a");
    expect(open.backend.statfs()).toMatchObject({ files: 0, filesFree: 0 });
    open.stop();
  });
});
