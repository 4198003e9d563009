import { type Actor, XATTR } from "../support/actor.js";
import { equal, fails, octal, same } from "../support/assertions.js";
import { ALICE, BOB, type Group, group } from "../support/cases.js";
import { EMPTY_DIRECTORY, FILE } from "./types.js";

const LONGEST_NAME = `user.${"n".repeat(250)}`;

const basics = group(
  "extended attributes",
  (add) => {
    for (const type of [FILE, EMPTY_DIRECTORY]) {
      add(`of ${type.name}: set, read, listed, replaced, removed`, ({ root }) => {
        type.make(root, "x");
        same(root.listxattr("x"), []);
        root.setxattr("x", "user.a", "first");
        root.setxattr("x", "user.b", "second");
        same(root.listxattr("x"), ["user.a", "user.b"]);
        root.setxattr("x", "user.a", "replaced");
        same([root.getxattr("x", "user.a"), root.getxattr("x", "user.b")], ["replaced", "second"]);
        root.removexattr("x", "user.a");
        same(root.listxattr("x"), ["user.b"]);
        fails("ENODATA", () => root.getxattr("x", "user.a"));
      });
    }
    for (const size of [0, 1, 255, 1000, 3000]) {
      add(`a value of ${size} bytes`, size > 1000 ? ["mediumXattrs"] : [], ({ root }) => {
        root.create("f");
        const value = Array.from({ length: size }, (_, i) => String.fromCharCode((i * 37) & 255)).join("");
        root.setxattr("f", "user.a", value);
        equal(root.getxattr("f", "user.a") === value, true);
        equal(root.xattrLength("f", "user.a"), size);
      });
    }
    add("a value of 65,536 bytes", ["largeXattrs"], ({ root }) => {
      root.create("f");
      root.setxattr("f", "user.a", "v".repeat(65536));
      equal(root.getxattr("f", "user.a").length, 65536);
    });
    add("a value of 65,537 bytes is E2BIG", ["kernel"], ({ root }) => {
      root.create("f");
      fails("E2BIG", () => root.setxattr("f", "user.a", "v".repeat(65537)));
    });
    add("a name of 255 bytes works", ({ root }) => {
      root.create("f");
      root.setxattr("f", LONGEST_NAME, "1");
      same([root.getxattr("f", LONGEST_NAME), root.listxattr("f")], ["1", [LONGEST_NAME]]);
    });
    add("a name of 256 bytes is ERANGE, and so is an empty one", ["kernel"], ({ root }) => {
      root.create("f");
      fails("ERANGE", () => root.setxattr("f", `${LONGEST_NAME}n`, "1"));
      fails("ERANGE", () => root.setxattr("f", "", "1"));
    });
    add("names are bytes and case counts", ({ root }) => {
      root.create("f");
      for (const name of ["user.\xff\xfe", "user.A", "user.a"]) root.setxattr("f", name, name);
      same(root.listxattr("f"), ["user.A", "user.a", "user.\xff\xfe"]);
      equal(root.getxattr("f", "user.\xff\xfe"), "user.\xff\xfe");
    });
    add("CREATE of one that exists is EEXIST", ({ root }) => {
      root.create("f");
      root.setxattr("f", "user.a", "1", XATTR.CREATE);
      fails("EEXIST", () => root.setxattr("f", "user.a", "2", XATTR.CREATE));
      equal(root.getxattr("f", "user.a"), "1");
    });
    add("REPLACE of a missing one is ENODATA", ({ root }) => {
      root.create("f");
      fails("ENODATA", () => root.setxattr("f", "user.a", "1", XATTR.REPLACE));
      root.setxattr("f", "user.a", "1");
      root.setxattr("f", "user.a", "2", XATTR.REPLACE);
      equal(root.getxattr("f", "user.a"), "2");
    });
    add("unknown flags are EINVAL", ({ root }) => {
      root.create("f");
      fails("EINVAL", () => root.setxattr("f", "user.a", "1", 4));
    });
    add("a missing one is ENODATA, to read and to remove", ({ root }) => {
      root.create("f");
      fails("ENODATA", () => root.getxattr("f", "user.a"));
      fails("ENODATA", () => root.removexattr("f", "user.a"));
      fails("ENODATA", () => root.xattrLength("f", "user.a"));
    });
    add("a buffer too small is ERANGE", ({ root }) => {
      root.create("f");
      root.setxattr("f", "user.a", "12345");
      fails("ERANGE", () => root.getxattr("f", "user.a", 4));
      equal(root.getxattr("f", "user.a", 5), "12345");
      fails("ERANGE", () => root.listxattr("f", 4));
    });
    add("the length of the list is its length", ({ root }) => {
      root.create("f");
      const before = root.xattrListLength("f");
      root.setxattr("f", "user.a", "1");
      root.setxattr("f", "user.bc", "1");
      equal(root.xattrListLength("f") - before, "user.a\0user.bc\0".length);
    });
    add("an unknown namespace is EOPNOTSUPP", ["kernel"], ({ root }) => {
      root.create("f");
      fails("EOPNOTSUPP", () => root.setxattr("f", "nonsense.a", "1"));
      fails("EOPNOTSUPP", () => root.getxattr("f", "nonsense.a"));
    });
    add("user attributes of a symlink are EPERM", ["kernel"], ({ root }) => {
      root.symlink("nowhere", "link");
      fails("EPERM", () => root.setxattr("link", "user.a", "1", 0, false));
    });
    add("user attributes of a fifo are EPERM", ["kernel", "specialFiles"], ({ root }) => {
      root.mknod("fifo", 0o010644);
      fails("EPERM", () => root.setxattr("fifo", "user.a", "1"));
    });
    add("follow a symlink, if asked to", ["trustedXattrs"], ({ root }) => {
      root.create("f");
      root.symlink("f", "link");
      root.setxattr("link", "trusted.a", "file");
      root.setxattr("link", "trusted.a", "link", 0, false);
      same(
        [root.getxattr("f", "trusted.a"), root.getxattr("link", "trusted.a", 100, false)],
        ["file", "link"],
      );
    });
    add("survive renames and are shared by links", ["hardLinks"], ({ root }) => {
      root.create("f");
      root.setxattr("f", "user.a", "1");
      root.link("f", "g");
      root.rename("f", "h");
      same([root.getxattr("g", "user.a"), root.getxattr("h", "user.a")], ["1", "1"]);
    });
    add("30 attributes of one file", ({ root }) => {
      root.create("f");
      const names = Array.from({ length: 30 }, (_, i) => `user.attribute-${i}`);
      for (const name of names) root.setxattr("f", name, name);
      same(root.listxattr("f"), names.sort());
      for (const name of names) equal(root.getxattr("f", name), name);
    });
    add("trusted attributes are root's", ["trustedXattrs"], ({ root }) => {
      root.create("f");
      root.setxattr("f", "trusted.a", "1");
      same([root.getxattr("f", "trusted.a"), root.listxattr("f")], ["1", ["trusted.a"]]);
    });
    add(
      "security.capability is kept, and cleared by a write",
      ["trustedXattrs", "kernel"],
      ({ root, alice }) => {
        const capability = "\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        root.create("f", "contents");
        root.chmod("f", 0o777);
        root.setxattr("f", "security.capability", capability);
        equal(root.getxattr("f", "security.capability"), capability);
        alice.write(alice.open("f", 1), "x");
        fails("ENODATA", () => root.getxattr("f", "security.capability"));
      },
    );
  },
  ["xattrs"],
);

interface AclEntry {
  readonly tag: number;
  readonly perm: number;
  readonly id?: number;
}

/** struct posix_acl_xattr_header and its entries. */
function acl(...entries: AclEntry[]): string {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  entries.forEach(({ tag, perm, id = 0xffffffff }, i) => {
    bytes.writeUInt16LE(tag, 4 + 8 * i);
    bytes.writeUInt16LE(perm, 6 + 8 * i);
    bytes.writeUInt32LE(id, 8 + 8 * i);
  });
  return bytes.toString("latin1");
}

const [USER_OBJ, USER, GROUP_OBJ, MASK, OTHER] = [1, 2, 4, 16, 32];
const ACCESS = "system.posix_acl_access";
const DEFAULT = "system.posix_acl_default";

/** user::rwx, user:bob:PERM, group::r-x, mask::rwx, other::--- */
function bobsAcl(perm: number): string {
  return acl(
    { tag: USER_OBJ as number, perm: 7 },
    { tag: USER as number, perm, id: BOB },
    { tag: GROUP_OBJ as number, perm: 5 },
    { tag: MASK as number, perm: 7 },
    { tag: OTHER as number, perm: 0 },
  );
}

function aclDirectory(root: Actor): void {
  root.mkdir("d");
  root.chown("d", ALICE, ALICE);
  root.setxattr("d", DEFAULT, bobsAcl(6));
}

const acls = group(
  "POSIX ACLs",
  (add) => {
    add("an access ACL shows in the mode: the group's bits are the mask", ({ root }) => {
      root.create("f");
      root.setxattr("f", ACCESS, bobsAcl(6));
      equal(octal(root.stat("f").mode), "0770");
    });
    add("chmod changes the mask", ({ root }) => {
      root.create("f");
      root.setxattr("f", ACCESS, bobsAcl(6));
      root.chmod("f", 0o740);
      const value = Buffer.from(root.getxattr("f", ACCESS), "latin1");
      equal(value.readUInt16LE(4 + 8 * 3 + 2), 4);
    });
    add("a minimal ACL is only the mode", ({ root }) => {
      root.create("f");
      const minimal = [1, 4, 32].map((tag) => ({ tag, perm: 6 }));
      root.setxattr("f", ACCESS, acl(...minimal));
      equal(octal(root.stat("f").mode), "0666");
      same(root.listxattr("f"), []);
    });
    add("a default ACL is inherited and replaces the umask", ({ root, alice }) => {
      aclDirectory(root);
      alice.create("d/f", "", 0o666);
      equal(octal(alice.stat("d/f").mode), "0660");
      alice.mkdir("d/sub", 0o777);
      equal(octal(alice.stat("d/sub").mode), "0770");
      equal(alice.getxattr("d/sub", DEFAULT), root.getxattr("d", DEFAULT));
    });
    add("a named user gets what the ACL says", ["kernel"], ({ root, bob }) => {
      root.create("f", "contents");
      root.chmod("f", 0);
      fails("EACCES", () => bob.open("f"));
      root.setxattr("f", ACCESS, bobsAcl(4));
      equal(bob.contents("f"), "contents");
      fails("EACCES", () => bob.open("f", 1));
    });
    add("a default ACL of a file is EACCES", ["kernel"], ({ root }) => {
      root.create("f");
      fails("EACCES", () => root.setxattr("f", DEFAULT, bobsAcl(4)));
    });
    add("nonsense is EINVAL", ["kernel"], ({ root }) => {
      root.create("f");
      fails("EINVAL", () => root.setxattr("f", ACCESS, acl({ tag: 1, perm: 7 }, { tag: 2, perm: 7, id: 5 })));
    });
    add("removing a default ACL", ({ root, alice }) => {
      aclDirectory(root);
      root.removexattr("d", DEFAULT);
      alice.create("d/f", "", 0o666);
      equal(octal(alice.stat("d/f").mode), "0644");
    });
  },
  ["posixAcl", "xattrs"],
);

export const xattrs: readonly Group[] = [basics, acls];
