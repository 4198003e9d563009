/** What a share offers its guest beyond the ordinary. INIT offers it, and the guest uses what it knows. */
export interface SessionFeatures {
  /** The guest's page cache takes writes and writes them back later. Nothing where files bypass that cache. */
  readonly writeback: boolean;
  /** Directory listings may carry attributes (READDIRPLUS). */
  readonly readdirplus: boolean;
  /** Files that bypass the page cache may be mapped shared. */
  readonly allowMmap: boolean;
  /** Mount points in the share are told to the guest, which mounts them and shows a device number of their own. */
  readonly announceSubmounts: boolean;
  /** The server, not the guest, clears setuid, setgid and capabilities (HANDLE_KILLPRIV_V2). */
  readonly killPrivileges: boolean;
  /**
   * The server keeps file locks, and hears of each close(2) therefore. Otherwise the guest keeps them itself, which comes
   * to the same: a share has one guest.
   */
  readonly fileLocks: boolean;
  /**
   * The guest asks when it opens a file. Otherwise it reads and writes files by their nodes: only where it alone changes
   * them, caches them for as long as it likes and keeps their locks itself.
   */
  readonly openRequests: boolean;
  /** The same for directories. */
  readonly opendirRequests: boolean;
  /** POSIX ACLs: not offered; offered where the backend keeps them; or required of the guest. */
  readonly posixAcl: "never" | "auto" | "always";
}

export const DEFAULT_FEATURES: SessionFeatures = {
  writeback: false,
  readdirplus: true,
  allowMmap: false,
  announceSubmounts: true,
  killPrivileges: false,
  fileLocks: true,
  openRequests: true,
  opendirRequests: true,
  posixAcl: "never",
};
