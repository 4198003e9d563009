import { O, SEEK } from "../support/actor.js";
import { equal, fails, holds, same } from "../support/assertions.js";
import { type Group, group } from "../support/cases.js";

const GIB = 2 ** 30;
/** What O_DIRECT can transfer on any disk. */
const BLOCK = 4096;
const LARGEST = 2n ** 63n - 1n;

const access = group("reading and writing", (add) => {
  add("a descriptor for reading refuses writes: EBADF", ({ root }) => {
    root.create("f", "contents");
    const fd = root.open("f", O.RDONLY);
    fails("EBADF", () => root.write(fd, "x"));
    fails("EINVAL", () => root.ftruncate(fd, 0));
  });
  add("a descriptor for writing refuses reads: EBADF", ({ root }) => {
    root.create("f", "contents");
    const fd = root.open("f", O.WRONLY);
    fails("EBADF", () => root.read(fd, 1));
  });
  add("a closed descriptor is EBADF", ({ root }) => {
    root.create("f");
    const fd = root.open("f");
    root.close(fd);
    fails("EBADF", () => root.read(fd, 1));
  });
  add("reading a directory is EISDIR", ({ root }) => {
    root.mkdir("d");
    const fd = root.open("d", O.DIRECTORY);
    fails("EISDIR", () => root.read(fd, 1));
  });
  add("negative offsets are EINVAL", ({ root }) => {
    root.create("f", "contents");
    const fd = root.open("f", O.RDWR);
    fails("EINVAL", () => root.read(fd, 1, -2));
    fails("EINVAL", () => root.write(fd, "x", -2));
    fails("EINVAL", () => root.lseek(fd, -1));
    fails("EINVAL", () => root.lseek(fd, -9, SEEK.END));
  });
  add("reading at and behind the end gives nothing", ({ root }) => {
    root.create("f", "contents");
    const fd = root.open("f");
    same([root.read(fd, 10, 8), root.read(fd, 10, 9000), root.read(fd, 10, 5)], ["", "", "nts"]);
  });
  add("reading 0 bytes gives nothing", ({ root }) => {
    root.create("f", "contents");
    equal(root.read(root.open("f"), 0), "");
  });
  add("positions go on with reads and writes and are a descriptor's own", ({ root }) => {
    root.create("f", "0123456789");
    const [a, b] = [root.open("f", O.RDWR), root.open("f", O.RDWR)];
    same([root.read(a, 3), root.read(b, 2), root.read(a, 3)], ["012", "01", "345"]);
    root.write(a, "X");
    equal(root.contents("f"), "012345X789");
  });
  add("dup shares the position", ({ root }) => {
    root.create("f", "0123456789");
    const a = root.open("f");
    const b = root.dup(a);
    same([root.read(a, 3), root.read(b, 3)], ["012", "345"]);
    root.close(a);
    equal(root.read(b, 3), "678");
  });
  add("reads and writes at an offset leave the position", ({ root }) => {
    root.create("f", "0123456789");
    const fd = root.open("f", O.RDWR);
    root.read(fd, 3, 5);
    root.write(fd, "X", 9);
    equal(root.read(fd, 2), "01");
  });
  for (const size of [1, 511, 4095, 4096, 4097, 32768, 65536]) {
    add(`${size} bytes come back as they were`, ({ root }) => {
      const data = Array.from({ length: size }, (_, i) =>
        String.fromCharCode((i * 31 + (i >> 8)) & 255),
      ).join("");
      root.create("f", data);
      equal(root.contents("f") === data, true);
      equal(root.stat("f").size, size);
    });
  }
  for (const offset of [1, 4095, 4096, 65535]) {
    add(`overwriting 100 bytes at ${offset} leaves the rest`, ({ root }) => {
      root.create("f");
      const fd = root.open("f", O.RDWR);
      root.write(fd, "a".repeat(65536), 0);
      root.write(fd, "b".repeat(100), offset);
      equal(root.read(fd, 1, offset - 1), "a");
      equal(root.read(fd, 100, offset), "b".repeat(100));
      equal(root.stat("f").size, Math.max(65536, offset + 100));
    });
  }
  add("what one process writes another reads at once", ({ alice, bob }) => {
    alice.create("f", "");
    const [writer, reader] = [alice.open("f", O.WRONLY), bob.open("f")];
    for (let i = 0; i < 10; i++) {
      alice.write(writer, `${i}`);
      equal(bob.read(reader, 10), `${i}`);
    }
  });
  add("a file can be mapped, read and written", ["kernel"], ({ root }) => {
    root.create("f", "contents");
    const fd = root.open("f", O.RDWR);
    equal(root.mmap(fd, 8), "contents");
    root.mmap(fd, 8, 0x61);
    equal(root.contents("f"), "aaaaaaaa");
  });
  add("fsync and fdatasync of a file, fsync of a directory", ({ root }) => {
    root.create("f", "contents");
    const fd = root.open("f", O.RDWR);
    root.fsync(fd);
    root.fsync(fd, true);
    root.fsync(root.open(".", O.DIRECTORY));
  });
  for (const flag of [O.SYNC, O.DSYNC]) {
    add(`a file opened with flag 0${flag.toString(8)} takes and gives data`, ({ root }) => {
      const fd = root.open("f", O.CREAT | O.RDWR | flag);
      root.write(fd, "contents");
      equal(root.read(fd, 10, 0), "contents");
    });
  }
});

const direct = group(
  "O_DIRECT",
  (add) => {
    add("blocks come back as they were", ({ root }) => {
      const fd = root.open("f", O.CREAT | O.RDWR | O.DIRECT);
      for (const block of [2, 0, 1]) {
        equal(root.write(fd, "abc".charAt(block).repeat(BLOCK), block * BLOCK), BLOCK);
      }
      equal(root.read(fd, 3 * BLOCK, 0), "a".repeat(BLOCK) + "b".repeat(BLOCK) + "c".repeat(BLOCK));
      equal(root.stat("f").size, 3 * BLOCK);
    });
    add("sees what others wrote, and they what it writes", ({ root, process }) => {
      root.create("f", "b".repeat(2 * BLOCK));
      const reader = process("reader");
      const [fd, other] = [root.open("f", O.RDWR | O.DIRECT), reader.open("f", O.RDWR)];
      equal(reader.read(other, 10, 0), "bbbbbbbbbb");
      root.write(fd, "d".repeat(BLOCK), 0);
      equal(reader.read(other, 10, BLOCK - 5), "dddddbbbbb");
      reader.write(other, "x", BLOCK);
      equal(root.read(fd, BLOCK, BLOCK), `x${"b".repeat(BLOCK - 1)}`);
    });
    add("reads end with the file", ({ root }) => {
      root.create("f", "x".repeat(BLOCK + 904));
      const fd = root.open("f", O.RDONLY | O.DIRECT);
      equal(root.read(fd, 2 * BLOCK, BLOCK), "x".repeat(904));
      equal(root.read(fd, BLOCK, 2 * BLOCK), "");
    });
    add("appends with O_APPEND", ({ root }) => {
      root.create("f", "x".repeat(BLOCK));
      const fd = root.open("f", O.RDWR | O.DIRECT | O.APPEND);
      root.write(fd, "y".repeat(BLOCK));
      root.write(fd, "z".repeat(BLOCK));
      equal(root.read(fd, 3 * BLOCK, BLOCK), "y".repeat(BLOCK) + "z".repeat(BLOCK));
    });
    add("leaves holes between blocks", ["seekHole"], ({ root }) => {
      const fd = root.open("f", O.CREAT | O.RDWR | O.DIRECT);
      root.write(fd, "x".repeat(BLOCK), 64 * BLOCK);
      equal(root.read(fd, BLOCK, 0), "\0".repeat(BLOCK));
      equal(root.lseek(fd, 0, SEEK.DATA), 64 * BLOCK);
    });
    add("a truncation in a block is seen", ({ root }) => {
      const fd = root.open("f", O.CREAT | O.RDWR | O.DIRECT);
      root.write(fd, "x".repeat(2 * BLOCK), 0);
      root.ftruncate(fd, 100);
      root.ftruncate(fd, BLOCK);
      equal(root.read(fd, BLOCK, 0), "x".repeat(100) + "\0".repeat(BLOCK - 100));
    });
    add("with O_SYNC and with O_CREAT|O_TRUNC of a file that had contents", ({ root }) => {
      root.create("f", "old");
      const fd = root.open("f", O.CREAT | O.TRUNC | O.RDWR | O.DIRECT | O.SYNC);
      equal(root.stat("f").size, 0);
      root.write(fd, "n".repeat(BLOCK));
      root.close(fd);
      equal(root.contents("f"), "n".repeat(BLOCK));
    });
  },
  ["directIo"],
);

const append = group("O_APPEND", (add) => {
  add("writes at the end, whatever the position", ({ root }) => {
    root.create("f", "start");
    const fd = root.open("f", O.RDWR | O.APPEND);
    root.lseek(fd, 0);
    root.write(fd, "+end");
    equal(root.contents("f"), "start+end");
    equal(root.lseek(fd, 0, SEEK.CUR), 9);
  });
  add("from two descriptors loses nothing", ({ root }) => {
    root.create("f");
    const [a, b] = [root.open("f", O.WRONLY | O.APPEND), root.open("f", O.WRONLY | O.APPEND)];
    for (let i = 0; i < 5; i++) {
      root.write(a, "a");
      root.write(b, "b");
    }
    equal(root.contents("f"), "ababababab");
  });
  add("from two processes loses nothing", ({ alice, bob }) => {
    alice.become(1001, 1001, { umask: 0 }).create("f", "", 0o666);
    const [a, b] = [alice.open("f", O.WRONLY | O.APPEND), bob.open("f", O.WRONLY | O.APPEND)];
    for (let i = 0; i < 20; i++) {
      alice.write(a, "aaa");
      bob.write(b, "bb");
    }
    equal(bob.contents("f"), "aaabb".repeat(20));
  });
  add("after a truncation goes on at the new end", ({ root }) => {
    root.create("f", "contents");
    const fd = root.open("f", O.WRONLY | O.APPEND);
    root.truncate("f", 2);
    root.write(fd, "!");
    equal(root.contents("f"), "co!");
  });
  add("pwrite appends, too", ({ root }) => {
    root.create("f", "contents");
    const fd = root.open("f", O.WRONLY | O.APPEND);
    root.write(fd, "!", 0);
    equal(root.contents("f"), "contents!");
  });
  add("beside a descriptor without it", ({ root }) => {
    root.create("f", "0123");
    const [plain, appending] = [root.open("f", O.WRONLY), root.open("f", O.WRONLY | O.APPEND)];
    root.write(plain, "ab");
    root.write(appending, "45");
    root.write(plain, "cd");
    equal(root.contents("f"), "abcd45");
  });
});

const truncation = group("truncate", (add) => {
  for (const [from, to] of [
    [0, 1],
    [10, 0],
    [10, 10],
    [10, 5000],
    [5000, 10],
    [5000, 4096],
    [9000, 4095],
  ] as const) {
    add(`from ${from} to ${to} bytes`, ({ root }) => {
      root.create("f", "x".repeat(from));
      root.truncate("f", to);
      const kept = Math.min(from, to);
      equal(root.contents("f"), "x".repeat(kept) + "\0".repeat(to - kept));
    });
    add(`by descriptor from ${from} to ${to} bytes and back`, ({ root }) => {
      root.create("f", "x".repeat(from));
      const fd = root.open("f", O.RDWR);
      root.ftruncate(fd, to);
      root.ftruncate(fd, from);
      const kept = Math.min(from, to);
      equal(root.read(fd, 10000), "x".repeat(kept) + "\0".repeat(from - kept));
    });
  }
  add("of a directory is EISDIR, of a negative size EINVAL", ({ root }) => {
    root.mkdir("d");
    root.create("f");
    fails("EISDIR", () => root.truncate("d", 0));
    fails("EINVAL", () => root.truncate("f", -1));
  });
  add("leaves other descriptors' positions", ({ root }) => {
    root.create("f", "0123456789");
    const fd = root.open("f", O.RDWR);
    root.read(fd, 5);
    root.truncate("f", 2);
    equal(root.read(fd, 5), "");
    root.write(fd, "X");
    equal(root.contents("f"), "01\0\0\0X");
  });
});

const sparse = group("holes and large offsets", (add) => {
  for (const offset of [5000, 100_000, GIB, 4 * GIB - 1, 4 * GIB, 4 * GIB + 4095, 100 * GIB, 2 ** 43]) {
    const needs = offset >= GIB ? (["freeHoles"] as const) : [];
    add(`a byte at ${offset}`, needs, ({ root }) => {
      root.create("f");
      const fd = root.open("f", O.RDWR);
      root.write(fd, "x", offset);
      equal(root.fstat(fd).size, offset + 1);
      same([root.read(fd, 10, offset), root.read(fd, 3, offset - 2)], ["x", "\0\0x"]);
      same([root.read(fd, 3, 0), root.lseek(fd, 0, SEEK.END)], ["\0\0\0", offset + 1]);
    });
    add(`truncate to ${offset}`, needs, ({ root }) => {
      root.create("f", "x");
      root.truncate("f", offset);
      equal(root.stat("f").size, offset);
      const fd = root.open("f");
      same([root.read(fd, 3, 0), root.read(fd, 9, offset - 2)], ["x\0\0", "\0\0"]);
    });
  }
  add("holes take no blocks", ["blocks"], ({ root }) => {
    root.create("f");
    root.truncate("f", GIB);
    equal(root.stat("f").blocks, 0);
    const fd = root.open("f", O.RDWR);
    root.write(fd, "x".repeat(4096), GIB / 2);
    root.fsync(fd);
    holds(root.stat("f").blocks >= 8 && root.stat("f").blocks < 1000);
  });
  add("two bytes on either side of 4 GiB do not meet", ["freeHoles"], ({ root }) => {
    root.create("f");
    const fd = root.open("f", O.RDWR);
    root.write(fd, "low", 10);
    root.write(fd, "high", 4 * GIB + 10);
    same([root.read(fd, 3, 10), root.read(fd, 4, 4 * GIB + 10)], ["low", "high"]);
  });
  add("a file of 2^63 - 1 bytes", ["hugeFiles"], ({ root }) => {
    root.create("f");
    root.truncate("f", LARGEST);
    equal(root.stat("f").size, 2 ** 63);
    const fd = root.open("f", O.RDWR);
    equal(root.read(fd, 1, LARGEST - 1n), "\0");
  });
  add("a byte at the largest offset", ["hugeFiles"], ({ root }) => {
    root.create("f");
    const fd = root.open("f", O.RDWR);
    equal(root.write(fd, "x", LARGEST - 1n), 1);
    equal(root.read(fd, 1, LARGEST - 1n), "x");
  });
  add("a write that would end behind 2^63 - 1 is EINVAL", ["kernel"], ({ root }) => {
    root.create("f");
    const fd = root.open("f", O.RDWR);
    fails("EINVAL", () => root.write(fd, "x", LARGEST));
  });
});

const seeking = group("lseek", (add) => {
  add("SET, CUR and END", ({ root }) => {
    root.create("f", "0123456789");
    const fd = root.open("f");
    same([root.lseek(fd, 3), root.lseek(fd, 2, SEEK.CUR), root.lseek(fd, -1, SEEK.END)], [3, 5, 9]);
    equal(root.lseek(fd, 100, SEEK.END), 110);
  });
  add("behind the end makes a hole with the next write", ({ root }) => {
    root.create("f", "ab");
    const fd = root.open("f", O.RDWR);
    root.lseek(fd, 5);
    root.write(fd, "c");
    equal(root.contents("f"), "ab\0\0\0c");
  });
  add("an unknown whence is EINVAL", ({ root }) => {
    root.create("f");
    fails("EINVAL", () => root.lseek(root.open("f"), 0, 9));
  });
  for (const whence of [SEEK.DATA, SEEK.HOLE]) {
    const name = whence === SEEK.DATA ? "SEEK_DATA" : "SEEK_HOLE";
    add(`${name} at and behind the end is ENXIO`, ["seekHole"], ({ root }) => {
      root.create("f", "0123456789");
      const fd = root.open("f");
      fails("ENXIO", () => root.lseek(fd, 10, whence));
      fails("ENXIO", () => root.lseek(fd, 4096, whence));
    });
  }
  add("SEEK_HOLE of a full file is its end, SEEK_DATA where one is", ["seekHole"], ({ root }) => {
    root.create("f", "0123456789");
    const fd = root.open("f");
    same([root.lseek(fd, 3, SEEK.HOLE), root.lseek(fd, 3, SEEK.DATA)], [10, 3]);
  });
  add("SEEK_DATA and SEEK_HOLE find data between holes", ["seekHole"], ({ root }) => {
    root.create("f");
    const fd = root.open("f", O.RDWR);
    root.write(fd, "x".repeat(65536), 1 << 20);
    root.ftruncate(fd, 3 << 20);
    same([root.lseek(fd, 0, SEEK.DATA), root.lseek(fd, 0, SEEK.HOLE)], [1 << 20, 0]);
    equal(root.lseek(fd, 1 << 20, SEEK.HOLE), (1 << 20) + 65536);
    fails("ENXIO", () => root.lseek(fd, 2 << 20, SEEK.DATA));
  });
  add("SEEK_DATA of a file that is all hole is ENXIO", ["seekHole"], ({ root }) => {
    root.create("f");
    root.truncate("f", 1 << 20);
    const fd = root.open("f");
    fails("ENXIO", () => root.lseek(fd, 0, SEEK.DATA));
    equal(root.lseek(fd, 5, SEEK.HOLE), 5);
  });
});

export const data: readonly Group[] = [access, direct, append, truncation, sparse, seeking];
