import { accessSync, constants, statSync } from "node:fs";
import { dirname } from "node:path";
import { getSystemErrorMap } from "node:util";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import type { Logger } from "../../src/vfs/logger.js";
import { Planter } from "./planter.js";
import { Progress } from "./progress.js";
import { saveToTar } from "./save-tar.js";
import { seedFromDirectory } from "./seed-directory.js";
import { seedFromTar } from "./seed-tar.js";
import type { MemoryTree } from "./tree.js";

/** One line that a user can act on, whatever went wrong. */
function failure(option: string, path: string, err: unknown): GatewayError {
  const { errno, message } = err as { errno?: number; message?: string };
  const system = errno === undefined ? undefined : getSystemErrorMap().get(errno);
  const reason = system === undefined ? (message ?? String(err)) : system[1];
  return new GatewayError("environment", `${option}: ${JSON.stringify(path)}: ${reason}`, { cause: err });
}

/** Fills a fresh share from a directory or an archive. @throws GatewayError that names the option */
export async function seedTree(tree: MemoryTree, path: string, logger: Logger | undefined): Promise<void> {
  const planter = new Planter(tree);
  const progress = new Progress(logger, `seeding from ${path}`);
  try {
    if (statSync(path).isDirectory()) {
      await seedFromDirectory(planter, path, progress);
    } else {
      await seedFromTar(planter, path, progress);
    }
    planter.close();
  } catch (err) {
    throw failure("--seed", path, err);
  }
  progress.done();
}

/** Whether an archive can be saved under a path, before anything depends on it. @throws GatewayError */
export function checkSavePath(path: string): void {
  try {
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
  } catch (err) {
    throw failure("--save", path, err);
  }
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) {
    throw failure("--save", path, new Error("is a directory"));
  }
}

/** Saves a share. @throws GatewayError that names the option */
export async function saveTree(tree: MemoryTree, path: string, logger: Logger | undefined): Promise<void> {
  const progress = new Progress(logger, `saving to ${path}`);
  try {
    await saveToTar(tree.store, tree.root, path, progress);
  } catch (err) {
    throw failure("--save", path, err);
  }
  progress.done();
}
