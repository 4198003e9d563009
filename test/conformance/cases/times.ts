import { type Actor, FALLOC, O, UTIME_NOW, UTIME_OMIT } from "../support/actor.js";
import { equal, fails, holds, same, timesChanged } from "../support/assertions.js";
import type { Capability } from "../support/capabilities.js";
import { type Group, group } from "../support/cases.js";

interface Change {
  readonly name: string;
  /** Which times of the file and of its directory change. */
  readonly file: string;
  readonly parent: string;
  readonly needs?: readonly Capability[];
  act(actor: Actor): void;
}

function withFile(use: (actor: Actor, fd: number) => void, flags: number = O.RDWR): (actor: Actor) => void {
  return (actor) => {
    const fd = actor.open("d/f", flags);
    use(actor, fd);
    actor.close(fd);
  };
}

const CHANGES: readonly Change[] = [
  { name: "write", file: "mc", parent: "", act: withFile((actor, fd) => actor.write(fd, "x")) },
  { name: "write of nothing", file: "", parent: "", act: withFile((actor, fd) => actor.write(fd, "")) },
  { name: "truncate shorter", file: "mc", parent: "", act: (actor) => actor.truncate("d/f", 3) },
  { name: "truncate longer", file: "mc", parent: "", act: (actor) => actor.truncate("d/f", 99) },
  { name: "truncate to the same size", file: "mc", parent: "", act: (actor) => actor.truncate("d/f", 8) },
  {
    name: "ftruncate to the same size",
    file: "mc",
    parent: "",
    act: withFile((a, fd) => a.ftruncate(fd, 8)),
  },
  { name: "open O_TRUNC", file: "mc", parent: "", act: withFile(() => {}, O.RDWR | O.TRUNC) },
  { name: "open and close", file: "", parent: "", act: withFile(() => {}) },
  {
    name: "open O_CREAT of an existing file",
    file: "",
    parent: "",
    act: withFile(() => {}, O.CREAT | O.RDWR),
  },
  { name: "stat", file: "", parent: "", act: (actor) => void actor.stat("d/f") },
  { name: "chmod", file: "c", parent: "", act: (actor) => actor.chmod("d/f", 0o600) },
  { name: "chmod to the same mode", file: "c", parent: "", act: (actor) => actor.chmod("d/f", 0o644) },
  { name: "chown", file: "c", parent: "", act: (actor) => actor.chown("d/f", 4, 5) },
  { name: "chown to the same owner", file: "c", parent: "", act: (actor) => actor.chown("d/f", 0, 0) },
  { name: "link", file: "c", parent: "mc", needs: ["hardLinks"], act: (actor) => actor.link("d/f", "d/l") },
  {
    name: "unlink of another link",
    file: "c",
    parent: "mc",
    needs: ["hardLinks"],
    act: (actor) => actor.unlink("d/other"),
  },
  { name: "rename", file: "c", parent: "mc", act: (actor) => actor.rename("d/f", "d/g") },
  { name: "create beside", file: "", parent: "mc", act: (actor) => actor.create("d/new") },
  { name: "mkdir beside", file: "", parent: "mc", act: (actor) => actor.mkdir("d/new") },
  { name: "symlink beside", file: "", parent: "mc", act: (actor) => actor.symlink("x", "d/new") },
  { name: "rmdir beside", file: "", parent: "mc", act: (actor) => actor.rmdir("d/sub") },
  {
    name: "a failed unlink beside",
    file: "",
    parent: "",
    act: (a) => fails("ENOENT", () => a.unlink("d/no")),
  },
  {
    name: "a failed rename",
    file: "",
    parent: "",
    act: (a) => fails("ENOTEMPTY", () => a.rename("d/sub", "d/full")),
  },
  {
    name: "setxattr",
    file: "c",
    parent: "",
    needs: ["xattrs"],
    act: (a) => a.setxattr("d/f", "user.a", "2"),
  },
  {
    name: "removexattr",
    file: "c",
    parent: "",
    needs: ["xattrs"],
    act: (a) => a.removexattr("d/f", "user.x"),
  },
  { name: "getxattr", file: "", parent: "", needs: ["xattrs"], act: (a) => void a.getxattr("d/f", "user.x") },
  {
    name: "fallocate",
    file: "mc",
    parent: "",
    needs: ["fallocate"],
    act: withFile((actor, fd) => actor.fallocate(fd, 0, 0, 9000)),
  },
  {
    name: "punching a hole",
    file: "mc",
    parent: "",
    needs: ["punchHole"],
    act: withFile((actor, fd) => actor.fallocate(fd, FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE, 0, 4)),
  },
  {
    name: "copy_file_range into it",
    file: "mc",
    parent: "",
    needs: ["copyFileRange"],
    act: withFile((actor, fd) => {
      const from = actor.open("d/full/inside");
      actor.copyFileRange(from, 0, fd, 0, 6);
      actor.close(from);
    }),
  },
  { name: "fsync", file: "", parent: "", act: withFile((actor, fd) => actor.fsync(fd)) },
];

const changes = group("which times change", (add) => {
  for (const { name, file, parent, needs = [], act } of CHANGES) {
    const what = `${name}: of the file ${file || "none"}, of its directory ${parent || "none"}`;
    add(what, needs, ({ root, tick, has }) => {
      prepare(root, has("hardLinks"), has("xattrs"));
      const directory = root.stat("d");
      const fd = root.open("d/f");
      equal(
        timesChanged(
          () => root.fstat(fd),
          tick,
          () => act(root),
        ),
        file,
      );
      const after = root.stat("d");
      const changed = `${after.mtime === directory.mtime ? "" : "m"}${after.ctime === directory.ctime ? "" : "c"}`;
      equal(changed, parent);
    });
  }
  function prepare(root: Actor, hardLinks: boolean, xattrs: boolean): void {
    root.mkdir("d");
    root.create("d/f", "contents");
    root.mkdir("d/sub");
    root.mkdir("d/full");
    root.create("d/full/inside", "inside");
    if (hardLinks) root.link("d/f", "d/other");
    if (xattrs) root.setxattr("d/f", "user.x", "1");
  }
  add("a new file's times are now, and so are its directory's", ({ root, tick }) => {
    root.mkdir("d");
    tick();
    const before = root.stat("d").mtime;
    root.create("d/f");
    const { atime, mtime, ctime } = root.stat("d/f");
    holds(atime > before && mtime > before && ctime > before);
    holds(root.stat("d").mtime > before);
    equal(mtime, ctime);
  });
  add("reading changes atime of a file that was changed since", ["atime"], ({ root, tick }) => {
    root.create("f", "contents");
    tick();
    const before = root.stat("f").atime;
    equal(root.contents("f"), "contents");
    holds(root.stat("f").atime > before);
  });
  add("reading with O_NOATIME does not", ["atime"], ({ root, tick }) => {
    root.create("f", "contents");
    tick();
    const before = root.stat("f").atime;
    const fd = root.open("f", O.RDONLY | O.NOATIME);
    equal(root.read(fd, 100), "contents");
    equal(root.stat("f").atime, before);
  });
  add("O_NOATIME is the descriptor's own, and its copies'", ["atime"], ({ root, tick }) => {
    root.create("f", "contents");
    tick();
    const before = root.stat("f").atime;
    const quiet = root.open("f", O.RDWR | O.NOATIME);
    equal(root.read(root.dup(quiet), 4), "cont");
    equal(root.read(quiet, 4), "ents");
    equal(root.stat("f").atime, before);
  });
  add("writing with O_NOATIME changes the other times", ({ root, tick }) => {
    root.create("f", "contents");
    const before = root.stat("f");
    tick();
    const fd = root.open("f", O.RDWR | O.NOATIME);
    root.write(fd, "CON");
    equal(root.read(fd, 100, 0), "CONtents");
    const after = root.stat("f");
    same([after.mtime > before.mtime, after.ctime > before.ctime], [true, true]);
    equal(after.atime, before.atime);
  });
  add("a file made with O_NOATIME is read without a trace", ["atime"], ({ root, tick }) => {
    const fd = root.open("f", O.CREAT | O.EXCL | O.RDWR | O.NOATIME);
    const before = root.stat("f").atime;
    tick();
    root.write(fd, "contents");
    equal(root.read(fd, 100, 0), "contents");
    equal(root.stat("f").atime, before);
  });
  add("listing with O_NOATIME leaves the directory's atime", ["atime"], ({ root, tick }) => {
    root.mkdir("d");
    root.create("d/f");
    tick();
    const before = root.stat("d").atime;
    const quiet = root.open("d", O.DIRECTORY | O.NOATIME);
    equal(root.getdents(quiet).length, 3);
    equal(root.stat("d").atime, before);
  });
  add("rename between directories changes both", ({ root, tick }) => {
    root.mkdir("a");
    root.mkdir("b");
    root.create("a/f");
    const [a, b] = [root.stat("a"), root.stat("b")];
    tick();
    root.rename("a/f", "b/f");
    holds(root.stat("a").mtime > a.mtime && root.stat("a").ctime > a.ctime);
    holds(root.stat("b").mtime > b.mtime && root.stat("b").ctime > b.ctime);
  });
  add("the birth time stays", ["birthTime"], ({ root }) => {
    root.create("f");
    const { btime } = root.stat("f");
    holds(btime > 0);
    root.utimens("f", [1, 0], [1, 0]);
    equal(root.stat("f").btime, btime);
  });
});

const SECOND = 1_000_000_000n;
const utimens = group("utimensat", (add) => {
  for (const seconds of [0, 1, 1_700_000_000, 2 ** 31 - 1, 2 ** 31, 2 ** 32, -1, -(2 ** 31)]) {
    add(`keeps ${seconds} seconds`, ({ root }) => {
      root.create("f");
      root.utimens("f", [seconds, 0], [seconds, 0]);
      const { atime, mtime } = root.stat("f");
      same([atime, mtime], [BigInt(seconds) * SECOND, BigInt(seconds) * SECOND]);
    });
  }
  for (const nsec of [1, 999_999_999]) {
    add(`keeps ${nsec} nanoseconds`, ["nanoseconds"], ({ root }) => {
      root.create("f");
      root.utimens("f", [5, nsec], [6, nsec]);
      const { atime, mtime } = root.stat("f");
      same([atime, mtime], [5n * SECOND + BigInt(nsec), 6n * SECOND + BigInt(nsec)]);
    });
  }
  for (const nsec of [1_000_000_000, -1, 0x3ffffffd]) {
    add(`refuses ${nsec} nanoseconds: EINVAL`, ({ root }) => {
      root.create("f");
      fails("EINVAL", () => root.utimens("f", [5, nsec], [6, 0]));
      fails("EINVAL", () => root.utimens("f", [5, 0], [6, nsec]));
    });
  }
  add("UTIME_OMIT leaves one time", ({ root }) => {
    root.create("f");
    root.utimens("f", [5, 0], [6, 0]);
    root.utimens("f", [0, UTIME_OMIT], [7, 0]);
    same([root.stat("f").atime, root.stat("f").mtime], [5n * SECOND, 7n * SECOND]);
    root.utimens("f", [8, 0], [0, UTIME_OMIT]);
    same([root.stat("f").atime, root.stat("f").mtime], [8n * SECOND, 7n * SECOND]);
  });
  add("UTIME_OMIT for both changes nothing, not even ctime", ({ root, tick }) => {
    root.create("f");
    const action = () => root.utimens("f", [0, UTIME_OMIT], [0, UTIME_OMIT]);
    equal(
      timesChanged(() => root.stat("f"), tick, action),
      "",
    );
  });
  add("UTIME_NOW sets the present", ({ root, tick }) => {
    root.create("now");
    root.create("f");
    tick();
    root.utimens("f", [0, UTIME_NOW], [0, UTIME_NOW]);
    const { atime, mtime } = root.stat("f");
    holds(atime > root.stat("now").mtime && mtime > root.stat("now").mtime);
  });
  add("UTIME_NOW for one and a time for the other", ({ root }) => {
    root.create("f");
    const now = root.stat("f").mtime;
    root.utimens("f", [9, 0], [0, UTIME_NOW]);
    equal(root.stat("f").atime, 9n * SECOND);
    holds(root.stat("f").mtime >= now);
  });
  add("changes ctime, and only the times asked for", ({ root, tick }) => {
    root.create("f");
    const action = () => root.utimens("f", [9, 0], [0, UTIME_OMIT]);
    equal(
      timesChanged(() => root.stat("f"), tick, action),
      "ac",
    );
  });
  add("of a symlink itself", ({ root }) => {
    root.create("f");
    root.symlink("f", "link");
    const before = root.stat("f").mtime;
    root.utimens("link", [5, 0], [6, 0], 0x100);
    equal(root.lstat("link").mtime, 6n * SECOND);
    equal(root.stat("f").mtime, before);
  });
  add("of a directory", ({ root }) => {
    root.mkdir("d");
    root.utimens("d", [5, 0], [6, 0]);
    equal(root.stat("d").mtime, 6n * SECOND);
  });
  add("by descriptor", ({ root }) => {
    root.create("f");
    const fd = root.open("f");
    root.futimens(fd, [5, 0], [6, 0]);
    equal(root.stat("f").mtime, 6n * SECOND);
  });
  add("a time set stays after a read and a close", ["atime"], ({ root }) => {
    root.create("f", "contents");
    const fd = root.open("f", O.RDWR);
    root.write(fd, "x");
    root.futimens(fd, [5, 0], [6, 0]);
    root.close(fd);
    equal(root.stat("f").mtime, 6n * SECOND);
  });
});

export const times: readonly Group[] = [changes, utimens];
