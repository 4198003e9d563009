import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MountedShare } from "../../host/mounted-share.js";
import { Client, DEFAULT_INIT_FLAGS, InitFlag } from "../../support/frontend/index.js";
import { ALL_CAPABILITIES, type Capability, without } from "./capabilities.js";
import type { Environment, FileSystemKind } from "./cases.js";
import { ExecutorSystem, HostExecutor } from "./executor.js";
import { RingsSystem } from "./rings-system.js";

/** Our backends; an overlay's upper layer is a host directory or memory, and its files may be used without being opened. */
export type BackendName = "passthrough" | "memory" | "overlay" | "overlay-memory" | "overlay-unopened";

/** What our backends lack: passthrough has what the file system below it has. */
export const BACKEND_LACKS: Readonly<Record<BackendName, readonly Capability[]>> = {
  passthrough: ["hugeFiles", "largeXattrs"],
  memory: ["linkLimit"],
  overlay: ["hugeFiles", "largeXattrs", "linkLimit"],
  "overlay-memory": ["linkLimit"],
  // What chattr forbids is said by write(2) and not by open(2).
  "overlay-unopened": ["hugeFiles", "largeXattrs", "linkLimit", "inodeFlags"],
};
const EXT4_MAGIC = 0xef53;
/** Where passthrough shares lie may be something else than ext4. */
const TEMPORARY_LACKS: readonly Capability[] = statfsSync(tmpdir()).type === EXT4_MAGIC ? [] : ["linkLimit"];
/** What FUSE's kernel side does not pass on, whatever the server can do. */
const FUSE_LACKS: readonly Capability[] = ["collapseRange"];
export const NOT_OVER_RINGS: readonly Capability[] = [
  "kernel",
  "inodeFlags",
  "posixAcl",
  "birthTime",
  ...FUSE_LACKS,
];
/** What a kernel's mount of a share lacks besides; 65,000 links through one take too long, and show no more. */
export const NOT_MOUNTED: readonly Capability[] = [...FUSE_LACKS, "linkLimit"];
const SERVER_ARGS: Readonly<Record<BackendName, (directory: string) => readonly string[]>> = {
  passthrough: (directory) => ["--shared-dir", directory, "--xattr"],
  memory: () => ["--backend", "memory", "--size", "256MiB"],
  overlay: (directory) => [...overlayOf(directory), "--upper", join(directory, "upper")],
  "overlay-memory": (directory) => [...overlayOf(directory), "--upper", "memory:256MiB"],
  "overlay-unopened": (directory) => [...SERVER_ARGS.overlay(directory), "--no-open-requests"],
};
/** Whose rules hold: an overlay's files are those of its upper layer. */
const KINDS: Readonly<Record<BackendName, FileSystemKind>> = {
  passthrough: "passthrough",
  memory: "memory",
  overlay: "passthrough",
  "overlay-memory": "memory",
  "overlay-unopened": "passthrough",
};

/** Makes two lower layers, and a directory for an upper one. */
function overlayOf(directory: string): string[] {
  const [top, bottom] = [join(directory, "top"), join(directory, "bottom")];
  for (const layer of [top, bottom, join(directory, "upper")]) {
    mkdirSync(join(layer, "lower"), { recursive: true });
  }
  return ["--backend", "overlay", "--lower", top, "--lower", bottom];
}

function lacksOf(backend: BackendName, custom: CustomBackend | undefined): readonly Capability[] {
  if (custom === undefined) return [...BACKEND_LACKS[backend], ...TEMPORARY_LACKS];
  return ALL_CAPABILITIES.filter((name) => !custom.declared.has(name));
}

function scratchDirectory(): string {
  return mkdtempSync(join(tmpdir(), "conformance-"));
}

/** A backend that is not ours, served in the place of ours. */
export interface CustomBackend {
  readonly kind: FileSystemKind;
  /** What its author says that it can do. */
  readonly declared: ReadonlySet<Capability>;
}

/** A backend through the FUSE session and real rings, where nobody but the server can keep locks. */
export async function ringsEnvironment(backend: BackendName, custom?: CustomBackend): Promise<Environment> {
  const flags = DEFAULT_INIT_FLAGS | InitFlag.HANDLE_KILLPRIV_V2;
  const serve = (directory: string) => [...SERVER_ARGS[backend](directory), "--file-locks"];
  const client = await Client.mount({ serve, init: { flags } });
  const lacks = [...lacksOf(backend, custom), ...NOT_OVER_RINGS];
  const accepted = client.initReply?.flags ?? 0n;
  if ((accepted & InitFlag.HANDLE_KILLPRIV_V2) === 0n) lacks.push("killPrivileges", "killPrivilegesOnOpen");
  return {
    name: `${backend} over rings`,
    kind: custom?.kind ?? KINDS[backend],
    system: new RingsSystem(client),
    capabilities: without(...lacks),
    close: async () => {
      await client.unmount();
    },
  };
}

/** A directory of any mounted file system, on this host. */
export async function directoryEnvironment(
  name: string,
  directory: string,
  options: {
    kind: FileSystemKind;
    capabilities: ReadonlySet<Capability>;
    close?: () => Promise<void>;
  },
): Promise<Environment> {
  const executor = new HostExecutor();
  let base: string;
  try {
    base = mkdtempSync(join(directory, "conformance-"));
    execFileSync("chmod", ["755", base]);
  } catch (error) {
    // A file system that cannot be used must not stay mounted; its own end says why.
    await executor.close();
    await options.close?.();
    throw error;
  }
  const system = new ExecutorSystem(executor.wire, base);
  return {
    name,
    kind: options.kind,
    system,
    capabilities: options.capabilities,
    close: async () => {
      system.remove(base);
      await executor.close();
      await options.close?.();
    },
  };
}

/** A backend's share, mounted on this host through /dev/fuse. */
export async function mountEnvironment(backend: BackendName, custom?: CustomBackend): Promise<Environment> {
  const scratch = scratchDirectory();
  const shared = join(scratch, "shared");
  mkdirSync(shared);
  const lacks = lacksOf(backend, custom);
  const acl = lacks.includes("posixAcl") ? [] : ["--posix-acl"];
  const share = await MountedShare.open([...SERVER_ARGS[backend](shared), "--killpriv-v2", ...acl]);
  return directoryEnvironment(`${backend} mounted`, share.path, {
    kind: custom?.kind ?? KINDS[backend],
    capabilities: without(...lacks, ...NOT_MOUNTED),
    close: async () => {
      const { mount, gateway, log } = await share.close();
      rmSync(scratch, { recursive: true });
      if (mount !== 0 || gateway !== 0 || log.includes("ERROR")) {
        throw new Error(`mount ended with ${mount}, the server with ${gateway}:\n${log}`);
      }
    },
  });
}

const REFERENCES = {
  ext4: {
    lacks: ["hugeFiles", "largeXattrs"],
    mount: (scratch: string, target: string) => {
      const image = join(scratch, "image");
      execFileSync("truncate", ["-s", "512M", image]);
      execFileSync("mkfs.ext4", ["-q", "-F", "-I", "256", "-O", "ea_inode", image]);
      execFileSync("mount", ["-o", "loop,strictatime", image, target]);
    },
  },
  tmpfs: {
    lacks: ["collapseRange", "zeroRange", "linkLimit"],
    mount: (_scratch: string, target: string) => {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=512m,strictatime", "conformance", target]);
    },
  },
} satisfies Record<string, { lacks: Capability[]; mount(scratch: string, target: string): void }>;

/** A file system of the kernel, which decides what is right. */
export async function referenceEnvironment(kind: "ext4" | "tmpfs"): Promise<Environment> {
  const scratch = scratchDirectory();
  const target = join(scratch, "mount");
  mkdirSync(target);
  REFERENCES[kind].mount(scratch, target);
  return directoryEnvironment(kind, target, {
    kind,
    capabilities: without(...REFERENCES[kind].lacks),
    close: async () => {
      execFileSync("umount", [target]);
      rmSync(scratch, { recursive: true });
    },
  });
}
