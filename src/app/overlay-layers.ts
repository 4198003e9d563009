import { mkdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { MemoryBackend } from "../../backends/memory/memory-backend.js";
import type { LayerSource, UpperSource } from "../../backends/overlay/layers.js";
import type { XattrNamespace } from "../../backends/overlay/xattr-names.js";
import { PassthroughBackend } from "../../backends/passthrough/passthrough-backend.js";
import type { OverlayShareConfig } from "../config/share-config.js";
import { parseSize } from "../config/size.js";
import { ATTR_WORDS } from "../vfs/attributes.js";
import { GatewayError } from "../vfs/gateway-error.js";
import type { Logger } from "../vfs/logger.js";
import type { Caller, VfsNode } from "../vfs/node.js";

const MEMORY = /^memory(?::(.*))?$/;
const DEFAULT_MEMORY_BYTES = 2 ** 30;
const ROOT_MODE = 0o755;

function hostDirectory(path: string, option: string, config: OverlayShareConfig, logger: Logger) {
  return new PassthroughBackend({
    sharedDir: path,
    option,
    xattr: true,
    posixAcl: config.posixAcl !== "never",
    allowDirectIo: false,
    logger,
  });
}

/** A layer that is read: a host directory. */
export function lowerSource(path: string, config: OverlayShareConfig, logger: Logger): LayerSource {
  const backend = hostDirectory(path, "--lower", config, logger);
  return { name: `--lower ${JSON.stringify(path)}`, backend, open: () => backend.start() };
}

/** The layer that is written: a host directory, or memory. */
export function upperSource(text: string, config: OverlayShareConfig, logger: Logger): UpperSource {
  const memory = MEMORY.exec(text);
  if (memory !== null) {
    return memoryUpper(memory[1], config, logger);
  }
  const backend = hostDirectory(text, "--upper", config, logger);
  const upper = resolve(text);
  const work =
    config.work === undefined ? join(dirname(upper), `${basename(upper)}.work`) : resolve(config.work);
  return {
    name: `--upper ${JSON.stringify(text)}`,
    backend,
    open: () => backend.start(),
    openWork: () => {
      mkdirSync(join(work, "work"), { recursive: true, mode: 0o700 });
      return backend.attach(join(work, "work"), "--work");
    },
  };
}

const ROOT: Caller = { uid: 0, gid: 0, pid: 0, supplementaryGroup: -1, umask: 0, clearsPrivileges: false };

function memoryUpper(size: string | undefined, config: OverlayShareConfig, logger: Logger): UpperSource {
  const sizeBytes = size === undefined ? DEFAULT_MEMORY_BYTES : parseSize(size);
  if (sizeBytes === undefined || config.work !== undefined) {
    throw config.work === undefined
      ? new GatewayError(
          "usage",
          `--upper: expected memory:SIZE such as memory:1GiB, got ${JSON.stringify(size)}`,
        )
      : new GatewayError("usage", "--work: a memory layer needs none");
  }
  const backend = new MemoryBackend({ sizeBytes, posixAcl: true, logger });
  let root: VfsNode;
  const makeDirectory = (name: string): VfsNode => {
    const made = backend.mkdir(ROOT, root, name, ROOT_MODE, new Uint32Array(ATTR_WORDS));
    if (typeof made === "number") {
      throw new GatewayError("environment", `--upper: ${JSON.stringify(size)} is too small`);
    }
    return made;
  };
  return {
    name: "--upper memory",
    backend,
    open: async () => {
      root = await backend.start();
      return makeDirectory("upper");
    },
    openWork: () => makeDirectory("work"),
  };
}

/** Where the overlay's marks are kept: only root can have "trusted." ones. */
export function xattrNamespace(wanted: OverlayShareConfig["overlayXattr"]): XattrNamespace {
  if (wanted !== "auto") {
    return wanted;
  }
  return process.geteuid?.() === 0 ? "trusted" : "user";
}
