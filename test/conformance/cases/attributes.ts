import { type Actor, FALLOC, O, S } from "../support/actor.js";
import { equal, fails, octal, same } from "../support/assertions.js";
import type { Capability } from "../support/capabilities.js";
import { ALICE, BOB, type Group, group } from "../support/cases.js";
import { EMPTY_DIRECTORY, FIFO, FILE } from "./types.js";

const chmod = group("chmod", (add) => {
  for (const type of [FILE, EMPTY_DIRECTORY, FIFO]) {
    for (const mode of [0o000, 0o644, 0o4711, 0o2755, 0o1777, 0o7777]) {
      add(`of ${type.name} to ${octal(mode)}`, type.needs, ({ root }) => {
        type.make(root, "x");
        root.chmod("x", mode);
        equal(octal(root.stat("x").mode), octal(mode));
        equal(root.stat("x").type, type.type);
      });
    }
  }
  add("follows symlinks", ({ root }) => {
    root.create("f");
    root.symlink("f", "link");
    root.chmod("link", 0o600);
    equal(octal(root.stat("f").mode), "0600");
    equal(octal(root.lstat("link").mode), "0777");
  });
  add("by descriptor, also of a directory", ({ root }) => {
    root.create("f");
    root.mkdir("d");
    root.fchmod(root.open("f"), 0o640);
    root.fchmod(root.open("d", O.DIRECTORY), 0o750);
    same([octal(root.stat("f").mode), octal(root.stat("d").mode)], ["0640", "0750"]);
  });
  add("is seen through all links", ["hardLinks"], ({ root }) => {
    root.create("a");
    root.link("a", "b");
    root.chmod("a", 0o611);
    equal(octal(root.stat("b").mode), "0611");
  });
});

const chown = group("chown", (add) => {
  for (const [uid, gid] of [
    [5, 6],
    [-1, 6],
    [5, -1],
    [-1, -1],
    [65534, 65534],
    [2 ** 31, 2 ** 31],
    [2 ** 32 - 2, 2 ** 32 - 2],
  ] as const) {
    add(`to ${uid}:${gid}`, ({ root }) => {
      root.create("f");
      root.chown("f", uid, gid);
      const stat = root.stat("f");
      same([stat.uid, stat.gid], [uid === -1 ? 0 : uid, gid === -1 ? 0 : gid]);
    });
  }
  add("follows symlinks, lchown does not", ({ root }) => {
    root.create("f");
    root.symlink("f", "link");
    root.chown("link", 1, 1);
    root.lchown("link", 2, 2);
    same([root.stat("f").uid, root.lstat("link").uid], [1, 2]);
  });
  add("by descriptor", ({ root }) => {
    root.create("f");
    root.fchown(root.open("f"), 3, 4);
    same([root.stat("f").uid, root.stat("f").gid], [3, 4]);
  });
});

interface Write {
  readonly name: string;
  readonly needs?: readonly Capability[];
  act(actor: Actor): void;
}

const WRITES: readonly Write[] = [
  { name: "write", act: (actor) => void actor.write(actor.open("f", O.WRONLY), "x") },
  { name: "truncate", act: (actor) => actor.truncate("f", 1) },
  { name: "ftruncate", act: (actor) => actor.ftruncate(actor.open("f", O.RDWR), 1) },
  {
    name: "open O_TRUNC",
    needs: ["killPrivilegesOnOpen"],
    act: (actor) => void actor.open("f", O.RDWR | O.TRUNC),
  },
  {
    name: "fallocate",
    needs: ["fallocate", "kernel"],
    act: (actor) => actor.fallocate(actor.open("f", O.RDWR), 0, 0, 9000),
  },
  {
    name: "punching a hole",
    needs: ["punchHole", "kernel"],
    act: (actor) => actor.fallocate(actor.open("f", O.RDWR), FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE, 0, 2),
  },
];

const privileges = group("setuid and setgid", (add) => {
  for (const { name, needs = [], act } of WRITES) {
    add(`${name} by its owner clears them`, ["killPrivileges", ...needs], ({ root, alice }) => {
      root.create("f", "contents");
      root.chown("f", ALICE, ALICE);
      root.chmod("f", 0o6777);
      act(alice);
      equal(octal(root.stat("f").mode), "0777");
    });
    add(`${name} by somebody else clears them`, ["killPrivileges", ...needs], ({ root, bob }) => {
      root.create("f", "contents");
      root.chmod("f", 0o6777);
      act(bob);
      equal(octal(root.stat("f").mode), "0777");
    });
    add(`${name} by root keeps them`, ["kernel", ...needs], ({ root }) => {
      root.create("f", "contents");
      root.chmod("f", 0o6755);
      act(root);
      equal(octal(root.stat("f").mode), "6755");
    });
  }
  add("chown by root clears them", ["kernel"], ({ root }) => {
    root.create("f");
    root.chmod("f", 0o6755);
    root.chown("f", BOB, BOB);
    equal(octal(root.stat("f").mode), "0755");
  });
  add("chown by the owner to an own group clears them", ["kernel"], ({ bob }) => {
    bob.create("f");
    bob.chmod("f", 0o6755);
    bob.chown("f", -1, BOB);
    equal(octal(bob.stat("f").mode), "0755");
  });
  add("chown keeps setgid without group execution", ["kernel"], ({ root }) => {
    root.create("f");
    root.chmod("f", 0o6644);
    root.chown("f", BOB, BOB);
    equal(octal(root.stat("f").mode), "2644");
  });
  add("chown of a directory keeps them", ["kernel"], ({ root }) => {
    root.mkdir("d");
    root.chmod("d", 0o6755);
    root.chown("d", BOB, BOB);
    equal(octal(root.stat("d").mode), "6755");
  });
  add("a setxattr clears nothing", ["xattrs"], ({ root }) => {
    root.create("f");
    root.chmod("f", 0o6755);
    root.setxattr("f", "user.a", "1");
    equal(octal(root.stat("f").mode), "6755");
  });
});

const identity = group("identity", (add) => {
  add("the inode number outlives renames, chmod and writes", ({ root }) => {
    root.create("f");
    const { ino } = root.stat("f");
    root.rename("f", "g");
    root.chmod("g", 0o600);
    root.truncate("g", 100);
    equal(root.stat("g").ino, ino);
  });
  add("fstat and stat agree", ({ root }) => {
    root.create("f", "contents");
    const fd = root.open("f");
    same(root.fstat(fd), root.stat("f"));
  });
  add("a directory's inode number is that of its own dot", ({ root }) => {
    root.mkdir("d");
    const dot = root.getdents(root.open("d", O.DIRECTORY)).find(({ name }) => name === ".");
    equal(dot?.ino, root.stat("d").ino);
  });
  add("st_size of a symlink is its target's length, st_blksize is sane", ({ root }) => {
    root.symlink("twelve bytes", "link");
    equal(root.lstat("link").size, 12);
    equal(root.stat(".").blksize >= 512, true);
  });
});

const flags = group(
  "inode flags",
  (add) => {
    add("can be read of files and directories", ["inodeFlags"], ({ root }) => {
      root.create("f");
      equal(root.getFlags(root.open("f")) >= 0, true);
      equal(root.getFlags(root.open(".", O.DIRECTORY)) >= 0, true);
    });
    add("an immutable file cannot be changed: EPERM", ["inodeFlags"], ({ root }) => {
      root.create("f", "contents");
      const fd = root.open("f");
      root.setFlags(fd, root.getFlags(fd) | 0x10);
      try {
        fails("EPERM", () => root.open("f", O.WRONLY));
        fails("EPERM", () => root.unlink("f"));
        fails("EPERM", () => root.chmod("f", 0o600));
      } finally {
        root.setFlags(fd, root.getFlags(fd) & ~0x10);
      }
      root.unlink("f");
    });
    add("an append-only file can only grow", ["inodeFlags"], ({ root }) => {
      root.create("f", "contents");
      const fd = root.open("f");
      root.setFlags(fd, root.getFlags(fd) | 0x20);
      try {
        fails("EPERM", () => root.open("f", O.WRONLY));
        fails("EPERM", () => root.truncate("f", 0));
        equal(root.write(root.open("f", O.WRONLY | O.APPEND), "!"), 1);
      } finally {
        root.setFlags(fd, root.getFlags(fd) & ~0x20);
      }
    });
  },
  ["kernel"],
);

const tmpfile = group(
  "O_TMPFILE",
  (add) => {
    add("has no name and no links", ({ root }) => {
      const fd = root.open(".", O.TMPFILE | O.RDWR);
      same([root.list("."), root.fstat(fd).nlink], [[], 0]);
      equal(root.fstat(fd).type, S.IFREG);
    });
    add("takes and gives data", ({ root }) => {
      const fd = root.open(".", O.TMPFILE | O.RDWR);
      root.write(fd, "contents");
      equal(root.read(fd, 10, 0), "contents");
    });
    add("has mode, umask and owner", ({ root, alice }) => {
      root.mkdir("d");
      root.chmod("d", 0o777);
      const { perm, uid } = alice.fstat(alice.open("d", O.TMPFILE | O.RDWR, 0o666));
      same([perm, uid], [0o644, ALICE]);
    });
    add("can get a name", ({ root }) => {
      const fd = root.open(".", O.TMPFILE | O.RDWR);
      root.write(fd, "contents");
      root.linkFd(fd, "named");
      equal(root.contents("named"), "contents");
      equal(root.fstat(fd).nlink, 1);
      equal(root.stat("named").ino, root.fstat(fd).ino);
    });
    add("cannot get a name that exists", ({ root }) => {
      root.create("named");
      const fd = root.open(".", O.TMPFILE | O.RDWR);
      fails("EEXIST", () => root.linkFd(fd, "named"));
    });
    add("with O_EXCL never gets a name: ENOENT", ({ root }) => {
      const fd = root.open(".", O.TMPFILE | O.RDWR | O.EXCL);
      fails("ENOENT", () => root.linkFd(fd, "named"));
    });
    add("for reading only is EINVAL", ({ root }) => {
      fails("EINVAL", () => root.open(".", O.TMPFILE | O.RDONLY));
    });
  },
  ["tmpfile"],
);

export const attributes: readonly Group[] = [chmod, chown, privileges, identity, flags, tmpfile];
