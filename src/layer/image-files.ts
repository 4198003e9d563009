import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join, posix as posixPath } from "node:path";
import { TarReader } from "../tar/reader.js";
import { GatewayError } from "../vfs/gateway-error.js";
import { unpack } from "./bytes.js";

const READ_BYTES = 1 << 20;
/** Links in an archive that lead to other links. */
const MAX_LINKS = 8;
/** What is read as a whole: manifests and configurations. */
const MAX_DOCUMENT_BYTES = 16 << 20;

/** The files of an image, wherever they are. */
export interface ImageFiles {
  /** For messages. */
  readonly name: string;
  /** @throws GatewayError, once it is read, when there is no such file */
  read(path: string): AsyncGenerator<Buffer>;
  has(path: string): Promise<boolean>;
}

/** The bytes of a regular file of the host. @throws GatewayError when there is none */
export async function* readHostFile(path: string): AsyncGenerator<Buffer> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() !== true) {
    throw new GatewayError("environment", `${JSON.stringify(path)}: ${found ? "not a file" : "not found"}`);
  }
  yield* createReadStream(path, { highWaterMark: READ_BYTES });
}

/** All of a file as text. @throws GatewayError when it is too long for a document */
export async function readDocument(files: ImageFiles, path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of files.read(path)) {
    chunks.push(Buffer.from(chunk));
    length += chunk.length;
    if (length > MAX_DOCUMENT_BYTES) {
      throw new GatewayError("environment", `${files.name}: ${path} is longer than 16 MiB`);
    }
  }
  return Buffer.concat(chunks);
}

/** An image layout in a directory. */
export class ImageDirectory implements ImageFiles {
  readonly name: string;

  constructor(path: string) {
    this.name = path;
  }

  async *read(path: string): AsyncGenerator<Buffer> {
    yield* readHostFile(join(this.name, path));
  }

  async has(path: string): Promise<boolean> {
    return (await stat(join(this.name, path)).catch(() => undefined))?.isFile() === true;
  }
}

/** What an archive has under a path: contents, or a link to another path. */
type Found = { readonly link: string } | { readonly contents: AsyncGenerator<Buffer> };

/**
 * An image layout, or what `docker save` writes, in one archive, packed or not. Its files come in any order
 * and packed archives cannot be read from the middle, so each is looked for from the beginning.
 */
export class ImageArchive implements ImageFiles {
  readonly name: string;

  constructor(path: string) {
    this.name = path;
  }

  /** Whether an archive is one of images rather than a layer: its first entry tells. */
  static async isOne(path: string): Promise<boolean> {
    const reader = new TarReader(unpack(readHostFile(path)));
    try {
      const entry = await reader.next();
      const first = normalized(entry?.path ?? "");
      return /^(blobs(\/|$)|oci-layout$|index\.json$|manifest\.json$|repositories$|[0-9a-f]{64}([/.]|$))/.test(
        first,
      );
    } finally {
      await reader.close();
    }
  }

  async *read(path: string): AsyncGenerator<Buffer> {
    let wanted = path;
    for (let links = 0; links <= MAX_LINKS; links++) {
      const found = await this.#find(wanted);
      if (found === undefined) {
        throw new GatewayError("environment", `${this.name}: has no ${path}`);
      }
      if ("contents" in found) {
        yield* found.contents;
        return;
      }
      wanted = found.link;
    }
    throw new GatewayError("environment", `${this.name}: ${path} is a circle of links`);
  }

  async has(path: string): Promise<boolean> {
    const found = await this.#find(path);
    if (found !== undefined && "contents" in found) {
      await found.contents.return(undefined);
    }
    return found !== undefined;
  }

  async #find(path: string): Promise<Found | undefined> {
    const reader = new TarReader(unpack(readHostFile(this.name)));
    for (;;) {
      const entry = await reader.next();
      if (entry === undefined) {
        await reader.close();
        return undefined;
      }
      if (normalized(entry.path) === path) {
        if (entry.type === "file") {
          return { contents: contentsOf(reader) };
        }
        await reader.close();
        const target =
          entry.type === "symlink" ? join(posixPath.dirname(path), entry.linkPath) : entry.linkPath;
        return { link: normalized(target) };
      }
    }
  }
}

function normalized(path: string): string {
  return posixPath.normalize(path).replace(/^\.?\//, "");
}

async function* contentsOf(reader: TarReader): AsyncGenerator<Buffer> {
  try {
    for (let bytes = await reader.read(); bytes.length > 0; bytes = await reader.read()) {
      yield bytes;
    }
  } finally {
    await reader.close();
  }
}
