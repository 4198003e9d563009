import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MountedShare } from "../mounted-share.js";

/** The layers of an overlay: directories of one file system, lowers from the top. */
export interface Layers {
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
}

/** An overlay that is mounted. */
export interface MountedOverlay {
  readonly path: string;
  /** Unmounts and checks that its server, if it has one, ended well. */
  close(): Promise<void>;
}

/** Something that mounts overlays. */
export interface Implementation {
  readonly name: string;
  mount(layers: Layers): Promise<MountedOverlay>;
}

const KERNEL_SETTINGS = "redirect_dir=on,index=on,metacopy=off,xino=on";

export const kernel: Implementation = {
  name: "kernel",
  async mount({ lowers, upper, work }) {
    const path = mkdtempSync(join(tmpdir(), "gateway-kernel-"));
    const layers = `lowerdir=${lowers.join(":")},upperdir=${upper},workdir=${work}`;
    execFileSync("mount", ["-t", "overlay", "-o", `${layers},${KERNEL_SETTINGS}`, "overlay", path]);
    return {
      path,
      async close() {
        execFileSync("umount", [path]);
        rmSync(path, { recursive: true });
      },
    };
  },
};

export const gateway: Implementation = {
  name: "gateway",
  async mount({ lowers, upper, work }) {
    const args = ["--backend", "overlay", ...lowers.flatMap((lower) => ["--lower", lower])];
    const share = await MountedShare.open([...args, "--upper", upper, "--work", work]);
    return {
      path: share.path,
      async close() {
        const { mount, gateway: exit, log } = await share.close();
        if (mount !== 0 || exit !== 0 || /ERROR/.test(log)) {
          throw new Error(`the mount ended with ${mount}, the gateway with ${exit}:\n${log}`);
        }
      },
    };
  },
};

/** A file system in memory for layers; remove it with the function that is returned. */
export function scratchFileSystem(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "gateway-overlay-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=2G", "tmpfs", path]);
  return {
    path,
    remove() {
      execFileSync("umount", ["-l", path]);
      rmSync(path, { recursive: true });
    },
  };
}

/** Empty directories for a writable layer. */
export function writableLayer(scratch: string, name: string): Pick<Layers, "upper" | "work"> {
  const layer = { upper: join(scratch, name, "upper"), work: join(scratch, name, "work") };
  mkdirSync(layer.upper, { recursive: true });
  mkdirSync(layer.work);
  return layer;
}
