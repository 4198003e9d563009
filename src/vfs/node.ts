/**
 * An inode as a backend knows it. A backend derives its own class and hands out the same object for
 * the same inode for as long as the object is not forgotten: that is how the inode table recognises
 * it. Everything about lookup counts and node ids is the table's.
 */
export abstract class VfsNode {
  /** Index in the inode table, or negative while the guest does not know the node. Only the table writes it. */
  tableIndex = -1;
  /**
   * For a backend that is made of others (overlay): its own node that this one is a part of, and how many of them hold
   * this one. Only that backend writes them.
   */
  holder: VfsNode | undefined;
  holds = 0;
}

/**
 * An open file or directory as a backend knows it. The session gives it a place in the handle table;
 * a backend derives its own class.
 */
export abstract class VfsHandle {
  /** Index in the handle table, or -1 before it is open and after release. Only the table writes it. */
  tableIndex = -1;
  /** What is open; the handle keeps the node alive even after the guest forgot it. */
  readonly node: VfsNode;
  /**
   * A file that native code reads and writes without JavaScript, or undefined when READ and WRITE
   * come to the backend. The backend sets it before it returns the handle from open.
   */
  boundFile: BoundFile | undefined;
  /**
   * Gives the open handle another bound file, which native code reads and writes from the next request on, or none;
   * the one before is let go. Set by the session while native code has a bound file of the handle.
   */
  rebind: ((file: BoundFile | undefined) => void) | undefined;

  constructor(node: VfsNode) {
    this.node = node;
  }
}

/** What native code can read and write by itself (see docs/architecture.md, "Bound files"). */
export type BoundFile =
  /** A descriptor. Native code takes it over and closes it after release, when no I/O is in flight. */
  | { readonly kind: "descriptor"; readonly fd: number }
  /**
   * A file of a memory arena, by the native arena object and the file's number in it; `append` and `keepAtime` as
   * O_APPEND and O_NOATIME of open(2).
   */
  | {
      readonly kind: "arena";
      readonly arena: object;
      readonly file: number;
      readonly append: boolean;
      readonly keepAtime: boolean;
    }
  /**
   * A file for reading that is there in part, by its native object: reads of what is not there come to the backend, as
   * if there were no bound file.
   */
  | { readonly kind: "partial"; readonly file: object };

/** A name of a file that holds as long as the file exists, over restarts too (name_to_handle_at(2)). */
export interface FileIdentifier {
  /** Type of the handle, as the file system numbers them. */
  readonly type: number;
  /** The handle. */
  readonly bytes: Uint8Array;
  /** UUID of the file system, 16 bytes; zeros where it has none. */
  readonly fileSystem: Uint8Array;
}

/** Who asks. The object belongs to the request and is reused after it: do not keep it. */
export interface Caller {
  uid: number;
  gid: number;
  /** Process id in the guest's view; 0 when unknown. */
  pid: number;
  /** Supplementary group the guest sent along with a creation, or -1. */
  supplementaryGroup: number;
  /**
   * The caller's umask when the backend has to apply it (unless the parent has a default ACL); 0 when the
   * guest has done it already.
   */
  umask: number;
  /** Writing, truncating or opening with O_TRUNC by this caller clears setuid, setgid and capabilities. */
  clearsPrivileges: boolean;
  /** No other request is under way, so that what waits for this one holds up nobody. Known for fsync only. */
  isAlone?: boolean;
}
