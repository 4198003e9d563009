import { O, S } from "../support/actor.js";
import { equal, fails, octal, same } from "../support/assertions.js";
import { ALICE, BOB, type Group, group, STAFF } from "../support/cases.js";
import { ALL_TYPES, EMPTY_DIRECTORY, FILE, MAKERS, NAME_TYPES, SYMLINK } from "./types.js";

const MODES = [0o000, 0o400, 0o644, 0o777];
const UMASKS = [0o000, 0o022, 0o077, 0o777];

const modes = group("modes of new files", (add) => {
  for (const mode of MODES) {
    for (const umask of UMASKS) {
      const wanted = octal(mode & ~umask);
      add(`open with mode ${octal(mode)} under umask ${octal(umask)}`, ({ root }) => {
        root.become(0, 0, { umask });
        root.create("new", "", mode);
        equal(octal(root.stat("new").mode), wanted);
      });
      add(`mkdir with mode ${octal(mode)} under umask ${octal(umask)}`, ({ root }) => {
        root.become(0, 0, { umask });
        root.mkdir("new", mode);
        equal(octal(root.stat("new").mode), wanted);
      });
    }
    add(`mknod of a fifo with mode ${octal(mode)} under umask 0027`, ["specialFiles"], ({ root }) => {
      root.become(0, 0, { umask: 0o027 });
      root.mknod("new", S.IFIFO | mode);
      equal(octal(root.stat("new").mode), octal(mode & ~0o027));
    });
  }
  add("a symlink has mode 0777 whatever the umask", ({ root }) => {
    root.become(0, 0, { umask: 0o077 });
    root.symlink("target", "link");
    equal(octal(root.lstat("link").mode), "0777");
  });
  add("open keeps setuid, setgid and the sticky bit", ({ alice }) => {
    alice.create("new", "", 0o7755);
    equal(octal(alice.stat("new").mode), "7755");
  });
  add("mkdir keeps the sticky bit and ignores setuid", ({ alice }) => {
    alice.mkdir("new", 0o5755);
    equal(octal(alice.stat("new").mode), "1755");
  });
});

const owners = group("owners of new files", (add) => {
  for (const { name, make, needs } of ALL_TYPES.slice(0, 5)) {
    add(`${name} belongs to its maker`, needs, ({ alice }) => {
      make(alice, "new");
      const { uid, gid } = alice.lstat("new");
      same([uid, gid], [ALICE, ALICE]);
    });
    add(`${name} in a set-group-id directory has its group`, needs, ({ root, alice }) => {
      root.mkdir("team");
      root.chown("team", ALICE, STAFF);
      root.chmod("team", 0o2775);
      make(alice, "team/new");
      const { uid, gid } = alice.lstat("team/new");
      same([uid, gid], [ALICE, STAFF]);
    });
  }
  add("a directory in a set-group-id directory is one, too", ({ root, alice }) => {
    root.mkdir("team");
    root.chown("team", ALICE, STAFF);
    root.chmod("team", 0o2775);
    alice.mkdir("team/new", 0o750);
    equal(octal(alice.stat("team/new").mode), "2750");
  });
  add("a set-group-id program of a foreign group loses the bit at birth", ({ root, alice }) => {
    root.mkdir("team");
    root.chown("team", 0, STAFF);
    root.chmod("team", 0o2777);
    alice.create("team/new", "", 0o2755);
    equal(octal(alice.stat("team/new").mode), "0755");
  });
  add("a set-group-id program of an own supplementary group keeps it", ["creatorGroups"], ({ root, bob }) => {
    root.mkdir("team");
    root.chown("team", 0, STAFF);
    root.chmod("team", 0o2777);
    bob.create("team/new", "", 0o2755);
    equal(octal(bob.stat("team/new").mode), "2755");
    equal(bob.stat("team/new").gid, STAFF);
  });
  for (const { name, needs, make } of ALL_TYPES.slice(0, 5)) {
    for (const [mode, gid] of [[0o770, BOB] as const, [0o2770, STAFF] as const]) {
      add(`${name} where a supplementary group may write, mode ${octal(mode)}`, needs, ({ root, bob }) => {
        root.mkdir("team");
        root.chown("team", 0, STAFF);
        root.chmod("team", mode);
        make(bob, "team/new");
        const made = bob.lstat("team/new");
        same([made.uid, made.gid], [BOB, gid]);
      });
    }
  }
  add("the maker's umask is each process's own", ({ alice, process }) => {
    const bob = process("bob").become(BOB, BOB, { umask: 0o077 });
    alice.create("first", "", 0o666);
    bob.create("second", "", 0o666);
    same([alice.stat("first").perm, alice.stat("second").perm], [0o644, 0o600]);
  });
});

const types = group("types of new files", (add) => {
  for (const { name, type, make, needs } of ALL_TYPES) {
    add(`${name} has its type in stat and in the directory`, needs, ({ root }) => {
      make(root, "new");
      equal(root.lstat("new").type, type);
      same(
        root.entries(".").map((entry) => [entry.name, entry.type]),
        [["new", type >> 12]],
      );
    });
    add(`${name} shows the same inode number in stat and in the directory`, needs, ({ root }) => {
      make(root, "new");
      equal(root.entries(".")[0]?.ino, root.lstat("new").ino);
    });
  }
  for (const [major, minor] of [
    [1, 3],
    [255, 255],
    [256, 256],
    [4095, 0xfffff],
  ] as const) {
    add(`a device keeps its number ${major}:${minor}`, ["specialFiles"], ({ root }) => {
      root.mknod("device", S.IFCHR | 0o600, major, minor);
      const stat = root.stat("device");
      same([stat.major, stat.minor], [major, minor]);
    });
  }
  add("mknod of a device takes privilege", ["specialFiles", "kernel"], ({ alice }) => {
    fails("EPERM", () => alice.mknod("device", S.IFCHR | 0o600, 1, 3));
  });
  add("a directory cannot be made by mknod", ["kernel"], ({ root }) => {
    fails("EPERM", () => root.mknod("directory", S.IFDIR | 0o755));
  });
  add("a new file is empty, has one link and no blocks", ({ root }) => {
    root.create("new");
    const { size, nlink, blocks } = root.stat("new");
    same([size, nlink, blocks], [0, 1, 0]);
  });
  add("two files have different inode numbers", ({ root }) => {
    root.create("a");
    root.create("b");
    equal(root.stat("a").ino === root.stat("b").ino, false);
  });
});

const existing = group("making what exists already", (add) => {
  for (const maker of MAKERS) {
    if (maker.name === "rename") continue;
    for (const target of NAME_TYPES) {
      add(`${maker.name} over ${target.name} is EEXIST`, [...maker.needs, ...target.needs], ({ root }) => {
        root.create("linked");
        target.make(root, "there");
        const before = root.lstat("there").ino;
        fails("EEXIST", () => maker.make(root, "there"));
        equal(root.lstat("there").ino, before);
      });
    }
    for (const name of [".", ".."]) {
      add(`${maker.name} of "${name}" is EEXIST`, maker.needs, ({ root }) => {
        root.create("linked");
        root.mkdir("d");
        fails("EEXIST", () => maker.make(root, `d/${name}`));
      });
    }
  }
});

const opening = group("open", (add) => {
  add("O_CREAT opens what exists and keeps its mode and contents", ({ root }) => {
    root.create("f", "contents", 0o600);
    const fd = root.open("f", O.CREAT | O.RDWR, 0o777);
    equal(root.read(fd, 100), "contents");
    equal(octal(root.fstat(fd).mode), "0600");
  });
  add("O_CREAT of a directory is EISDIR", ({ root }) => {
    root.mkdir("d");
    fails("EISDIR", () => root.open("d", O.CREAT | O.RDWR));
    fails("EISDIR", () => root.open("d", O.CREAT | O.RDONLY));
  });
  add("O_CREAT through a dangling symlink makes its target", ({ root }) => {
    root.symlink("target", "link");
    root.close(root.open("link", O.CREAT | O.RDWR));
    equal(root.lstat("target").type, S.IFREG);
    equal(root.lstat("link").type, S.IFLNK);
  });
  add("O_CREAT|O_EXCL does not follow a dangling symlink", ({ root }) => {
    SYMLINK.make(root, "link");
    fails("EEXIST", () => root.open("link", O.CREAT | O.EXCL | O.RDWR));
  });
  for (const flags of [O.WRONLY, O.RDWR]) {
    add(`a directory cannot be opened with access mode ${flags}`, ({ root }) => {
      EMPTY_DIRECTORY.make(root, "d");
      fails("EISDIR", () => root.open("d", flags));
    });
  }
  add("O_DIRECTORY of a file is ENOTDIR", ({ root }) => {
    FILE.make(root, "f");
    fails("ENOTDIR", () => root.open("f", O.DIRECTORY));
  });
  add("O_DIRECTORY follows a symlink to a directory", ({ root }) => {
    root.mkdir("d");
    root.symlink("d", "link");
    root.close(root.open("link", O.DIRECTORY));
  });
  add("O_NOFOLLOW of a symlink is ELOOP", ({ root }) => {
    root.create("f");
    root.symlink("f", "link");
    fails("ELOOP", () => root.open("link", O.NOFOLLOW));
  });
  add("O_NOFOLLOW follows symlinks on the way", ({ root }) => {
    root.mkdir("d");
    root.create("d/f");
    root.symlink("d", "link");
    root.close(root.open("link/f", O.NOFOLLOW));
  });
  add("O_NOFOLLOW|O_DIRECTORY of a symlink to a directory is ENOTDIR", ["kernel"], ({ root }) => {
    root.mkdir("d");
    root.symlink("d", "link");
    fails("ENOTDIR", () => root.open("link", O.NOFOLLOW | O.DIRECTORY));
  });
  add("O_TRUNC empties a file and O_CREAT|O_TRUNC, too", ({ root }) => {
    root.create("f", "contents");
    root.close(root.open("f", O.WRONLY | O.TRUNC));
    equal(root.stat("f").size, 0);
    root.close(root.open("f", O.CREAT | O.TRUNC | O.RDWR));
    equal(root.stat("f").size, 0);
  });
  add("O_TRUNC with O_RDONLY empties a file", ({ root }) => {
    root.create("f", "contents");
    root.close(root.open("f", O.RDONLY | O.TRUNC));
    equal(root.stat("f").size, 0);
  });
  add("a socket cannot be opened: ENXIO", ["specialFiles", "kernel"], ({ root }) => {
    root.mknod("socket", S.IFSOCK | 0o644);
    fails("ENXIO", () => root.open("socket"));
  });
  add("a device without a driver cannot be opened: ENXIO", ["specialFiles", "kernel"], ({ root }) => {
    root.mknod("device", S.IFCHR | 0o644, 4000, 7);
    fails("ENXIO", () => root.open("device"));
  });
  add("a null device works as such", ["specialFiles", "kernel"], ({ root }) => {
    root.mknod("null", S.IFCHR | 0o666, 1, 3);
    const fd = root.open("null", O.RDWR);
    equal(root.write(fd, "gone"), 4);
    equal(root.read(fd, 10), "");
  });
  add("a fifo without a reader refuses a writer: ENXIO", ["specialFiles", "kernel"], ({ root }) => {
    root.mknod("fifo", S.IFIFO | 0o644);
    fails("ENXIO", () => root.open("fifo", O.WRONLY | O.NONBLOCK));
  });
  add("a fifo carries data between processes", ["specialFiles", "kernel"], ({ root, alice }) => {
    root.mknod("fifo", S.IFIFO | 0o666);
    root.chmod("fifo", 0o666);
    const reader = root.open("fifo", O.RDONLY | O.NONBLOCK);
    const writer = alice.open("fifo", O.WRONLY | O.NONBLOCK);
    alice.write(writer, "through");
    equal(root.read(reader, 100), "through");
  });
  add("O_EXCL without O_CREAT has no effect on a file", ({ root }) => {
    root.create("f", "x");
    root.close(root.open("f", O.EXCL | O.RDONLY));
  });
  add("O_NOATIME of a foreign file is EPERM", ["kernel"], ({ root, alice }) => {
    root.create("f", "x");
    fails("EPERM", () => alice.open("f", O.NOATIME));
  });
});

export const creating: readonly Group[] = [modes, owners, types, existing, opening];
