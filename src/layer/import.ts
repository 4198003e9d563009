import { closeSync } from "node:fs";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { checked, openHostDirectory } from "../native/host-file.js";
import { posix } from "../native/posix.js";
import { TarReader } from "../tar/reader.js";
import { GatewayError } from "../vfs/gateway-error.js";
import { ByteLimit, Digest, drain, unpack } from "./bytes.js";
import { type ImageChoice, type LayerArchive, layersOfImage } from "./image.js";
import { ImageArchive, ImageDirectory, readHostFile } from "./image-files.js";
import { LayerDirectory } from "./layer-directory.js";
import { Omissions } from "./omissions.js";
import { type InheritedAttributes, LayerUnpacker } from "./unpack-layer.js";

/** Files with any owner and mode, set-user-id and devices too, are nobody else's to reach. */
const OUTPUT_MODE = 0o700;

/** What `layer import` is asked to do. */
export interface ImportRequest extends ImageChoice {
  /** Archives of layers or images, and image layouts: base first. */
  readonly sources: readonly string[];
  /** Directory to make, or an empty one. */
  readonly output: string;
  /** Most bytes that all archives together may unpack to. */
  readonly maxSizeBytes: number;
}

/** What it has done. */
export interface ImportResult {
  /** Directories of the layers, base first. */
  readonly layers: readonly string[];
  /** One line for each kind of thing that was left out. */
  readonly notes: readonly string[];
}

async function layersOf(source: string, choice: ImageChoice): Promise<LayerArchive[]> {
  const found = await stat(source).catch((cause: unknown) => {
    throw new GatewayError("environment", `${JSON.stringify(source)}: not found`, { cause });
  });
  if (found.isDirectory()) {
    return layersOfImage(new ImageDirectory(source), choice);
  }
  if (await ImageArchive.isOne(source)) {
    return layersOfImage(new ImageArchive(source), choice);
  }
  return [{ name: source, digest: undefined, diffId: undefined, open: () => readHostFile(source) }];
}

function verify(what: string, expected: string | undefined, actual: Digest): void {
  if (expected === undefined) {
    return;
  }
  const digest = actual.toString();
  if (digest !== expected) {
    throw new GatewayError("environment", `${what} is damaged: expected ${expected}, got ${digest}`);
  }
}

/** Imports layer after layer into a directory. */
class LayerImporter {
  readonly #output: string;
  readonly #directory: number;
  readonly #limit: ByteLimit;
  readonly #layers: LayerDirectory[] = [];
  readonly omissions = new Omissions();
  /** Directories of complete layers, base first. */
  readonly paths: string[] = [];

  constructor(output: string, limit: ByteLimit) {
    this.#output = output;
    this.#directory = openHostDirectory(output).fd;
    this.#limit = limit;
  }

  async import(archive: LayerArchive): Promise<void> {
    const name = String(this.paths.length + 1).padStart(4, "0");
    const partial = `${name}.partial`;
    const layer = new LayerDirectory(this.#directory, partial, this.omissions);
    const below = [...this.#layers].reverse();
    this.#layers.push(layer);
    try {
      await this.#unpack(archive, layer, below);
    } catch (err) {
      if (err instanceof GatewayError && !err.message.startsWith(archive.name)) {
        throw new GatewayError("environment", `${archive.name}: ${err.message}`, { cause: err });
      }
      throw err;
    }
    checked(await posix.syncfs(layer.root), name);
    const path = join(this.#output, name);
    await rename(join(this.#output, partial), path);
    this.paths.push(path);
  }

  close(): void {
    for (const layer of this.#layers) {
      layer.close();
    }
    closeSync(this.#directory);
  }

  async #unpack(
    archive: LayerArchive,
    layer: LayerDirectory,
    below: readonly LayerDirectory[],
  ): Promise<void> {
    const packed = new Digest();
    const unpacked = new Digest();
    const bytes = unpacked.of(this.#limit.of(unpack(packed.of(archive.open()))));
    try {
      // What follows the end of the archive counts for the digests: the reader must not end the stream.
      const reader = new TarReader({ [Symbol.asyncIterator]: () => ({ next: () => bytes.next() }) });
      await new LayerUnpacker(layer, reader, inheritedFrom(below)).unpackAll();
      await drain(bytes);
    } finally {
      await bytes.return(undefined);
    }
    verify(archive.name, archive.digest, packed);
    verify(`${archive.name} (unpacked)`, archive.diffId, unpacked);
  }
}

function inheritedFrom(below: readonly LayerDirectory[]): InheritedAttributes {
  return (names) => {
    for (const layer of below) {
      const attributes = layer.describe(names);
      if (attributes !== undefined) {
        return attributes === "hidden" ? undefined : attributes;
      }
    }
    return undefined;
  };
}

async function makeOutput(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: OUTPUT_MODE });
  if ((await readdir(path)).length > 0) {
    throw new GatewayError("environment", `--output: ${JSON.stringify(path)} is not empty`);
  }
}

/**
 * Unpacks layers of images into lower directories of an overlay: all of them, or none.
 * @throws GatewayError that names the layer and the entry, or a system error
 */
export async function importLayers(request: ImportRequest): Promise<ImportResult> {
  checked(posix.prepareThread(), "/proc/self/fd");
  const archives: LayerArchive[] = [];
  for (const source of request.sources) {
    archives.push(...(await layersOf(source, request)));
  }
  const output = resolve(request.output);
  await makeOutput(output);
  const limit = new ByteLimit(request.maxSizeBytes, "unpacks to more than --max-size");
  const importer = new LayerImporter(output, limit);
  try {
    for (const archive of archives) {
      await importer.import(archive);
    }
  } catch (err) {
    for (const name of await readdir(output)) {
      await rm(join(output, name), { recursive: true, force: true });
    }
    throw err;
  } finally {
    importer.close();
  }
  return { layers: importer.paths, notes: importer.omissions.lines() };
}
