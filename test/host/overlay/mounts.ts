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

const KERNEL_SETTINGS = "redirect_dir=on,index=on,xino=on";

/** @param metacopy changes of attributes leave the data of a file below */
export function kernel(metacopy: "on" | "off"): Implementation {
  return {
    name: "kernel",
    async mount({ lowers, upper, work }) {
      const path = mkdtempSync(join(tmpdir(), "gateway-kernel-"));
      const layers = `lowerdir=${lowers.join(":")},upperdir=${upper},workdir=${work}`;
      const options = `${layers},${KERNEL_SETTINGS},metacopy=${metacopy}`;
      execFileSync("mount", ["-t", "overlay", "-o", options, "overlay", path]);
      return {
        path,
        async close() {
          execFileSync("umount", [path]);
          rmSync(path, { recursive: true });
        },
      };
    },
  };
}

/** @param metacopy as for the kernel */
export function gateway(metacopy: "on" | "off"): Implementation {
  return {
    name: "gateway",
    async mount({ lowers, upper, work }) {
      const args = ["--backend", "overlay", ...lowers.flatMap((lower) => ["--lower", lower])];
      const layers = [...args, "--upper", upper, "--work", work];
      const share = await MountedShare.open([...layers, "--metacopy", metacopy]);
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
}

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
