import { type Actor, O, S } from "../support/actor.js";
import { equal, fails, octal, outcomeOf } from "../support/assertions.js";
import type { Capability } from "../support/capabilities.js";
import { ALICE, BOB, type Group, group, STAFF } from "../support/cases.js";

/** Who asks for a file of alice and the group 1003, and which of its permission bits count for him. */
const ASKERS = [
  { name: "the owner", shift: 6, become: (actor: Actor) => actor.become(ALICE) },
  { name: "the group", shift: 3, become: (actor: Actor) => actor.become(BOB, STAFF) },
  {
    name: "a supplementary group",
    shift: 3,
    become: (actor: Actor) => actor.become(BOB, BOB, { groups: [7, STAFF] }),
  },
  { name: "others", shift: 0, become: (actor: Actor) => actor.become(BOB) },
] as const;

const WAYS = [
  { name: "read", bit: 4, open: O.RDONLY },
  { name: "write", bit: 2, open: O.WRONLY },
] as const;

const files = group(
  "permissions of files",
  (add) => {
    for (const { name, shift, become } of ASKERS) {
      for (const way of WAYS) {
        for (const granted of [true, false]) {
          const bits = granted ? way.bit : 7 & ~way.bit;
          // The bits of the other classes say the opposite, so that a wrong class shows.
          const others = 0o777 & ~(7 << shift);
          const mode = (granted ? 0 : others) | (bits << shift);
          const wanted = granted ? "ok" : "EACCES";
          add(
            `${name} may ${granted ? "" : "not "}${way.name} with mode ${octal(mode)}`,
            ({ root, process }) => {
              root.create("f");
              root.chown("f", ALICE, STAFF);
              root.chmod("f", mode);
              const asker = become(process("asker"));
              equal(
                outcomeOf(() => asker.open("f", way.open)),
                wanted,
              );
              equal(
                outcomeOf(() => asker.access("f", way.bit)),
                wanted,
              );
            },
          );
        }
      }
    }
    add("root may read and write whatever the mode", ({ root }) => {
      root.create("f");
      root.chmod("f", 0);
      root.close(root.open("f", O.RDWR));
    });
    add("root may execute only what somebody may", ({ root }) => {
      root.create("f");
      root.chmod("f", 0o666);
      fails("EACCES", () => root.access("f", 1));
      root.chmod("f", 0o001);
      root.access("f", 1);
    });
    add("a descriptor keeps what it was opened for", ({ root, alice }) => {
      root.create("f", "contents");
      root.chown("f", ALICE, ALICE);
      const fd = alice.open("f", O.RDWR);
      root.chmod("f", 0);
      equal(alice.read(fd, 100), "contents");
      alice.write(fd, "more");
    });
    add("a file made without write permission can be written through its descriptor", ({ alice }) => {
      const fd = alice.open("f", O.CREAT | O.RDWR, 0o444);
      equal(alice.write(fd, "data"), 4);
      fails("EACCES", () => alice.open("f", O.WRONLY));
    });
    add("truncate takes write permission", ({ root, alice }) => {
      root.create("f", "contents");
      fails("EACCES", () => alice.truncate("f", 0));
      fails("EACCES", () => alice.open("f", O.RDONLY | O.TRUNC));
      equal(root.stat("f").size, 8);
    });
  },
  ["kernel"],
);

/** What takes search permission of a directory, and whether it takes write permission, too. */
const IN_DIRECTORY: readonly {
  name: string;
  writes: boolean;
  needs?: readonly Capability[];
  use(actor: Actor): void;
}[] = [
  { name: "stat", writes: false, use: (actor) => void actor.stat("d/f") },
  { name: "open", writes: false, use: (actor) => void actor.open("d/f") },
  { name: "readlink", writes: false, use: (actor) => void actor.readlink("d/link") },
  { name: "create", writes: true, use: (actor) => actor.create("d/new") },
  { name: "mkdir", writes: true, use: (actor) => actor.mkdir("d/new") },
  { name: "symlink", writes: true, use: (actor) => actor.symlink("x", "d/new") },
  { name: "mknod", writes: true, use: (actor) => actor.mknod("d/new", S.IFREG | 0o644) },
  { name: "link", writes: true, needs: ["hardLinks"], use: (actor) => actor.link("own", "d/new") },
  { name: "unlink", writes: true, use: (actor) => actor.unlink("d/f") },
  { name: "rmdir", writes: true, use: (actor) => actor.rmdir("d/sub") },
  { name: "rename out", writes: true, use: (actor) => actor.rename("d/f", "moved") },
  { name: "rename in", writes: true, use: (actor) => actor.rename("own", "d/new") },
];

function makeDirectory(root: Actor, alice: Actor, mode: number): void {
  root.mkdir("d");
  root.create("d/f", "", 0o666);
  root.symlink("f", "d/link");
  root.mkdir("d/sub");
  root.chmod("d", mode);
  alice.create("own");
}

const directories = group(
  "permissions of directories",
  (add) => {
    for (const { name, writes, needs = [], use } of IN_DIRECTORY) {
      add(`${name} needs search permission`, needs, ({ root, alice }) => {
        makeDirectory(root, alice, 0o776);
        fails("EACCES", () => use(alice));
      });
      add(`${name} ${writes ? "needs" : "does not need"} write permission`, needs, ({ root, alice }) => {
        makeDirectory(root, alice, 0o775);
        equal(
          outcomeOf(() => use(alice)),
          writes ? "EACCES" : "ok",
        );
      });
      add(`${name} works with search and write permission`, needs, ({ root, alice }) => {
        makeDirectory(root, alice, 0o773);
        equal(
          outcomeOf(() => use(alice)),
          "ok",
        );
      });
    }
    add("listing needs read permission and no other", ({ root, alice }) => {
      makeDirectory(root, alice, 0o773);
      fails("EACCES", () => alice.open("d", O.DIRECTORY));
      root.chmod("d", 0o774);
      const fd = alice.open("d", O.DIRECTORY);
      equal(alice.getdents(fd).length, 5);
    });
    add("a directory moved to another parent needs write permission itself", ({ root, alice }) => {
      alice.mkdir("a");
      alice.mkdir("b");
      root.mkdir("a/d");
      fails("EACCES", () => alice.rename("a/d", "b/d"));
      alice.rename("a/d", "a/e");
    });
  },
  ["kernel"],
);

const STICKY: readonly { name: string; needs?: readonly Capability[]; use(actor: Actor): void }[] = [
  { name: "unlink", use: (actor) => actor.unlink("d/f") },
  { name: "rmdir", use: (actor) => actor.rmdir("d/sub") },
  { name: "rename away", use: (actor) => actor.rename("d/f", "d/g") },
  { name: "rename over", use: (actor) => actor.rename("own", "d/f") },
  { name: "exchange", needs: ["renameExchange"], use: (actor) => actor.rename("own", "d/f", 2) },
];

const sticky = group(
  "sticky directories",
  (add) => {
    for (const { name, needs = [], use } of STICKY) {
      for (const [who, fileOwner, directoryOwner, wanted] of [
        ["somebody else", 0, 0, "EPERM"],
        ["the file's owner", BOB, 0, "ok"],
        ["the directory's owner", 0, BOB, "ok"],
      ] as const) {
        add(`${name} by ${who}: ${wanted}`, needs, ({ root, bob }) => {
          root.mkdir("d");
          root.create("d/f");
          root.mkdir("d/sub");
          for (const path of ["d/f", "d/sub"]) root.chown(path, fileOwner, fileOwner);
          root.chown("d", directoryOwner, 0);
          root.chmod("d", 0o1777);
          bob.create("own");
          equal(
            outcomeOf(() => use(bob)),
            wanted,
          );
        });
      }
    }
    add("root may delete whatever the bit says", ({ root, alice }) => {
      root.mkdir("d");
      root.chmod("d", 0o1777);
      alice.create("d/f");
      root.unlink("d/f");
    });
  },
  ["kernel"],
);

const ownership = group(
  "changing what belongs to somebody",
  (add) => {
    for (const [name, use] of Object.entries<(actor: Actor) => void>({
      chmod: (actor) => actor.chmod("f", 0o777),
      "chown to oneself": (actor) => actor.chown("f", BOB, -1),
      "chgrp to an own group": (actor) => actor.chown("f", -1, STAFF),
      "utimens to a time": (actor) => actor.utimens("f", [1, 0], [1, 0]),
    })) {
      add(`${name} of a foreign file is EPERM`, ({ root, bob }) => {
        root.create("f");
        root.chmod("f", 0o666);
        fails("EPERM", () => use(bob));
      });
    }
    add("utimens to now needs write permission only", ({ root, bob }) => {
      root.create("f");
      fails("EACCES", () => bob.utimens("f", [0, 0x3fffffff], [0, 0x3fffffff]));
      root.chmod("f", 0o666);
      bob.utimens("f", [0, 0x3fffffff], [0, 0x3fffffff]);
    });
    add("an owner may give a file to an own group, not to another", ({ bob }) => {
      bob.create("f");
      bob.chown("f", -1, STAFF);
      fails("EPERM", () => bob.chown("f", -1, 4242));
      equal(bob.stat("f").gid, STAFF);
    });
    add("an owner may not give a file away", ({ bob }) => {
      bob.create("f");
      fails("EPERM", () => bob.chown("f", ALICE, -1));
      bob.chown("f", BOB, -1);
    });
    add("chmod by the owner of a foreign group drops setgid", ({ root, bob }) => {
      bob.create("f");
      root.chown("f", BOB, 4242);
      bob.chmod("f", 0o2755);
      equal(octal(bob.stat("f").mode), "0755");
    });
    add("chmod by the owner of an own group keeps setgid", ({ bob }) => {
      bob.create("f");
      bob.chmod("f", 0o2755);
      equal(octal(bob.stat("f").mode), "2755");
    });
    add("xattrs of a foreign file cannot be set", ["xattrs"], ({ root, bob }) => {
      root.create("f");
      fails("EACCES", () => bob.setxattr("f", "user.a", "1"));
      root.setxattr("f", "user.a", "1");
      fails("EACCES", () => bob.removexattr("f", "user.a"));
      equal(bob.getxattr("f", "user.a"), "1");
    });
    add("trusted xattrs take privilege", ["xattrs", "trustedXattrs"], ({ root, alice }) => {
      alice.create("f");
      root.setxattr("f", "trusted.a", "1");
      fails("ENODATA", () => alice.getxattr("f", "trusted.a"));
      fails("EPERM", () => alice.setxattr("f", "trusted.b", "1"));
    });
  },
  ["kernel"],
);

export const permissions: readonly Group[] = [files, directories, sticky, ownership];
