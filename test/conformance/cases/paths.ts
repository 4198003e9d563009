import { O } from "../support/actor.js";
import { equal, fails, same } from "../support/assertions.js";
import { type Group, group } from "../support/cases.js";
import { MAKERS, USERS } from "./types.js";

const LONGEST = "n".repeat(255);
const TOO_LONG = "n".repeat(256);

const missing = group("paths that lead nowhere", (add) => {
  for (const { name, needs, use } of USERS) {
    add(`${name} of a missing name is ENOENT`, needs, ({ root }) => {
      fails("ENOENT", () => use(root, "missing"));
    });
    add(`${name} below a missing directory is ENOENT`, needs, ({ root }) => {
      fails("ENOENT", () => use(root, "missing/f"));
    });
    add(`${name} below a file is ENOTDIR`, needs, ({ root }) => {
      root.create("f");
      fails("ENOTDIR", () => use(root, "f/f"));
    });
    add(`${name} of a name of 256 bytes is ENAMETOOLONG`, needs, ({ root }) => {
      fails("ENAMETOOLONG", () => use(root, TOO_LONG));
    });
    add(`${name} below a loop of symlinks is ELOOP`, needs, ({ root }) => {
      root.symlink("b", "a");
      root.symlink("a", "b");
      fails("ELOOP", () => use(root, "a/f"));
    });
  }
  for (const { name, needs, make } of MAKERS) {
    add(`${name} in a missing directory is ENOENT`, needs, ({ root }) => {
      root.create("linked");
      fails("ENOENT", () => make(root, "missing/new"));
    });
    add(`${name} in a file is ENOTDIR`, needs, ({ root }) => {
      root.create("linked");
      root.create("f");
      fails("ENOTDIR", () => make(root, "f/new"));
    });
    add(`${name} with a name of 256 bytes is ENAMETOOLONG`, needs, ({ root }) => {
      root.create("linked");
      fails("ENAMETOOLONG", () => make(root, TOO_LONG));
    });
    add(`${name} with a name of 255 bytes works`, needs, ({ root }) => {
      root.create("linked");
      make(root, LONGEST);
      equal(root.list(".").includes(LONGEST), true);
    });
    add(`${name} in a removed directory is ENOENT`, ["kernel", ...needs], ({ root, process }) => {
      const other = process("other");
      root.mkdir("d");
      root.create("linked");
      other.rename("linked", "d/linked");
      const inside = process("inside");
      inside.open("d", O.DIRECTORY);
      other.rename("d/linked", "linked");
      other.rmdir("d");
      fails("ENOENT", () => make(inside, "d/new"));
    });
  }
  for (const path of ["", "missing/", "f/", "f/."]) {
    const wanted = path.startsWith("f") ? "ENOTDIR" : "ENOENT";
    add(`stat of "${path}" is ${wanted}`, ({ root }) => {
      root.create("f");
      fails(wanted, () => root.stat(path));
    });
  }
});

const symlinks = group("symbolic links", (add) => {
  for (const length of [1, 59, 60, 61, 255, 1023, 4095]) {
    add(`a target of ${length} bytes comes back as it was`, ({ root }) => {
      const target = "t/".repeat(2048).slice(0, length);
      root.symlink(target, "link");
      equal(root.readlink("link"), target);
      equal(root.lstat("link").size, length);
    });
  }
  add("a target of 4096 bytes is ENAMETOOLONG", ({ root }) => {
    fails("ENAMETOOLONG", () => root.symlink("t".repeat(4096), "link"));
  });
  add("an empty target is ENOENT", ({ root }) => {
    fails("ENOENT", () => root.symlink("", "link"));
  });
  add("a target is bytes, not text", ({ root }) => {
    root.symlink("\xff\xfe\x80/\x01", "link");
    equal(root.readlink("link"), "\xff\xfe\x80/\x01");
  });
  for (const count of [1, 2, 39]) {
    add(`a chain of ${count} links is followed`, ({ root }) => {
      root.create("end", "found");
      for (let i = 0; i < count; i++) root.symlink(i === 0 ? "end" : `link-${i - 1}`, `link-${i}`);
      equal(root.contents(`link-${count - 1}`), "found");
    });
  }
  add("a chain of 41 links is ELOOP", ({ root }) => {
    root.create("end");
    for (let i = 0; i < 41; i++) root.symlink(i === 0 ? "end" : `link-${i - 1}`, `link-${i}`);
    fails("ELOOP", () => root.stat("link-40"));
  });
  add("a link to itself is ELOOP", ({ root }) => {
    root.symlink("link", "link");
    fails("ELOOP", () => root.stat("link"));
    equal(root.lstat("link").size, 4);
  });
  add("relative targets start in the link's directory", ({ root }) => {
    root.mkdir("a");
    root.mkdir("a/b");
    root.create("a/f", "found");
    root.symlink("../f", "a/b/link");
    equal(root.contents("a/b/link"), "found");
  });
  for (const type of ["file", "directory"]) {
    add(`readlink of a ${type} is EINVAL`, ({ root }) => {
      if (type === "file") root.create("f");
      else root.mkdir("f");
      fails("EINVAL", () => root.readlink("f"));
    });
  }
});

const NAMES: Readonly<Record<string, string>> = {
  "a space and a newline": " a\n",
  "bytes that are no UTF-8": "\xff\xfe\x80\xc0",
  "UTF-8": Buffer.from("grüße-日本語-🙂", "utf8").toString("latin1"),
  "all printable ASCII": Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))
    .join("")
    .replace("/", ""),
  "control characters": "\x01\x02\x1b\x7f",
  "three dots": "...",
  "a leading dot": ".hidden",
  "a trailing dot": "trailing.",
  "255 bytes that are no UTF-8": "\x80".repeat(255),
  backslashes: "\\..\\",
};

const names = group("names", (add) => {
  for (const [what, name] of Object.entries(NAMES)) {
    const needs = what.endsWith("no UTF-8") ? (["anyBytes"] as const) : [];
    add(`${what}: created, listed, found, renamed and deleted`, needs, ({ root }) => {
      root.create(name, "contents");
      same(root.list("."), [name]);
      equal(root.contents(name), "contents");
      root.rename(name, "other");
      root.rename("other", name);
      root.unlink(name);
      same(root.list("."), []);
    });
    add(`${what}: as a directory`, needs, ({ root }) => {
      root.mkdir(name);
      root.create(`${name}/f`);
      same(root.list(name), ["f"]);
      root.unlink(`${name}/f`);
      root.rmdir(name);
      same(root.list("."), []);
    });
  }
  add("upper and lower case differ", ({ root }) => {
    root.create("name", "lower");
    root.create("NAME", "upper");
    same([root.contents("name"), root.contents("NAME")], ["lower", "upper"]);
  });
  add("composed and decomposed letters differ", ({ root }) => {
    root.create("\xc3\xa9", "composed");
    root.create("e\xcc\x81", "decomposed");
    equal(root.list(".").length, 2);
  });
  add("a path of 4095 bytes works and one of 4096 is ENAMETOOLONG", ({ root }) => {
    root.create("f", "found");
    const path = (length: number) => `${"./".repeat((length - 1) >> 1)}${length % 2 === 0 ? "/" : ""}f`;
    equal(path(4095).length, 4095);
    equal(root.contents(path(4095)), "found");
    fails("ENAMETOOLONG", () => root.stat(path(4096)));
  });
  add("a tree of 60 directories can be walked and deleted", ({ root }) => {
    const path = (depth: number) => Array.from({ length: depth }, () => "d").join("/");
    for (let depth = 1; depth <= 60; depth++) root.mkdir(path(depth));
    root.create(`${path(60)}/f`, "deep");
    equal(root.contents(`${path(60)}/f`), "deep");
    root.unlink(`${path(60)}/f`);
    for (let depth = 60; depth >= 1; depth--) root.rmdir(path(depth));
    same(root.list("."), []);
  });
  add('".." of a directory is its parent', ({ root }) => {
    root.mkdir("a");
    root.mkdir("a/b");
    equal(root.stat("a/b/..").ino, root.stat("a").ino);
  });
  add('".." follows a directory that moved', ({ root }) => {
    root.mkdir("a");
    root.mkdir("b");
    root.mkdir("a/d");
    root.rename("a/d", "b/d");
    equal(root.stat("b/d/..").ino, root.stat("b").ino);
  });
});

export const paths: readonly Group[] = [missing, symlinks, names];
