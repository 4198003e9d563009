import * as z from "zod/mini";
import { parseXattrMap } from "../vfs/xattr-map.js";
import { CACHE_POLICY_NAMES } from "./cache-policy.js";
import { flag, oneOf, path, size, wholeNumber } from "./fields.js";
import { s3Fields, s3ReadingFields } from "./s3-fields.js";

export const BACKEND_NAMES = ["passthrough", "memory", "overlay", "s3"] as const;
export type BackendName = (typeof BACKEND_NAMES)[number];

/** I/O pool threads of a share unless configured. */
export const DEFAULT_THREAD_POOL_SIZE = 4;
const MAX_THREAD_POOL_SIZE = 256;
const MAX_SPIN_US = 10_000;
const MAX_INODES = 0xffff_ffff;
const MAX_TAG_BYTES = 36;
const MAX_TIMEOUT_SEC = 1_000_000_000;

export const POSIX_ACL_MODES = ["never", "auto", "always"] as const;
export const FILE_HANDLE_MODES = ["never", "prefer", "mandatory"] as const;

const tagError = `a name of 1 to ${MAX_TAG_BYTES} bytes`;
const tag = z.string({ error: tagError }).check(
  z.minLength(1, { error: tagError }),
  z.maxLength(MAX_TAG_BYTES, { error: tagError }),
  z.refine((text) => Buffer.byteLength(text) <= MAX_TAG_BYTES && !text.includes("\0"), { error: tagError }),
);

const threadPoolSize = z.pipe(
  wholeNumber(0, MAX_THREAD_POOL_SIZE),
  z.transform((threads) => (threads === 0 ? DEFAULT_THREAD_POOL_SIZE : threads)),
);

const timeoutError = `seconds from 0 to ${MAX_TIMEOUT_SEC}, such as 1 or 0.5`;
const seconds = z
  .number({ error: timeoutError })
  .check(z.gte(0, { error: timeoutError }), z.lte(MAX_TIMEOUT_SEC, { error: timeoutError }));

const xattrMap = z.pipe(
  z.string({ error: "rules such as :map::user.virtiofs.:" }),
  z.transform((text, context) => {
    const map = parseXattrMap(text);
    if ("expected" in map) {
      context.issues.push({ code: "custom", input: text, message: map.expected });
      return z.NEVER;
    }
    return map;
  }),
);

/** What the guest may cache and how: docs/cache-policies.md. */
const cacheFields = {
  cache: z
    ._default(oneOf(CACHE_POLICY_NAMES), "auto")
    .check(
      z.describe(
        "What the guest may cache: auto 1 s, or 1 day where nobody else changes files; always and metadata 1 day; never nothing",
      ),
    ),
  timeout: z.optional(
    seconds.check(z.describe("Seconds that names and attributes are cached, instead of the policy's")),
  ),
  entryTimeout: z.optional(seconds.check(z.describe("Seconds that names are cached"))),
  attrTimeout: z.optional(seconds.check(z.describe("Seconds that attributes are cached"))),
  negativeTimeout: z.optional(
    seconds.check(z.describe("Seconds that the guest believes that a name does not exist; 0 unless given")),
  ),
  writeback: z
    ._default(flag, false)
    .check(z.describe("The guest's page cache takes writes and writes them back later")),
  allowMmap: z
    ._default(flag, false)
    .check(z.describe("Files may be mapped shared although their data is not cached (Linux 6.6 and newer)")),
  readdirplus: z._default(flag, true).check(z.describe("Directory listings bring the entries' attributes")),
};

/** What every share has, whatever is behind it. */
const commonFields = {
  socketPath: path.check(z.describe("Unix socket on which the vhost-user front-end connects")),
  tag: z.optional(
    tag.check(z.describe("Name that guests mount, when the server and not the front-end gives it")),
  ),
  readonly: z._default(flag, false).check(z.describe("Refuse every change by the guest with EROFS")),
  ...cacheFields,
  xattr: z
    ._default(flag, false)
    .check(z.describe("Extended attributes of a host directory (a memory share always has them)")),
  xattrmap: z.optional(
    xattrMap.check(
      z.describe("Rules that rename or refuse extended attributes, as virtiofsd's; implies xattr"),
    ),
  ),
  posixAcl: z
    ._default(oneOf(POSIX_ACL_MODES), "never")
    .check(z.describe("POSIX ACLs: never, auto where guest and backend have them, always; implies xattr")),
  killprivV2: z.optional(
    flag.check(
      z.describe(
        "The server, not the guest, clears setuid and setgid when files are changed; unless given, only where file" +
          " data is not cached, in overlays and in buckets",
      ),
    ),
  ),
  fileLocks: z.optional(
    flag.check(
      z.describe(
        "The server keeps file locks and hears of each close, instead of the guest; unless given, in all shares but" +
          " overlays",
      ),
    ),
  ),
  openRequests: z.optional(
    flag.check(
      z.describe(
        "The guest asks when it opens files; otherwise, where it alone changes them, caches them and keeps locks, it" +
          " reads and writes without, and what forbids that is said then. Default true",
      ),
    ),
  ),
  announceSubmounts: z
    ._default(flag, true)
    .check(z.describe("The guest sees mount points in the share as file systems of their own")),
  threadPoolSize: z
    ._default(threadPoolSize, DEFAULT_THREAD_POOL_SIZE)
    .check(z.describe("Threads for I/O that may block; 0 means the default")),
  spinUs: z
    ._default(wholeNumber(0, MAX_SPIN_US), 50)
    .check(z.describe("Microseconds to poll for more requests before sleeping; 0 never polls")),
};

const passthroughShare = z.strictObject({
  backend: z.literal("passthrough"),
  ...commonFields,
  sharedDir: path.check(z.describe("Host directory to share")),
  allowDirectIo: z
    ._default(flag, false)
    .check(z.describe("Open the host's files with O_DIRECT for guests that ask")),
  inodeFileHandles: z
    ._default(oneOf(FILE_HANDLE_MODES), "prefer")
    .check(
      z.describe(
        "File handles instead of an open descriptor per inode that the guest knows: never, prefer, mandatory",
      ),
    ),
});

const memoryShare = z.strictObject({
  backend: z.literal("memory"),
  ...commonFields,
  size: z
    ._default(size, 2 ** 30)
    .check(
      z.describe("Most bytes that file data may take: bytes, or a size such as 512MiB or 1GiB. Default 1GiB"),
    ),
  inodes: z.optional(
    wholeNumber(1, MAX_INODES).check(z.describe("Most files and directories; unlimited unless given")),
  ),
  seed: z.optional(
    path.check(z.describe("Directory or tar archive (also .gz) that the share starts as a copy of")),
  ),
  save: z.optional(
    path.check(z.describe("Tar archive (.gz: compressed) that the share is saved as when it ends")),
  ),
});

export const OVERLAY_XATTR_MODES = ["auto", "trusted", "user"] as const;
const SWITCHES = ["on", "off"] as const;
const MOST_LOWERS = 500;

const layersError = `1 to ${MOST_LOWERS} layers, that on top first`;

const overlayShare = z.strictObject({
  backend: z.literal("overlay"),
  ...commonFields,
  lower: z
    .array(path, { error: layersError })
    .check(z.minLength(1, { error: layersError }), z.maxLength(MOST_LOWERS, { error: layersError }))
    .check(
      z.describe(
        "Layers that are never changed, the one on top first: host directories, or s3:BUCKET or s3:BUCKET/PREFIX",
      ),
    ),
  upper: z.optional(
    path.check(
      z.describe("Layer that takes all changes: a host directory, or memory:SIZE; read-only unless given"),
    ),
  ),
  work: z.optional(
    path.check(
      z.describe(
        "Directory on the upper layer's file system where changes are prepared; unless given, beside the upper" +
          " layer with .work added to its name",
      ),
    ),
  ),
  redirectDir: z
    ._default(oneOf(SWITCHES), "on")
    .check(z.describe("Directories of lower layers can be renamed; off: EXDEV, and programs copy")),
  index: z
    ._default(oneOf(SWITCHES), "on")
    .check(
      z.describe(
        "Hard links of lower files stay links when they are copied up; off: each name is copied apart",
      ),
    ),
  metacopy: z
    ._default(oneOf(SWITCHES), "off")
    .check(
      z.describe(
        "Changes of owner, mode, times and the like leave a file's data in its lower layer until it is written",
      ),
    ),
  volatile: z
    ._default(flag, false)
    .check(z.describe("Nothing is synchronised; not to be used after a crash")),
  warmUp: z
    ._default(oneOf(SWITCHES), "on")
    .check(
      z.describe(
        "Until a guest asks for something, files in /dev/shm are made and removed so that the server is fast" +
          " from the start",
      ),
    ),
  overlayXattr: z
    ._default(oneOf(OVERLAY_XATTR_MODES), "auto")
    .check(z.describe("Attributes that hold the overlay's own marks: trusted, user, or auto by privilege")),
  ...s3ReadingFields,
});

const s3Share = z.strictObject({ backend: z.literal("s3"), ...commonFields, ...s3Fields });

/** The configuration of one share, as YAML or JSON has it and the command line spells it. */
export const shareSchema = z.discriminatedUnion(
  "backend",
  [passthroughShare, memoryShare, overlayShare, s3Share],
  {
    error: `one of ${BACKEND_NAMES.join(", ")}`,
  },
);

/** Names of the settings that each backend knows. */
export const SETTINGS_OF_BACKEND: Readonly<Record<BackendName, readonly string[]>> = {
  passthrough: Object.keys(passthroughShare.shape),
  memory: Object.keys(memoryShare.shape),
  overlay: Object.keys(overlayShare.shape),
  s3: Object.keys(s3Share.shape),
};

/** A checked share with every default filled in. Sizes are bytes. */
export type ShareConfig = Readonly<z.output<typeof shareSchema>>;
export type PassthroughShareConfig = Extract<ShareConfig, { backend: "passthrough" }>;
export type MemoryShareConfig = Extract<ShareConfig, { backend: "memory" }>;
export type OverlayShareConfig = Extract<ShareConfig, { backend: "overlay" }>;
export type S3ShareConfig = Extract<ShareConfig, { backend: "s3" }>;
