import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { MountedShare } from "./mounted-share.js";

/** A description of every file below a directory: what must be the same whoever mounts the layers. */
export function describeTree(directory: string): string {
  const format = "%P %y %m %U:%G %n %i %s %l\\n";
  return execFileSync("sh", ["-c", `find . -mindepth 1 -printf '${format}' | sort`], {
    cwd: directory,
    encoding: "utf8",
  });
}

/** Layers in a temporary directory, mounted by us or by the kernel. */
export class Layers {
  readonly directory = mkdtempSync(join(tmpdir(), "overlay-"));
  readonly lowers: readonly string[];
  readonly upper = join(this.directory, "upper");
  readonly work = join(this.directory, "upper.work");

  /** @param count lower layers; the first is on top */
  constructor(count = 2) {
    this.lowers = Array.from({ length: count }, (_, index) => join(this.directory, `lower-${index}`));
    for (const layer of [...this.lowers, this.upper]) {
      mkdirSync(layer);
    }
    onTestFinished(() => rmSync(this.directory, { recursive: true }));
  }

  /** Writes a file of a lower layer, with its directories. @returns its path */
  lower(index: number, path: string, content = path): string {
    const file = join(this.lowers[index] as string, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
    return file;
  }

  /** The server's arguments. */
  args(...more: string[]): string[] {
    const lowers = this.lowers.flatMap((lower) => ["--lower", lower]);
    return ["--backend", "overlay", ...lowers, "--upper", this.upper, ...more];
  }

  /** Runs `use` with the overlay mounted through the gateway. */
  async mounted<T>(use: (path: string) => T, args = this.args()): Promise<T> {
    const share = await MountedShare.open(args);
    let result: T;
    try {
      result = use(share.path);
    } catch (error) {
      await share.close();
      throw error;
    }
    const { mount, gateway, log } = await share.close();
    if (mount !== 0 || gateway !== 0 || log.includes("ERROR")) {
      throw new Error(`mount ended with ${mount}, the server with ${gateway}:\n${log}`);
    }
    return result;
  }

  /** Runs `use` with the overlay mounted by the kernel. */
  mountedByKernel<T>(use: (path: string) => T): T {
    const target = join(this.directory, "kernel");
    mkdirSync(target, { recursive: true });
    mkdirSync(this.work, { recursive: true });
    const layers = `lowerdir=${this.lowers.join(":")},upperdir=${this.upper},workdir=${this.work}`;
    const options = `${layers},index=on,redirect_dir=on`;
    execFileSync("mount", ["-t", "overlay", "-o", options, "overlay", target]);
    try {
      return use(target);
    } finally {
      execFileSync("umount", [target]);
    }
  }
}
