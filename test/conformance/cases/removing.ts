import { AT_SYMLINK_FOLLOW, O, S } from "../support/actor.js";
import { equal, fails, same } from "../support/assertions.js";
import { type Group, group } from "../support/cases.js";
import { ALL_TYPES, NAME_TYPES } from "./types.js";

/** EXT4_LINK_MAX */
const MAX_LINKS = 65_000;

const removing = group("unlink and rmdir", (add) => {
  for (const { name, directory, needs, make } of ALL_TYPES) {
    add(`unlink of ${name}${directory ? " is EISDIR" : ""}`, needs, ({ root }) => {
      make(root, "x");
      if (directory) fails("EISDIR", () => root.unlink("x"));
      else root.unlink("x");
      same(root.list("."), directory ? ["x"] : []);
    });
    add(`rmdir of ${name}${directory ? "" : " is ENOTDIR"}`, needs, ({ root }) => {
      make(root, "x");
      if (directory) root.rmdir("x");
      else fails("ENOTDIR", () => root.rmdir("x"));
      same(root.list("."), directory ? [] : ["x"]);
    });
  }
  for (const { name, needs, make } of NAME_TYPES) {
    add(`rmdir of a directory that holds ${name} is ENOTEMPTY`, needs, ({ root }) => {
      root.mkdir("d");
      make(root, "d/x");
      fails("ENOTEMPTY", () => root.rmdir("d"));
      same(root.list("d"), ["x"]);
    });
  }
  add('rmdir of "." is EINVAL, of ".." ENOTEMPTY', ({ root }) => {
    root.mkdir("d");
    fails("EINVAL", () => root.rmdir("d/."));
    fails("ENOTEMPTY", () => root.rmdir("d/.."));
  });
  add("rmdir of a missing name is ENOENT, below a file ENOTDIR", ({ root }) => {
    root.create("f");
    fails("ENOENT", () => root.rmdir("missing"));
    fails("ENOTDIR", () => root.rmdir("f/x"));
  });
  add("rmdir of a name of 256 bytes is ENAMETOOLONG", ({ root }) => {
    fails("ENAMETOOLONG", () => root.rmdir("n".repeat(256)));
  });
  add("rmdir with a slash behind works, unlink does not", ({ root }) => {
    root.mkdir("d");
    root.create("f");
    root.rmdir("d/");
    fails("ENOTDIR", () => root.unlink("f/"));
  });
  add("unlink of a symlink leaves its target", ({ root }) => {
    root.create("f");
    root.symlink("f", "link");
    root.unlink("link");
    same(root.list("."), ["f"]);
  });
  add("a name can be used again at once", ({ root }) => {
    for (let i = 0; i < 20; i++) {
      root.create("x", `${i}`);
      equal(root.contents("x"), `${i}`);
      root.unlink("x");
      root.mkdir("x");
      root.rmdir("x");
    }
  });
});

const openUnlinked = group("files that are open and deleted", (add) => {
  add("can be read and written", ({ root }) => {
    root.create("f", "contents");
    const fd = root.open("f", O.RDWR);
    root.unlink("f");
    equal(root.read(fd, 100), "contents");
    root.write(fd, "more", 8);
    equal(root.read(fd, 100, 0), "contentsmore");
  });
  add("have no links", ({ root }) => {
    root.create("f");
    const fd = root.open("f");
    root.unlink("f");
    equal(root.fstat(fd).nlink, 0);
  });
  add("can be truncated, chmoded, chowned and stamped", ({ root }) => {
    root.create("f", "contents");
    const fd = root.open("f", O.RDWR);
    root.unlink("f");
    root.ftruncate(fd, 3);
    root.fchmod(fd, 0o600);
    root.fchown(fd, 5, 6);
    root.futimens(fd, [7, 0], [8, 0]);
    const { size, perm, uid, gid, mtime } = root.fstat(fd);
    same([size, perm, uid, gid, mtime], [3, 0o600, 5, 6, 8_000_000_000n]);
  });
  add("keep what another descriptor writes", ({ root, process }) => {
    const other = process("other");
    root.create("f");
    const [reader, writer] = [root.open("f"), other.open("f", O.WRONLY)];
    root.unlink("f");
    other.write(writer, "still here");
    equal(root.read(reader, 100), "still here");
  });
  add("make room for a new file of the same name", ({ root }) => {
    root.create("f", "old");
    const fd = root.open("f");
    root.unlink("f");
    root.create("f", "new");
    same([root.read(fd, 10), root.contents("f")], ["old", "new"]);
    equal(root.fstat(fd).ino === root.stat("f").ino, false);
  });
  add("survive when another link is left", ["hardLinks"], ({ root }) => {
    root.create("a", "contents");
    root.link("a", "b");
    const fd = root.open("a");
    root.unlink("a");
    equal(root.fstat(fd).nlink, 1);
    root.unlink("b");
    equal(root.fstat(fd).nlink, 0);
    equal(root.read(fd, 100), "contents");
  });
  add("an open, removed directory is gone: ENOENT", ["kernel"], ({ root }) => {
    root.mkdir("d");
    const fd = root.open("d", O.DIRECTORY);
    root.rmdir("d");
    fails("ENOENT", () => root.getdents(fd));
    equal(root.fstat(fd).nlink, 0);
  });
});

const links = group("link", (add) => {
  for (const { name, directory, needs, make } of ALL_TYPES) {
    add(`of ${name}${directory ? " is EPERM" : ""}`, ["hardLinks", ...needs], ({ root }) => {
      make(root, "x");
      if (directory) {
        fails("EPERM", () => root.link("x", "y"));
        return;
      }
      root.link("x", "y");
      const [x, y] = [root.lstat("x"), root.lstat("y")];
      same([x.ino, x.nlink, y.nlink, y.type], [y.ino, 2, 2, x.type]);
      root.unlink("x");
      equal(root.lstat("y").nlink, 1);
    });
  }
  add("counts up and down", ["hardLinks"], ({ root }) => {
    root.create("f", "contents");
    for (let i = 0; i < 20; i++) {
      root.link("f", `l${i}`);
      equal(root.stat("f").nlink, i + 2);
    }
    for (let i = 0; i < 20; i++) {
      root.unlink(`l${i}`);
      equal(root.stat("f").nlink, 20 - i);
    }
    equal(root.contents("f"), "contents");
  });
  add("ends with EMLINK at the file system's limit", ["hardLinks", "linkLimit"], ({ root }) => {
    root.create("f", "contents");
    root.mkdir("d");
    root.linkMany("f", "d/link-", MAX_LINKS - 1);
    equal(root.stat("f").nlink, MAX_LINKS);
    fails("EMLINK", () => root.link("f", "more"));
    root.unlink("d/link-7");
    root.link("f", "more");
    fails("EMLINK", () => root.link("f", "yet-more"));
  });
  add("shares contents, mode and times", ["hardLinks"], ({ root }) => {
    root.create("a", "contents");
    root.link("a", "b");
    root.chmod("b", 0o600);
    root.truncate("b", 4);
    same([root.contents("a"), root.stat("a").perm], ["cont", 0o600]);
    equal(root.stat("a").mtime, root.stat("b").mtime);
  });
  add("of a symlink with AT_SYMLINK_FOLLOW links its target", ["hardLinks"], ({ root }) => {
    root.create("f");
    root.symlink("f", "link");
    root.link("link", "hard", AT_SYMLINK_FOLLOW);
    equal(root.lstat("hard").ino, root.stat("f").ino);
  });
  add("of a symlink without it links the symlink", ["hardLinks"], ({ root }) => {
    root.create("f");
    root.symlink("f", "link");
    root.link("link", "hard");
    equal(root.lstat("hard").type, S.IFLNK);
  });
  add("to another file system is EXDEV", ["hardLinks", "kernel"], ({ root }) => {
    root.create("f");
    fails("EXDEV", () => root.link("f", "/dev/conformance-f"));
  });
  add("in another directory", ["hardLinks"], ({ root }) => {
    root.mkdir("d");
    root.create("f", "contents");
    root.link("f", "d/f");
    root.unlink("f");
    equal(root.contents("d/f"), "contents");
  });
  add("1,000 links of one file", ["hardLinks"], ({ root }) => {
    root.create("f");
    for (let i = 0; i < 1000; i++) root.link("f", `l${i}`);
    equal(root.stat("f").nlink, 1001);
    equal(root.list(".").length, 1001);
  });
});

const directoryLinks = group(
  "link counts of directories",
  (add) => {
    add("a new directory has 2, its parent one more", ({ root }) => {
      root.mkdir("p");
      root.mkdir("p/d");
      same([root.stat("p").nlink, root.stat("p/d").nlink], [3, 2]);
    });
    add("rmdir gives it back", ({ root }) => {
      root.mkdir("p");
      root.mkdir("p/d");
      root.rmdir("p/d");
      equal(root.stat("p").nlink, 2);
    });
    add("files do not count", ({ root }) => {
      root.mkdir("p");
      root.create("p/f");
      equal(root.stat("p").nlink, 2);
    });
    add("rename moves the count", ({ root }) => {
      root.mkdir("a");
      root.mkdir("b");
      root.mkdir("a/d");
      root.rename("a/d", "b/d");
      same([root.stat("a").nlink, root.stat("b").nlink], [2, 3]);
    });
    add("rename over a directory takes one away", ({ root }) => {
      root.mkdir("a");
      root.mkdir("b");
      root.mkdir("a/d");
      root.mkdir("b/d");
      root.rename("a/d", "b/d");
      same([root.stat("a").nlink, root.stat("b").nlink, root.stat("b/d").nlink], [2, 3, 2]);
    });
    add("exchange of a file and a directory moves the count", ["renameExchange"], ({ root }) => {
      root.mkdir("a");
      root.mkdir("b");
      root.mkdir("a/x");
      root.create("b/x");
      root.rename("a/x", "b/x", 2);
      same([root.stat("a").nlink, root.stat("b").nlink], [2, 3]);
    });
    add("a removed, open directory has none", ["kernel"], ({ root }) => {
      root.mkdir("d");
      const fd = root.open("d", O.DIRECTORY);
      root.rmdir("d");
      equal(root.fstat(fd).nlink, 0);
    });
  },
  ["directoryLinks"],
);

export const removal: readonly Group[] = [removing, openUnlinked, links, directoryLinks];
