import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { importLayers } from "../../../src/layer/import.js";
import { type ArchiveEntry, archiveOf, digestOf, file } from "./archives.js";

const OCI = "application/vnd.oci.image";
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "gateway-images-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Files of an image by path. */
type Files = Map<string, Buffer>;

function addBlob(files: Files, bytes: Buffer): { digest: string; size: number } {
  const digest = digestOf(bytes);
  files.set(`blobs/sha256/${digest.slice(7)}`, bytes);
  return { digest, size: bytes.length };
}

function addJson(files: Files, value: unknown): { digest: string; size: number } {
  return addBlob(files, Buffer.from(JSON.stringify(value)));
}

/** Adds an image whose layers hold one file each; the descriptor of its manifest. */
async function addImage(files: Files, names: readonly string[], changes: { diffIds?: string[] } = {}) {
  const layers = [];
  const diffIds = [];
  for (const name of names) {
    const archive = await archiveOf(file(name));
    diffIds.push(digestOf(archive));
    layers.push({ mediaType: `${OCI}.layer.v1.tar+gzip`, ...addBlob(files, gzipSync(archive)) });
  }
  const rootfs = { type: "layers", diff_ids: changes.diffIds ?? diffIds };
  const config = addJson(files, { architecture: "amd64", os: "linux", rootfs });
  return { mediaType: `${OCI}.manifest.v1+json`, ...addJson(files, { schemaVersion: 2, config, layers }) };
}

function platform(architecture: string, variant?: string) {
  return { platform: { os: "linux", architecture, variant } };
}

function named(name: string) {
  return { annotations: { "org.opencontainers.image.ref.name": name } };
}

function setIndex(files: Files, ...manifests: object[]): void {
  files.set("oci-layout", Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  files.set("index.json", Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })));
}

function write(files: Files): string {
  const path = join(folder, "image");
  for (const [name, bytes] of files) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), bytes);
  }
  return path;
}

async function archive(files: Files, ...more: ArchiveEntry[]): Promise<string> {
  const entries = [...files].map(([path, bytes]) => file(path, bytes.toString("latin1")));
  const path = join(folder, "image.tar");
  writeFileSync(path, gzipSync(await archiveOf(...entries, ...more)));
  return path;
}

/** The files that each layer of an image has, base first. */
async function filesOf(
  source: string,
  choice: { platform?: string; image?: string } = {},
): Promise<string[]> {
  const output = join(folder, "output");
  const { platform = "linux/amd64", image } = choice;
  const request = { sources: [source], output, platform, image, maxSizeBytes: 2 ** 40 };
  const { layers } = await importLayers(request);
  return layers.map((layer) => readdirSync(layer).join());
}

describe("an OCI image layout", () => {
  it("in a directory or an archive gives its layers, base first", async () => {
    const files: Files = new Map();
    setIndex(files, await addImage(files, ["base", "middle", "top"]));
    expect(await filesOf(write(files))).toEqual(["base", "middle", "top"]);
    rmSync(join(folder, "output"), { recursive: true });
    expect(await filesOf(await archive(files))).toEqual(["base", "middle", "top"]);
  });

  it("with images for several platforms gives that of the one that is asked for", async () => {
    const files: Files = new Map();
    const index = addJson(files, {
      schemaVersion: 2,
      manifests: [
        { ...(await addImage(files, ["amd64"])), ...platform("amd64") },
        { ...(await addImage(files, ["arm64"])), ...platform("arm64", "v8") },
        {
          ...(await addImage(files, ["attestation"])),
          annotations: { "vnd.docker.reference.type": "attestation-manifest" },
        },
      ],
    });
    setIndex(files, { mediaType: `${OCI}.index.v1+json`, ...index, ...named("all") });
    const source = write(files);
    expect(await filesOf(source)).toEqual(["amd64"]);
    rmSync(join(folder, "output"), { recursive: true });
    expect(await filesOf(source, { platform: "linux/arm64", image: "all" })).toEqual(["arm64"]);
    rmSync(join(folder, "output"), { recursive: true });
    await expect(filesOf(source, { platform: "linux/s390x" })).rejects.toThrow(
      "has no image for linux/s390x; it has: linux/amd64, linux/arm64/v8",
    );
  });

  it("with several images needs a choice", async () => {
    const files: Files = new Map();
    const first = { ...(await addImage(files, ["1"])), ...named("first") };
    setIndex(files, first, { ...(await addImage(files, ["2"])), ...named("second") });
    const source = write(files);
    await expect(filesOf(source)).rejects.toThrow("choose with --image: first, second");
    await expect(filesOf(source, { image: "third" })).rejects.toThrow("has no image third");
    expect(await filesOf(source, { image: "second" })).toEqual(["2"]);
  });

  it.each<[string, (files: Files) => Promise<object>, RegExp]>([
    [
      "layer that is damaged",
      async (files) => {
        const descriptor = await addImage(files, ["f"]);
        const [path, bytes] = [...files][0] as [string, Buffer];
        // The time in gzip's header: it still unpacks to the same.
        files.set(path, Buffer.concat([bytes.subarray(0, 4), Buffer.from([1]), bytes.subarray(5)]));
        return descriptor;
      },
      /layer sha256:\w+ is damaged: expected sha256:\w+, got sha256:\w+/,
    ],
    [
      "layer that unpacks to something else",
      (files) => addImage(files, ["f"], { diffIds: [digestOf(Buffer.from("other"))] }),
      /layer sha256:\w+ \(unpacked\) is damaged/,
    ],
    [
      "layer too many",
      (files) => addImage(files, ["f"], { diffIds: [] }),
      /has 1 layers, but its configuration describes 0/,
    ],
    [
      "manifest that is damaged",
      async (files) => {
        const descriptor = await addImage(files, ["f"]);
        files.set(`blobs/sha256/${descriptor.digest.slice(7)}`, Buffer.from("{}"));
        return descriptor;
      },
      /manifest sha256:\w+ is damaged/,
    ],
    [
      "layer that is missing",
      async (files) => {
        const descriptor = await addImage(files, ["f"]);
        files.delete([...files.keys()][0] as string);
        return descriptor;
      },
      /not found/,
    ],
    [
      "digest that is a path",
      async () => ({ mediaType: `${OCI}.manifest.v1+json`, digest: "sha256:../../secret" }),
      /expected a digest such as sha256:/,
    ],
    [
      "manifest of another kind",
      async () => ({ mediaType: "text/plain" }),
      /expected an image manifest or index/,
    ],
  ])("with a %s is refused", async (_what, build, message) => {
    const files: Files = new Map();
    setIndex(files, await build(files));
    await expect(filesOf(write(files))).rejects.toThrow(message);
    expect(readdirSync(folder)).not.toContain("secret");
  });

  it("with an index that is not JSON is refused", async () => {
    const files: Files = new Map([["index.json", Buffer.from("{")]]);
    await expect(filesOf(write(files))).rejects.toThrow("index.json: not JSON");
  });
});

describe("what docker save writes", () => {
  it("gives its layers, links between them followed", async () => {
    const [base, top] = [await archiveOf(file("base")), await archiveOf(file("top"))];
    const rootfs = { diff_ids: [digestOf(base), digestOf(top), digestOf(base)] };
    const id = "a".repeat(64);
    const files: Files = new Map([
      [`${id}/layer.tar`, base],
      ["b/layer.tar", top],
      ["config.json", Buffer.from(JSON.stringify({ rootfs }))],
      [
        "manifest.json",
        Buffer.from(
          JSON.stringify([
            {
              Config: "config.json",
              RepoTags: ["name:tag"],
              Layers: [`${id}/layer.tar`, "b/layer.tar", "c/layer.tar"],
            },
          ]),
        ),
      ],
    ]);
    const link: ArchiveEntry = { path: "c/layer.tar", type: "symlink", linkPath: `../${id}/layer.tar` };
    const source = await archive(files, link);
    expect(await filesOf(source, { image: "name:tag" })).toEqual(["base", "top", "base"]);
    rmSync(join(folder, "output"), { recursive: true });
    await expect(filesOf(source, { image: "other" })).rejects.toThrow("choose with --image: name:tag");
  });

  it("is refused when its links go in a circle", async () => {
    const files: Files = new Map([["oci-layout", Buffer.from("{}")]]);
    const circle: ArchiveEntry = { path: "index.json", type: "symlink", linkPath: "index.json" };
    await expect(filesOf(await archive(files, circle))).rejects.toThrow("index.json is a circle of links");
  });
});

it("a directory that holds no image is refused", async () => {
  await expect(filesOf(folder)).rejects.toThrow("neither an OCI image layout");
});

it("a source that is not there is refused", async () => {
  await expect(filesOf(join(folder, "missing"))).rejects.toThrow("not found");
});
