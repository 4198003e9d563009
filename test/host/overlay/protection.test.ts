import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { whyNoHostMounts } from "../mounted-share.js";
import { Layers } from "../overlay-layers.js";

describe.skipIf(whyNoHostMounts() !== undefined)("an overlay", () => {
  test("lets nobody change what chattr protects in a lower layer, until it is allowed", async () => {
    const layers = new Layers(1);
    const files = [layers.lower(0, "immutable"), layers.lower(0, "append")] as const;
    layers.lower(0, "directory/file");
    const directory = join(layers.lowers[0] as string, "directory");
    const flags = (sign: "+" | "-") => {
      for (const path of [files[0], directory]) execFileSync("chattr", [`${sign}i`, path]);
      execFileSync("chattr", [`${sign}a`, files[1]]);
    };
    writeFileSync(layers.lower(0, "plain"), "plain");
    flags("+");
    try {
      const refused = (share: string) => {
        const at = (name: string) => join(share, name);
        for (const name of ["immutable", "append"]) {
          expect(() => chmodSync(at(name), 0o600)).toThrow("EPERM");
          expect(() => writeFileSync(at(name), "new")).toThrow("EPERM");
          expect(() => truncateSync(at(name), 1)).toThrow("EPERM");
          expect(() => renameSync(at(name), at("renamed"))).toThrow("EPERM");
          expect(() => renameSync(at("plain"), at(name))).toThrow("EPERM");
          expect(() => linkSync(at(name), at("link"))).toThrow("EPERM");
          expect(() => unlinkSync(at(name))).toThrow("EPERM");
          expect(readFileSync(at(name), "utf8")).toBe(name);
        }
        expect(() => writeFileSync(at("directory/new"), "")).toThrow("EPERM");
        expect(() => unlinkSync(at("directory/file"))).toThrow("EPERM");
        expect(() => rmdirSync(at("directory"))).toThrow(/EPERM|ENOTEMPTY/);
        chmodSync(at("directory/file"), 0o600);
      };
      layers.mountedByKernel(refused);
      rmSync(layers.upper, { recursive: true });
      rmSync(layers.work, { recursive: true });
      mkdirSync(layers.upper);
      await layers.mounted((share) => {
        refused(share);
        execFileSync("chattr", ["-i", join(share, "immutable")]);
        writeFileSync(join(share, "immutable"), "changed");
        expect(readFileSync(join(share, "immutable"), "utf8")).toBe("changed");
      });
      expect(readFileSync(files[0], "utf8")).toBe("immutable");
    } finally {
      flags("-");
    }
  });
});
