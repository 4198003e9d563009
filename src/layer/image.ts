import { createHash } from "node:crypto";
import { GatewayError } from "../vfs/gateway-error.js";
import { type ImageFiles, readDocument } from "./image-files.js";
import { JsonObject } from "./json.js";

const INDEX_TYPES: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
]);
const MANIFEST_TYPES: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
]);
/** Names of an image in an index: the standard's, and docker's. */
const NAME_ANNOTATIONS = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
/** Marks what describes another image and is none itself. */
const REFERENCE_ANNOTATION = "vnd.docker.reference.type";
const MAX_NESTED_INDEXES = 4;

/** One archive that is to become a layer. */
export interface LayerArchive {
  /** For messages. */
  readonly name: string;
  /** What the archive has to be, packed as it is; undefined where nothing says. */
  readonly digest: string | undefined;
  /** What it has to be unpacked. */
  readonly diffId: string | undefined;
  open(): AsyncGenerator<Buffer>;
}

/** Which of several images is meant. */
export interface ImageChoice {
  /** Operating system and architecture, perhaps a variant: `linux/arm64/v8`. */
  readonly platform: string;
  /** A name or tag that the image has in the layout; undefined: the only one. */
  readonly image: string | undefined;
}

function refuse(message: string): never {
  throw new GatewayError("environment", message);
}

/** Where a layout keeps what has a digest. @throws GatewayError when that is no digest */
function blobPath(digest: string | undefined, what: string): string {
  const match = /^(sha256):([0-9a-f]{64})$/.exec(digest ?? "");
  if (match === null) {
    refuse(
      `${what}: expected a digest such as sha256:<64 hexadecimal digits>, got ${JSON.stringify(digest)}`,
    );
  }
  return `blobs/${match[1]}/${match[2]}`;
}

async function readVerified(
  files: ImageFiles,
  digest: string | undefined,
  what: string,
): Promise<JsonObject> {
  const bytes = await readDocument(files, blobPath(digest, `${files.name}: ${what}`));
  const actual = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  if (actual !== digest) {
    refuse(`${files.name}: ${what} ${digest} is damaged: its digest is ${actual}`);
  }
  return new JsonObject(
    JsonObject.parse(bytes.toString(), `${files.name}: ${what}`),
    `${files.name}: ${what}`,
  );
}

function platformOf(descriptor: JsonObject): string | undefined {
  const platform = descriptor.object("platform");
  if (platform === undefined) {
    return undefined;
  }
  const parts = [platform.text("os"), platform.text("architecture"), platform.text("variant")];
  return parts.filter((part) => part !== undefined).join("/");
}

/** `linux/arm64` fits `linux/arm64/v8`. */
function fits(platform: string, wanted: string): boolean {
  return platform === wanted || platform.startsWith(`${wanted}/`);
}

function namesOf(descriptor: JsonObject): string[] {
  const annotations = descriptor.object("annotations");
  return NAME_ANNOTATIONS.map((name) => annotations?.text(name)).filter((name) => name !== undefined);
}

/** The one descriptor of an index that is meant. */
function choose(index: JsonObject, files: ImageFiles, { platform, image }: ImageChoice): JsonObject {
  const all = index
    .objects("manifests")
    .filter((descriptor) => descriptor.object("annotations")?.text(REFERENCE_ANNOTATION) === undefined);
  // Names are given at the top; what an index below it lists has none.
  const isNamed = all.some((descriptor) => namesOf(descriptor).length > 0);
  const named =
    image === undefined || !isNamed ? all : all.filter((descriptor) => namesOf(descriptor).includes(image));
  const fitting = named.filter((descriptor) => fits(platformOf(descriptor) ?? platform, platform));
  const [first, second] = fitting;
  if (first === undefined) {
    const has = [...new Set(all.flatMap((each) => [...namesOf(each), platformOf(each) ?? []].flat()))].join(
      ", ",
    );
    refuse(
      `${files.name}: has no image ${image === undefined ? "" : `${image} `}for ${platform}; it has: ${has}`,
    );
  }
  if (second !== undefined) {
    const names = fitting.map((each) => namesOf(each)[0] ?? each.text("digest")).join(", ");
    refuse(`${files.name}: has several images; choose with --image: ${names}`);
  }
  return first;
}

function layersOf(files: ImageFiles, layers: readonly Pick<LayerArchive, "digest">[], config: JsonObject) {
  const diffIds = config.object("rootfs")?.texts("diff_ids") ?? [];
  if (diffIds.length !== layers.length) {
    refuse(`${files.name}: has ${layers.length} layers, but its configuration describes ${diffIds.length}`);
  }
  return diffIds;
}

/** Layers of an OCI image layout, base first. */
async function layersOfLayout(files: ImageFiles, choice: ImageChoice): Promise<LayerArchive[]> {
  const top = `${files.name}: index.json`;
  let index = new JsonObject(
    JsonObject.parse((await readDocument(files, "index.json")).toString(), top),
    top,
  );
  for (let depth = 0; depth < MAX_NESTED_INDEXES; depth++) {
    const descriptor = choose(index, files, choice);
    const type = descriptor.text("mediaType") ?? "";
    if (INDEX_TYPES.has(type)) {
      index = await readVerified(files, descriptor.text("digest"), "index");
      continue;
    }
    if (!MANIFEST_TYPES.has(type)) {
      refuse(`${files.name}: expected an image manifest or index, got ${JSON.stringify(type)}`);
    }
    const manifest = await readVerified(files, descriptor.text("digest"), "manifest");
    const config = await readVerified(files, manifest.object("config")?.text("digest"), "configuration");
    const layers = manifest.objects("layers").map((layer) => ({ digest: layer.text("digest") }));
    const diffIds = layersOf(files, layers, config);
    return layers.map(({ digest }, position) => {
      const path = blobPath(digest, `${files.name}: layer`);
      const name = `${files.name}: layer ${digest}`;
      return { name, digest, diffId: diffIds[position], open: () => files.read(path) };
    });
  }
  return refuse(`${files.name}: indexes are nested too deeply`);
}

/** Layers of what `docker save` wrote before it knew the standard, base first. */
async function layersOfDockerArchive(files: ImageFiles, choice: ImageChoice): Promise<LayerArchive[]> {
  const what = `${files.name}: manifest.json`;
  const list = JsonObject.parse((await readDocument(files, "manifest.json")).toString(), what);
  const images = (Array.isArray(list) ? list : []).map((each) => new JsonObject(each, what));
  const { image } = choice;
  const fitting =
    image === undefined ? images : images.filter((each) => each.texts("RepoTags").includes(image));
  const [manifest] = fitting;
  if (manifest === undefined || fitting.length > 1) {
    const tags = images.flatMap((each) => each.texts("RepoTags")).join(", ");
    refuse(
      `${files.name}: ${manifest ? "has several images" : "has no such image"}; choose with --image: ${tags}`,
    );
  }
  const configPath = manifest.text("Config") ?? "";
  const document = (await readDocument(files, configPath)).toString();
  const config = new JsonObject(JsonObject.parse(document, `${files.name}: ${configPath}`), configPath);
  const paths = manifest.texts("Layers");
  const diffIds = layersOf(
    files,
    paths.map(() => ({ digest: undefined })),
    config,
  );
  return paths.map((path, position) => {
    const name = `${files.name}: layer ${path}`;
    return { name, digest: undefined, diffId: diffIds[position], open: () => files.read(path) };
  });
}

/** The layers of an image, base first. @throws GatewayError when it is damaged, or not the only one */
export async function layersOfImage(files: ImageFiles, choice: ImageChoice): Promise<LayerArchive[]> {
  if (await files.has("index.json")) {
    return layersOfLayout(files, choice);
  }
  if (await files.has("manifest.json")) {
    return layersOfDockerArchive(files, choice);
  }
  return refuse(
    `${files.name}: neither an OCI image layout (index.json) nor a docker archive (manifest.json)`,
  );
}
