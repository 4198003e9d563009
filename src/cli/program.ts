import { Command, Option } from "commander";
import { packageVersion } from "./version.js";

const DESCRIPTION =
  "Serves a directory to virtual machines: a vhost-user virtio-fs back-end for QEMU, cloud-hypervisor and" +
  " others. One process serves one share to one front-end and ends when it disconnects.";

const EXAMPLES = `
Sizes are a whole number and a unit: K, M, G, T and KiB, MiB, GiB, TiB are
powers of 1024; kB, MB, GB, TB are powers of 1000. The last of a repeated
option wins.

Exit codes: 0 after the front-end disconnected, 1 for an error of the host or
the front-end and after SIGTERM, SIGINT or SIGHUP, 2 for a wrong command line.

"virtiofs-gateway layer --help" tells how to import layers of images and to
export a writable layer as one.

Examples:
  virtiofs-gateway --socket-path /run/vm1-fs.sock --shared-dir /srv/vm1
  virtiofs-gateway --socket-path /run/vm1-tmp.sock --backend memory --size 1GiB`;

const OPTIONS: readonly (readonly [flags: string, description: string])[] = [
  ["--socket-path <path>", "unix socket to listen on; an old socket nobody serves is replaced"],
  ["--shared-dir <dir>", "host directory to share (passthrough)"],
  ["--backend <name>", "what is behind the share: passthrough, memory, overlay or s3 (default: passthrough)"],
  ["--size <size>", "most bytes that file data may take (memory; default: 1GiB)"],
  ["--inodes <n>", "most files and directories (memory; default: no limit)"],
  ["--seed <path>", "directory or tar archive, also .gz, that the share starts as a copy of (memory)"],
  ["--save <tar>", "archive that the share is saved as when it ends; .gz or .tgz compresses (memory)"],
  [
    "--lower <layer>",
    "layer that is never changed, a directory or s3:<bucket>/<prefix>; repeat it, the one on top first (overlay)",
  ],
  [
    "--upper <layer>",
    "layer that takes all changes, a directory or memory:<size>; none: read-only (overlay)",
  ],
  ["--work <dir>", "empty directory on the upper layer's file system (overlay; default: <upper>.work)"],
  [
    "--redirect-dir <switch>",
    "on or off: directories of lower layers can be renamed, else EXDEV (overlay; default: on)",
  ],
  ["--index <switch>", "on or off: hard links of lower files survive copy-up (overlay; default: on)"],
  [
    "--metacopy <switch>",
    "on or off: a change of attributes leaves the data in the lower layer (overlay; default: off)",
  ],
  ["--volatile", "never wait for the disk; the upper layer is lost in a crash (overlay)"],
  ["--warm-up <switch>", "on or off: make the server fast until a guest has booted (overlay; default: on)"],
  ["--overlay-xattr <namespace>", "trusted, user or auto: where layers keep the overlay's marks (overlay)"],
  ["--bucket <name>", "bucket to share; credentials come from the environment, profiles or the machine (s3)"],
  ["--prefix <prefix>", "only keys with this prefix, such as vm1/ (s3)"],
  ["--region <name>", "region of the bucket (s3, overlay; default: found out)"],
  ["--endpoint <url>", "server other than AWS (s3, overlay)"],
  ["--path-style", "the bucket is in the path of URLs and not in the host name (s3, overlay)"],
  ["--anonymous", "do not sign requests: public buckets (s3, overlay)"],
  [
    "--cache-dir <dir>",
    "directory for what was read of objects, kept for the next start (s3, overlay; default: temporary)",
  ],
  ["--cache-size <size>", "most bytes of it (s3, overlay; default: 10GiB, 1GiB when temporary)"],
  [
    "--staging-dir <dir>",
    "directory for changes that are not in the bucket yet (s3; default: below /var/lib/virtiofs-gateway)",
  ],
  [
    "--fsync <mode>",
    "where data is when fsync returns: remote (in the bucket), local (in the staging directory) or off (s3;" +
      " default: remote)",
  ],
  [
    "--consistency <mode>",
    "how long what the bucket said is believed: strict (not at all), close-to-open (1 s), cached (1 min) or" +
      " immutable (s3; default: close-to-open)",
  ],
  [
    "--memory-limit <size>",
    "memory for data that is being fetched and uploaded (s3, overlay; default: 256MiB)",
  ],
  [
    "--attributes <dialect>",
    "how owner, mode and times are stored with objects: s3fs, aws or none; all are read (s3, overlay; default: s3fs)",
  ],
  [
    "--on-conflict <policy>",
    "when somebody else has changed an object meanwhile: error (keep the local version in lost+found), overwrite" +
      " or s3-wins (s3; default: error)",
  ],
  ["--tag <name>", "name that guests mount, 1 to 36 bytes; only for front-ends that ask the server for it"],
  ["--readonly", "refuse every change by the guest with EROFS"],
  [
    "--cache <policy>",
    "what the guest may cache: auto (1 s), always (1 day, for files nobody else changes), never, or metadata" +
      " (attributes 1 day, file data never) (default: auto)",
  ],
  [
    "--timeout <seconds>",
    "how long names and attributes are cached, instead of the policy's time; 0.5 is half a second",
  ],
  ["--entry-timeout <seconds>", "the same for names alone"],
  ["--attr-timeout <seconds>", "the same for attributes alone"],
  ["--negative-timeout <seconds>", "how long the guest believes that a name does not exist (default: 0)"],
  ["--writeback", "the guest's page cache takes writes and writes them back later (cache auto or always)"],
  ["--allow-mmap", "shared mappings although file data is not cached (cache never or metadata; Linux 6.6)"],
  ["--no-readdirplus", "directory listings without the entries' attributes"],
  ["--allow-direct-io", "open the host's files with O_DIRECT for programs that ask for it (passthrough)"],
  ["--xattr", "extended attributes of the host directory; a memory share always has them (default: off)"],
  [
    "--xattrmap <rules>",
    "rules that rename or refuse extended attributes, such as :map::user.virtiofs.:; implies --xattr",
  ],
  [
    "--posix-acl [mode]",
    "POSIX ACLs: never, auto (where guest and backend have them) or always, which is also meant without a mode;" +
      " implies --xattr (default: never)",
  ],
  [
    "--killpriv-v2",
    "the server, not the guest, clears setuid and setgid when files are changed (default where file data is not" +
      " cached, for overlays and for buckets)",
  ],
  ["--no-killpriv-v2", "leave that to the guest (default elsewhere)"],
  ["--file-locks", "the server keeps file locks and hears of each close (default, except for overlays)"],
  ["--no-file-locks", "the guest keeps them, and closes files without asking (default for overlays)"],
  ["--open-requests", "the guest asks when it opens files (default)"],
  [
    "--no-open-requests",
    "it reads and writes without, where it alone changes, caches and locks files (overlays)",
  ],
  ["--announce-submounts", "mount points in the share are file systems of their own in the guest (default)"],
  ["--no-announce-submounts", "they look like directories of the share"],
  [
    "--inode-file-handles <mode>",
    "never, prefer or mandatory: reach inodes by file handles, so that a guest that knows many files does not take" +
      " a descriptor for each; needs CAP_DAC_READ_SEARCH (passthrough; default: prefer)",
  ],
  ["--thread-pool-size <n>", "threads for I/O that may block; 0 means the default (default: 4)"],
  [
    "--spin-us <n>",
    "microseconds to poll for more requests before sleeping, which spares the wake-up; backs off when it does not" +
      " pay; 0 never polls (default: 50)",
  ],
  ["--log-level <level>", "error, warn, info, debug, trace or off (default: info)"],
  ["--log-format <format>", "text for people or json for machines, on standard error (default: text)"],
  ["--print-capabilities", "print what this server can do, as JSON for launchers, and exit"],
];

/** What the user gave, by setting name; nothing is checked and no default filled in. */
export type RawOptions = Record<string, string | boolean | string[] | undefined>;

/** Long names of all options, for suggestions. */
export function optionNames(program: Command): string[] {
  const names = program.options.map((option) => option.long ?? option.flags);
  return [...names, "--help"];
}

/** A command that throws CommanderError and prints no error itself. */
export function quiet(command: Command): Command {
  return command
    .allowExcessArguments(false)
    .showSuggestionAfterError(false)
    .configureOutput({ outputError: () => {} })
    .exitOverride()
    .helpOption("-h, --help", "print this help and exit");
}

/** The command line as commander knows it: it throws CommanderError and prints no error itself. */
export function createProgram(): Command {
  const program = quiet(new Command("virtiofs-gateway"))
    .description(DESCRIPTION)
    .usage("--socket-path <path> --shared-dir <dir> [options]")
    .version(`virtiofs-gateway ${packageVersion()}`, "-V, --version", "print the version and exit")
    .addHelpText("after", EXAMPLES);
  for (const [flags, description] of OPTIONS) {
    program.option(flags, description);
  }
  const lower = program.options.find(({ long }) => long === "--lower");
  lower?.argParser((path: string, before: string[] | undefined) => [...(before ?? []), path]);
  // virtiofsd's old name; an event keeps "the last one wins" true across both names.
  program.addOption(new Option("--socket <path>").hideHelp());
  program.on("option:socket", (path: string) => program.setOptionValueWithSource("socketPath", path, "cli"));
  return program;
}
