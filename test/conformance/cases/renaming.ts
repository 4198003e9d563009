import { O, RENAME, S } from "../support/actor.js";
import { equal, fails, outcomeOf, same } from "../support/assertions.js";
import { BOB, type Group, group, STAFF } from "../support/cases.js";
import { type FileType, FULL_DIRECTORY, NAME_TYPES } from "./types.js";

/** What rename(2) says to a source over a target that exists, both in the same directory. */
function overwriteError(source: FileType, target: FileType): string {
  if (source.directory && !target.directory) return "ENOTDIR";
  if (!source.directory && target.directory) return "EISDIR";
  return target === FULL_DIRECTORY ? "ENOTEMPTY" : "ok";
}

const overEverything = group("rename over everything", (add) => {
  for (const source of NAME_TYPES) {
    add(`${source.name} to a new name`, source.needs, ({ root }) => {
      source.make(root, "from");
      const { ino } = root.lstat("from");
      root.rename("from", "to");
      same(root.list("."), ["to"]);
      equal(root.lstat("to").ino, ino);
    });
    add(`${source.name} to a new name in another directory`, source.needs, ({ root }) => {
      root.mkdir("a");
      root.mkdir("b");
      source.make(root, "a/from");
      root.rename("a/from", "b/to");
      same([root.list("a"), root.list("b")], [[], ["to"]]);
    });
    add(`${source.name} to a new name with NOREPLACE`, source.needs, ({ root }) => {
      source.make(root, "from");
      root.rename("from", "to", RENAME.NOREPLACE);
      same(root.list("."), ["to"]);
    });
    add(`${source.name} with EXCHANGE and nothing to exchange with is ENOENT`, source.needs, ({ root }) => {
      source.make(root, "from");
      fails("ENOENT", () => root.rename("from", "to", RENAME.EXCHANGE));
      same(root.list("."), ["from"]);
    });
    for (const target of NAME_TYPES) {
      addPair(source, target);
    }
  }

  function addPair(source: FileType, target: FileType): void {
    const wanted = overwriteError(source, target);
    const needs = [...source.needs, ...target.needs];
    add(`${source.name} over ${target.name}: ${wanted}`, needs, ({ root }) => {
      source.make(root, "from");
      target.make(root, "to");
      const [from, to] = [root.lstat("from").ino, root.lstat("to").ino];
      equal(
        outcomeOf(() => root.rename("from", "to")),
        wanted,
      );
      same(root.list("."), wanted === "ok" ? ["to"] : ["from", "to"]);
      equal(root.lstat("to").ino, wanted === "ok" ? from : to);
    });
    add(`${source.name} over ${target.name} with NOREPLACE: EEXIST`, needs, ({ root }) => {
      source.make(root, "from");
      target.make(root, "to");
      fails("EEXIST", () => root.rename("from", "to", RENAME.NOREPLACE));
      same(root.list("."), ["from", "to"]);
    });
    add(`${source.name} exchanged with ${target.name}`, ["renameExchange", ...needs], ({ root }) => {
      root.mkdir("other");
      source.make(root, "from");
      target.make(root, "other/to");
      const [from, to] = [root.lstat("from").ino, root.lstat("other/to").ino];
      root.rename("from", "other/to", RENAME.EXCHANGE);
      same([root.lstat("from").ino, root.lstat("other/to").ino], [to, from]);
      equal(root.lstat("from").type, target.type);
    });
  }
});

const special = group("rename in special cases", (add) => {
  add("a name to itself does nothing", ({ root }) => {
    root.create("f", "contents");
    root.rename("f", "f");
    equal(root.contents("f"), "contents");
  });
  add("a hard link over another of the same file does nothing", ["hardLinks"], ({ root }) => {
    root.create("a");
    root.link("a", "b");
    root.rename("a", "b");
    same(root.list("."), ["a", "b"]);
    equal(root.stat("a").nlink, 2);
  });
  for (const to of ["d/inside", "d/sub/inside"]) {
    add(`a directory into itself (${to}) is EINVAL`, ({ root }) => {
      root.mkdir("d");
      root.mkdir("d/sub");
      fails("EINVAL", () => root.rename("d", to));
    });
  }
  add("a directory over its parent is ENOTEMPTY", ({ root }) => {
    root.mkdir("a");
    root.mkdir("a/b");
    root.mkdir("a/b/c");
    fails("ENOTEMPTY", () => root.rename("a/b/c", "a/b"));
    fails("ENOTEMPTY", () => root.rename("a/b/c", "a"));
  });
  add("a directory exchanged with its parent is EINVAL", ["renameExchange"], ({ root }) => {
    root.mkdir("a");
    root.mkdir("a/b");
    fails("EINVAL", () => root.rename("a", "a/b", RENAME.EXCHANGE));
    fails("EINVAL", () => root.rename("a/b", "a", RENAME.EXCHANGE));
  });
  for (const name of [".", ".."]) {
    add(`"${name}" cannot be renamed: EBUSY`, ({ root }) => {
      root.mkdir("d");
      fails("EBUSY", () => root.rename(`d/${name}`, "to"));
      fails("EBUSY", () => root.rename("d", `d/${name}`));
    });
  }
  for (const flags of [3, 6, 8, 0xff]) {
    add(`flags ${flags} are EINVAL`, ({ root }) => {
      root.create("f");
      fails("EINVAL", () => root.rename("f", "to", flags));
      same(root.list("."), ["f"]);
    });
  }
  add("a file to a name with a slash behind is ENOTDIR", ({ root }) => {
    root.create("f");
    fails("ENOTDIR", () => root.rename("f", "to/"));
    fails("ENOTDIR", () => root.rename("f/", "to"));
  });
  add("a directory to a name with a slash behind", ({ root }) => {
    root.mkdir("d");
    root.rename("d/", "to/");
    same(root.list("."), ["to"]);
  });
  add("a replaced file lives on while it is open", ({ root }) => {
    root.create("old", "old contents");
    root.create("new", "new contents");
    const fd = root.open("old");
    root.rename("new", "old");
    equal(root.read(fd, 100), "old contents");
    equal(root.fstat(fd).nlink, 0);
    equal(root.contents("old"), "new contents");
  });
  add("an open file can be written after its rename", ({ root }) => {
    root.create("f", "before");
    const fd = root.open("f", O.RDWR);
    root.rename("f", "g");
    root.write(fd, "after!");
    equal(root.contents("g"), "after!");
  });
  add("a file in a renamed directory keeps its node", ({ root }) => {
    root.mkdir("d");
    root.create("d/f", "contents");
    const fd = root.open("d/f");
    root.rename("d", "e");
    equal(root.read(fd, 100), "contents");
    equal(root.stat("e/f").ino, root.fstat(fd).ino);
  });
  add("an open, replaced directory is gone: ENOENT", ["kernel"], ({ root }) => {
    root.mkdir("old");
    root.mkdir("new");
    root.create("new/f");
    const fd = root.open("old", O.DIRECTORY);
    root.rename("new", "old");
    same(root.list("old"), ["f"]);
    fails("ENOENT", () => root.getdents(fd));
  });
  add("a symlink is renamed, not its target", ({ root }) => {
    root.create("f");
    root.symlink("f", "link");
    root.rename("link", "moved");
    equal(root.readlink("moved"), "f");
    same(root.list("."), ["f", "moved"]);
  });
  add("WHITEOUT leaves a character device 0:0", ["renameWhiteout", "specialFiles"], ({ root }) => {
    root.create("f", "contents");
    root.rename("f", "to", RENAME.WHITEOUT);
    const left = root.lstat("f");
    same([left.type, left.major, left.minor], [S.IFCHR, 0, 0]);
    equal(root.contents("to"), "contents");
  });
  add("WHITEOUT leaves a whiteout of the caller", ["renameWhiteout", "specialFiles"], ({ root, bob }) => {
    root.mkdir("shared");
    root.chown("shared", 0, STAFF);
    root.chmod("shared", 0o1770);
    bob.create("shared/f");
    bob.rename("shared/f", "shared/to", RENAME.WHITEOUT);
    const left = root.lstat("shared/f");
    same([left.type, left.uid, left.gid], [S.IFCHR, BOB, BOB]);
    root.chmod("shared", 0o3770);
    bob.rename("shared/to", "shared/again", RENAME.WHITEOUT);
    equal(root.lstat("shared/to").gid, STAFF);
  });
  add("WHITEOUT with NOREPLACE respects what exists", ["renameWhiteout", "specialFiles"], ({ root }) => {
    root.create("f");
    root.create("to");
    fails("EEXIST", () => root.rename("f", "to", RENAME.WHITEOUT | RENAME.NOREPLACE));
    root.rename("f", "new", RENAME.WHITEOUT | RENAME.NOREPLACE);
    same(root.list("."), ["f", "new", "to"]);
  });
  add("WHITEOUT over a file replaces it", ["renameWhiteout", "specialFiles"], ({ root }) => {
    root.create("f", "new");
    root.create("to", "old");
    root.rename("f", "to", RENAME.WHITEOUT);
    equal(root.contents("to"), "new");
    equal(root.lstat("f").type, S.IFCHR);
  });
  add("to another file system is EXDEV", ["kernel"], ({ root }) => {
    root.create("f");
    fails("EXDEV", () => root.rename("f", "/dev/conformance-f"));
  });
  add("a chain of 50 renames ends in one name", ({ root }) => {
    root.create("name-0", "contents");
    for (let i = 0; i < 50; i++) root.rename(`name-${i}`, `name-${i + 1}`);
    same(root.list("."), ["name-50"]);
  });
});

export const renaming: readonly Group[] = [overEverything, special];
