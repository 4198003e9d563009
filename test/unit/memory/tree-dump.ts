import { createHash } from "node:crypto";
import { VfsHandle, type VfsNode } from "../../../src/vfs/node.js";
import { type MemoryShare, O_NOATIME, O_RDONLY, ROOT } from "./memory-share.js";

const FS_IOC_GETFLAGS = 0x8008_6601;
const NOTHING = Buffer.alloc(0);

/** What an ioctl goes through, whatever the type of the file. */
export class Opened extends VfsHandle {}

/** What there is to know of a node that a copy should have, too. */
export interface Dumped {
  mode: string;
  owner: string;
  size: number;
  blocks: number;
  nlink: number;
  rdev: number;
  times: number[];
  xattrs: Record<string, string>;
  flags: number;
  contents: string;
  /** The first path of this node. */
  first: string;
}

function xattrsOf(share: MemoryShare, node: VfsNode): Record<string, string> {
  const list = Buffer.alloc(65_536);
  const length = share.backend.listxattr(ROOT, node, list);
  const names = length > 0 ? list.toString("latin1", 0, length - 1).split("\0") : [];
  return Object.fromEntries(
    names.sort().map((name) => {
      const value = Buffer.alloc(65_536);
      return [name, value.toString("hex", 0, share.backend.getxattr(ROOT, node, name, value))];
    }),
  );
}

/** What chattr has set. */
function flagsOf(share: MemoryShare, node: VfsNode): number {
  const flags = Buffer.alloc(8);
  share.backend.ioctl(ROOT, new Opened(node), FS_IOC_GETFLAGS, NOTHING, flags);
  return flags.readUInt32LE(0);
}

/** Holes and data of a file, with a digest of what the data is. */
function contentsOf(share: MemoryShare, handle: VfsHandle): string {
  const parts: string[] = [];
  let end = 0n;
  for (;;) {
    const start = share.backend.lseek(ROOT, handle, end, 3);
    if (typeof start === "number") {
      return parts.join(" ");
    }
    end = share.backend.lseek(ROOT, handle, start, 4) as bigint;
    const data = Buffer.alloc(Number(end - start));
    share.backend.read(ROOT, handle, Number(start), data);
    parts.push(`${start}+${data.length}:${createHash("sha256").update(data).digest("hex").slice(0, 12)}`);
  }
}

/** Everything below the root by path, "/" being the root itself. */
export function dump(share: MemoryShare): Record<string, Dumped> {
  const dumped: Record<string, Dumped> = {};
  const firsts = new Map<VfsNode, string>();
  const visit = (node: VfsNode, path: string) => {
    const stat = share.stat(node);
    const type = stat.mode & 0o170000;
    if (!firsts.has(node)) {
      firsts.set(node, path);
    }
    let contents = "";
    if (type === 0o100000) {
      const handle = share.open(node, O_RDONLY | O_NOATIME);
      contents = contentsOf(share, handle);
      share.release(handle);
    } else if (type === 0o120000) {
      contents = share.backend.readlink(ROOT, node) as string;
    }
    const isDirectory = type === 0o040000;
    dumped[path] = {
      mode: stat.mode.toString(8),
      owner: `${stat.uid}:${stat.gid}`,
      size: stat.size,
      blocks: stat.blocks,
      nlink: stat.nlink,
      rdev: stat.rdev,
      // Reading directories and links sets their atime.
      times: type !== 0o100000 ? stat.mtime : [...stat.mtime, ...stat.atime],
      xattrs: xattrsOf(share, node),
      flags: flagsOf(share, node),
      contents,
      first: firsts.get(node) as string,
    };
    if (isDirectory) {
      for (const { name } of share.list(node).slice(2).sort(byName)) {
        visit(share.lookup(name, node), `${path === "/" ? "" : path}/${name}`);
      }
    }
  };
  visit(share.root, "/");
  return dumped;
}

function byName(left: { name: string }, right: { name: string }): number {
  return left.name < right.name ? -1 : 1;
}
