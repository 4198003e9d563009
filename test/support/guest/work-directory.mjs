// @ts-check
import { existsSync, rmSync } from "node:fs";
import * as fs from "node:fs/promises";
import path from "node:path";

/**
 * Builds a file or directory in a work directory beside it and then moves it into place, so that it is
 * there completely or not at all. When two processes build the same, either result will do.
 *
 * @param {string} target
 * @param {(workDirectory: string) => Promise<string>} build Returns the path of what it has built.
 */
export async function buildInPlace(target, build) {
  await fs.mkdir(path.dirname(target), { recursive: true });
  const workDirectory = await fs.mkdtemp(`${target}.tmp-`);
  const remove = () => rmSync(workDirectory, { recursive: true, force: true });
  process.on("exit", remove);
  try {
    const result = await build(workDirectory);
    await fs.rename(result, target).catch((error) => {
      if (!existsSync(target)) throw error;
    });
  } finally {
    process.off("exit", remove);
    remove();
  }
}
