import { existsSync, lstatSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Whether a directory belongs to this user. False also when it is gone. */
function isOurs(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.uid === process.getuid?.();
}

/**
 * Makes a directory of this process, whose name begins with `prefix` and the process id, and removes those of the same
 * prefix that processes left which did not end by themselves.
 */
export function makeTemporaryDirectory(parent: string, prefix: string): string {
  for (const name of readdirSync(parent)) {
    const pid = name.startsWith(prefix) ? Number(name.slice(prefix.length).split("-", 1)[0]) : 0;
    const path = join(parent, name);
    if (pid > 0 && !existsSync(`/proc/${pid}`) && isOurs(path)) {
      rmSync(path, { recursive: true, force: true });
    }
  }
  return mkdtempSync(join(parent, `${prefix}${process.pid}-`));
}
