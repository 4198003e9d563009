import { FALLOC, O, SEEK } from "../support/actor.js";
import { equal, fails, holds, same } from "../support/assertions.js";
import { type Group, group } from "../support/cases.js";

const { KEEP_SIZE, PUNCH_HOLE, ZERO, COLLAPSE, INSERT } = FALLOC;

const fallocate = group(
  "fallocate",
  (add) => {
    add("makes a file longer, full of zeros", ({ root }) => {
      root.create("f", "contents");
      const fd = root.open("f", O.RDWR);
      root.fallocate(fd, 0, 0, 10_000);
      equal(root.fstat(fd).size, 10_000);
      equal(root.read(fd, 10, 4), "ents\0\0\0\0\0\0");
    });
    add("inside a file changes neither size nor contents", ({ root }) => {
      root.create("f", "contents");
      root.fallocate(root.open("f", O.RDWR), 0, 2, 3);
      equal(root.contents("f"), "contents");
    });
    add("with KEEP_SIZE keeps the size", ({ root }) => {
      root.create("f", "contents");
      root.fallocate(root.open("f", O.RDWR), KEEP_SIZE, 0, 100_000);
      equal(root.contents("f"), "contents");
    });
    add("takes blocks", ["blocks"], ({ root }) => {
      root.create("f");
      root.fallocate(root.open("f", O.RDWR), 0, 0, 1 << 20);
      holds(root.stat("f").blocks >= 2048);
    });
    for (const [offset, length] of [
      [0, 0],
      [-1, 10],
      [0, -1],
      [10, 0],
    ] as const) {
      add(`at ${offset} of ${length} bytes is EINVAL`, ({ root }) => {
        root.create("f");
        fails("EINVAL", () => root.fallocate(root.open("f", O.RDWR), 0, offset, length));
      });
    }
    add("of a descriptor for reading is EBADF", ({ root }) => {
      root.create("f");
      fails("EBADF", () => root.fallocate(root.open("f"), 0, 0, 10));
    });
    add("beyond 2^63 - 1 is EFBIG", ["kernel"], ({ root }) => {
      root.create("f");
      const fd = root.open("f", O.RDWR);
      fails("EFBIG", () => root.fallocate(fd, 0, 2n ** 62n, 2n ** 62n));
    });
    add("of more than there is room for is ENOSPC", ["kernel", "blocks"], ({ root, kind }) => {
      if (kind === "passthrough" || kind === "other") return;
      root.create("f");
      const fd = root.open("f", O.RDWR);
      fails("ENOSPC", () => root.fallocate(fd, 0, 0, 2 ** 40));
      root.unlink("f");
    });
  },
  ["fallocate"],
);

const punching = group(
  "punching holes",
  (add) => {
    for (const [offset, length] of [
      [0, 4096],
      [4096, 4096],
      [100, 10],
      [4000, 200],
      [1, 20_000],
      [12_000, 10_000],
      [19_999, 1],
    ] as const) {
      add(`${length} bytes at ${offset} are zero, the rest stays`, ({ root }) => {
        root.create("f", "x".repeat(20_000));
        const fd = root.open("f", O.RDWR);
        root.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, offset, length);
        const end = Math.min(20_000, offset + length);
        const wanted = "x".repeat(offset) + "\0".repeat(end - offset) + "x".repeat(20_000 - end);
        equal(root.read(fd, 30_000) === wanted, true);
      });
    }
    add("gives blocks back", ["blocks"], ({ root }) => {
      root.create("f");
      const fd = root.open("f", O.RDWR);
      for (let i = 0; i < 4; i++) root.write(fd, "x".repeat(65536));
      root.fsync(fd);
      const before = root.fstat(fd).blocks;
      root.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 65536, 131072);
      equal(root.fstat(fd).blocks, before - 256);
    });
    add("behind the end does nothing", ({ root }) => {
      root.create("f", "contents");
      root.fallocate(root.open("f", O.RDWR), PUNCH_HOLE | KEEP_SIZE, 100, 100);
      equal(root.contents("f"), "contents");
    });
    add("without KEEP_SIZE is EOPNOTSUPP", ["kernel"], ({ root }) => {
      root.create("f", "contents");
      fails("EOPNOTSUPP", () => root.fallocate(root.open("f", O.RDWR), PUNCH_HOLE, 0, 4));
    });
    add("is seen by SEEK_HOLE", ["seekHole"], ({ root }) => {
      root.create("f");
      const fd = root.open("f", O.RDWR);
      for (let i = 0; i < 4; i++) root.write(fd, "x".repeat(65536));
      root.fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 65536, 65536);
      same([root.lseek(fd, 0, SEEK.HOLE), root.lseek(fd, 65536, SEEK.DATA)], [65536, 131072]);
    });
  },
  ["punchHole"],
);

const zeroing = group(
  "zeroing ranges",
  (add) => {
    add("makes zeros and keeps the rest", ({ root }) => {
      root.create("f", "x".repeat(9000));
      const fd = root.open("f", O.RDWR);
      root.fallocate(fd, ZERO, 1000, 6000);
      equal(root.contents("f"), `${"x".repeat(1000)}${"\0".repeat(6000)}${"x".repeat(2000)}`);
    });
    add("makes a file longer, but not with KEEP_SIZE", ({ root }) => {
      root.create("f", "contents");
      const fd = root.open("f", O.RDWR);
      root.fallocate(fd, ZERO | KEEP_SIZE, 4, 1000);
      equal(root.contents("f"), "cont\0\0\0\0");
      root.fallocate(fd, ZERO, 4, 16);
      equal(root.contents("f"), `cont${"\0".repeat(16)}`);
    });
  },
  ["zeroRange"],
);

const shifting = group(
  "collapsing and inserting ranges",
  (add) => {
    add("collapse takes a range out", ({ root }) => {
      root.create("f", "a".repeat(4096) + "b".repeat(4096) + "c".repeat(4096));
      root.fallocate(root.open("f", O.RDWR), COLLAPSE, 4096, 4096);
      equal(root.contents("f"), "a".repeat(4096) + "c".repeat(4096));
    });
    add("insert puts a hole in", ({ root }) => {
      root.create("f", "a".repeat(4096) + "b".repeat(4096));
      root.fallocate(root.open("f", O.RDWR), INSERT, 4096, 4096);
      equal(root.contents("f"), `${"a".repeat(4096)}${"\0".repeat(4096)}${"b".repeat(4096)}`);
    });
  },
  ["collapseRange"],
);

const copying = group(
  "copy_file_range",
  (add) => {
    for (const [fromOffset, toOffset, length] of [
      [0, 0, 10],
      [2, 5, 3],
      [8, 0, 100],
      [0, 5000, 10],
    ] as const) {
      add(`${length} bytes from ${fromOffset} to ${toOffset}`, ({ root }) => {
        root.create("from", "0123456789");
        root.create("to", "abcdefghij");
        const [from, to] = [root.open("from"), root.open("to", O.RDWR)];
        const copied = "0123456789".slice(fromOffset, fromOffset + length);
        equal(root.copyFileRange(from, fromOffset, to, toOffset, length), copied.length);
        equal(root.read(to, copied.length, toOffset), copied);
        equal(root.fstat(to).size, Math.max(10, toOffset + copied.length));
      });
    }
    add("from the end copies nothing", ({ root }) => {
      root.create("from", "0123456789");
      root.create("to");
      const [from, to] = [root.open("from"), root.open("to", O.RDWR)];
      equal(root.copyFileRange(from, 10, to, 0, 10), 0);
    });
    add("within one file", ({ root }) => {
      root.create("f", "0123456789");
      const fd = root.open("f", O.RDWR);
      equal(root.copyFileRange(fd, 0, fd, 10, 5), 5);
      equal(root.contents("f"), "012345678901234");
    });
    add("within one file, overlapping, is EINVAL", ["kernel"], ({ root }) => {
      root.create("f", "0123456789");
      const fd = root.open("f", O.RDWR);
      fails("EINVAL", () => root.copyFileRange(fd, 0, fd, 2, 5));
    });
    add("to a descriptor for reading or appending is EBADF", ["kernel"], ({ root }) => {
      root.create("f", "0123456789");
      const from = root.open("f");
      fails("EBADF", () => root.copyFileRange(from, 0, from, 0, 5));
      const append = root.open("f", O.WRONLY | O.APPEND);
      fails("EBADF", () => root.copyFileRange(from, 0, append, 0, 5));
    });
    add("of 64 KiB is exact", ({ root }) => {
      const data = Array.from({ length: 65536 }, (_, i) =>
        String.fromCharCode((i * 7 + (i >> 8)) & 255),
      ).join("");
      root.create("from", data);
      root.create("to");
      const [from, to] = [root.open("from"), root.open("to", O.RDWR)];
      for (let done = 0; done < data.length; ) {
        const count = root.copyFileRange(from, done, to, done, data.length - done);
        holds(count > 0);
        done += count;
      }
      equal(root.contents("to") === data, true);
    });
  },
  ["copyFileRange"],
);

const statfs = group("statfs", (add) => {
  add("names of 255 bytes and a block size", ({ root }) => {
    const { nameLength, blockSize } = root.statfs(".");
    same([nameLength, blockSize >= 512], [255, true]);
  });
  add("free blocks are not more than there are", ({ root }) => {
    const { blocks, free, available } = root.statfs(".");
    holds(blocks > 0 && free <= blocks && available <= free);
  });
  add("free inodes are not more than there are", ["inodeLimit"], ({ root }) => {
    const { files, filesFree } = root.statfs(".");
    holds(files > 0 && filesFree <= files);
  });
  add("data takes blocks and deleting gives them back", ["blocks"], ({ root, kind }) => {
    // On a shared disk others write, too.
    if (kind === "passthrough" || kind === "other") return;
    const before = root.statfs(".").free;
    root.create("f");
    const fd = root.open("f", O.RDWR);
    for (let i = 0; i < 16; i++) root.write(fd, "x".repeat(65536));
    root.fsync(fd);
    const { free, blockSize } = root.statfs(".");
    holds((before - free) * blockSize >= 1 << 20);
    root.close(fd);
    root.unlink("f");
    holds((before - root.statfs(".").free) * blockSize < 1 << 20);
  });
});

export const space: readonly Group[] = [fallocate, punching, zeroing, shifting, copying, statfs];
