import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Change } from "../../../src/vfs/attributes.js";
import { EACCES, EINVAL, ENODATA, ENOSPC, EOPNOTSUPP, EPERM } from "../../../src/vfs/errno.js";
import type { Caller, VfsNode } from "../../../src/vfs/node.js";
import { MemoryShare, ROOT, USER } from "./memory-share.js";

const ACCESS = "system.posix_acl_access";
const DEFAULT = "system.posix_acl_default";
const [USER_OBJ, NAMED_USER, GROUP_OBJ, NAMED_GROUP, MASK, OTHER] = [1, 2, 4, 8, 0x10, 0x20] as const;
const NONE = 0xffff_ffff;

type Entry = [tag: number, permissions: number, id?: number | undefined];

function acl(entries: Entry[], version = 2): Buffer {
  const value = Buffer.alloc(4 + entries.length * 8);
  value.writeUInt32LE(version, 0);
  entries.forEach(([tag, permissions, id], index) => {
    value.writeUInt16LE(tag, 4 + index * 8);
    value.writeUInt16LE(permissions, 6 + index * 8);
    value.writeUInt32LE(id ?? NONE, 8 + index * 8);
  });
  return value;
}

const NAMED: Entry[] = [
  [USER_OBJ, 7],
  [NAMED_USER, 6, 1000],
  [GROUP_OBJ, 5],
  [MASK, 7],
  [OTHER, 4],
];

let share: MemoryShare;
beforeEach(() => {
  share = new MemoryShare({ posixAcl: true });
});
afterEach(() => {
  share.stop();
});

function set(node: VfsNode, name: string, value: Uint8Array, caller: Caller = ROOT): number {
  return share.backend.setxattr(caller, node, name, value, 0);
}

function get(node: VfsNode, name: string): Buffer | number {
  const into = Buffer.alloc(500);
  const length = share.backend.getxattr(ROOT, node, name, into);
  return length < 0 ? length : into.subarray(0, length);
}

const permissions = (node: VfsNode) => (share.stat(node).mode & 0o7777).toString(8);

describe("an access ACL", () => {
  it("sets the mode, its group bits being the mask", () => {
    const node = share.mknod("f");
    expect(set(node, ACCESS, acl(NAMED))).toBe(0);
    expect(permissions(node)).toBe("774");
    expect(get(node, ACCESS)).toEqual(acl(NAMED));
  });

  it("is only a mode when it says no more", () => {
    const node = share.mknod("f");
    const minimal = acl([
      [USER_OBJ, 6],
      [GROUP_OBJ, 2],
      [OTHER, 1],
    ]);
    expect(set(node, ACCESS, acl(NAMED))).toBe(0);
    expect(set(node, ACCESS, minimal)).toBe(0);
    expect(permissions(node)).toBe("621");
    expect(get(node, ACCESS)).toBe(-ENODATA);
  });

  it("follows chmod", () => {
    const node = share.mknod("f");
    set(node, ACCESS, acl(NAMED));
    share.setattr(node, { valid: Change.MODE, mode: 0o2510 });
    const entries = NAMED.map(([tag, bits, id]): Entry => {
      return [tag, tag === USER_OBJ ? 5 : tag === MASK ? 1 : tag === OTHER ? 0 : bits, id];
    });
    expect(get(node, ACCESS)).toEqual(acl(entries));
    expect(permissions(node)).toBe("2510");
  });

  it("takes setgid from who is not in the group", () => {
    const node = share.mknod("f", share.root, 0o102755, { ...ROOT, uid: 1000 });
    expect(set(node, ACCESS, acl(NAMED), USER)).toBe(0);
    expect(permissions(node)).toBe("774");
    share.setattr(node, { valid: Change.MODE, mode: 0o2755 });
    expect(set(node, ACCESS, acl(NAMED), ROOT)).toBe(0);
    expect(permissions(node)).toBe("2774");
  });

  it("is removed without touching the mode, also when there is none", () => {
    const node = share.mknod("f");
    set(node, ACCESS, acl(NAMED));
    expect(share.backend.removexattr(ROOT, node, ACCESS)).toBe(0);
    expect(share.backend.removexattr(ROOT, node, ACCESS)).toBe(0);
    expect(permissions(node)).toBe("774");
    expect(get(node, ACCESS)).toBe(-ENODATA);
  });

  it("is the owner's to set", () => {
    const node = share.mknod("f");
    expect(set(node, ACCESS, acl(NAMED), USER)).toBe(-EPERM);
  });
});

describe("an ACL that is no ACL is refused:", () => {
  it.each<[string, Buffer, number]>([
    ["too short", Buffer.alloc(3), EINVAL],
    ["another version", acl(NAMED, 1), EOPNOTSUPP],
    ["half an entry", acl(NAMED).subarray(0, 40), EINVAL],
    ["no mask", acl(NAMED.filter(([tag]) => tag !== MASK)), EINVAL],
    ["no owner", acl(NAMED.slice(1)), EINVAL],
    ["no other", acl(NAMED.slice(0, 4)), EINVAL],
    ["out of order", acl([...NAMED].reverse()), EINVAL],
    ["two masks", acl([...NAMED.slice(0, 4), [MASK, 1], [OTHER, 1]]), EINVAL],
    ["an unknown tag", acl([...NAMED, [0x40, 1]]), EINVAL],
    ["bits beyond rwx", acl(NAMED.map(([tag, bits, id]) => [tag, bits | 8, id])), EINVAL],
    ["a name of nobody", acl(NAMED.map(([tag, bits]) => [tag, bits])), EINVAL],
  ])("%s", (_what, value, errno) => {
    const node = share.mknod("f");
    expect(set(node, ACCESS, value)).toBe(-errno);
    expect(get(node, ACCESS)).toBe(-ENODATA);
    expect(permissions(node)).toBe("644");
  });

  it("on a symbolic link, or as the default of a file", () => {
    expect(set(share.symlink("l", "t"), ACCESS, acl(NAMED))).toBe(-EOPNOTSUPP);
    const file = share.mknod("f");
    expect(set(file, DEFAULT, acl(NAMED))).toBe(-EACCES);
    expect(set(file, DEFAULT, acl([]))).toBe(0);
  });

  it("where ACLs are off", () => {
    const plain = new MemoryShare();
    expect(plain.backend.capabilities.posixAcl).toBe(false);
    expect(plain.backend.setxattr(ROOT, plain.root, ACCESS, acl(NAMED), 0)).toBe(-EOPNOTSUPP);
    plain.stop();
  });
});

describe("a default ACL", () => {
  const narrow: Entry[] = [
    [USER_OBJ, 7],
    [GROUP_OBJ, 5],
    [NAMED_GROUP, 7, 50],
    [MASK, 7],
    [OTHER, 0],
  ];

  it("is inherited, narrowed by the mode, and the umask is left out", () => {
    const parent = share.mkdir("d");
    expect(set(parent, DEFAULT, acl(narrow))).toBe(0);
    expect(permissions(parent)).toBe("755");
    const file = share.mknod("f", parent, 0o100664, { ...ROOT, umask: 0o077 });
    expect(permissions(file)).toBe("660");
    expect(get(file, ACCESS)).toEqual(
      acl(narrow.map(([tag, bits, id]) => [tag, tag === USER_OBJ || tag === MASK ? 6 : bits, id])),
    );
    expect(get(file, DEFAULT)).toBe(-ENODATA);
    const directory = share.mkdir("sub", parent, 0o777);
    expect(permissions(directory)).toBe("770");
    expect(get(directory, DEFAULT)).toEqual(acl(narrow));
    expect(get(directory, ACCESS)).toEqual(acl(narrow));
    expect(get(share.symlink("l", "t", parent), ACCESS)).toBe(-ENODATA);
  });

  it("that is minimal gives a mode alone", () => {
    const minimal: Entry[] = [
      [USER_OBJ, 6],
      [GROUP_OBJ, 4],
      [OTHER, 0],
    ];
    set(share.root, DEFAULT, acl(minimal));
    const file = share.mknod("f", share.root, 0o100777);
    expect(permissions(file)).toBe("640");
    expect(get(file, ACCESS)).toBe(-ENODATA);
  });

  it("of which there is none leaves the umask to apply", () => {
    expect(permissions(share.mknod("f", share.root, 0o100666, { ...ROOT, umask: 0o027 }))).toBe("640");
  });

  it("counts against the share, and is given back", () => {
    const small = new MemoryShare({ posixAcl: true, inodeLimit: 6 });
    const parent = small.mkdir("d");
    expect(small.backend.setxattr(ROOT, parent, DEFAULT, acl(narrow), 0)).toBe(0);
    const free = small.backend.statfs().filesFree;
    for (let index = 0; index < 10; index++) {
      const made = small.backend.mkdir(ROOT, parent, `d${index}`, 0o777, small.out);
      if (typeof made === "number") {
        expect(made).toBe(-ENOSPC);
      }
    }
    for (const { name } of small.list(parent)) {
      small.backend.rmdir(ROOT, parent, name);
    }
    expect(small.backend.statfs().filesFree).toBe(free);
    small.stop();
  });
});
