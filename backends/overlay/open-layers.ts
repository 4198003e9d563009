import { getSystemErrorName } from "node:util";
import { Attr, S_IFDIR } from "../../src/vfs/attributes.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import type { VfsNode } from "../../src/vfs/node.js";
import {
  attrRecord,
  Layer,
  type LayerNode,
  type LayerSource,
  OVERLAY,
  UpperLayer,
  type UpperSource,
} from "./layers.js";
import { mark } from "./marks.js";
import { NodeTable } from "./node-table.js";
import { encodeOrigin } from "./origin.js";
import { Overlay, type OverlaySettings } from "./overlay.js";
import { hasOverrides, StatOverrideBackend } from "./stat-override.js";
import { run, type Steps, wait } from "./steps.js";
import { readAnnouncement } from "./whiteout-forms.js";
import { prepareWork } from "./work-directory.js";
import { XattrNames, type XattrNamespace } from "./xattr-names.js";

/** Layers at most, as Linux has it. */
const MOST_LOWERS = 500;

/** What an overlay is made of. */
export interface OverlayOptions extends OverlaySettings {
  /** From the top; at least one. */
  readonly lowers: readonly LayerSource[];
  /** Without, the overlay is read-only. */
  readonly upper?: UpperSource | undefined;
  /** Whose names the overlay's own attributes have in the layers. */
  readonly xattrNamespace: XattrNamespace;
}

/**
 * Starts the backends of all layers and empties the work directory.
 * @throws GatewayError when a layer cannot be used
 */
export async function openLayers(options: OverlayOptions): Promise<Overlay> {
  const { lowers: sources, upper: upperSource } = options;
  if (sources.length === 0 || sources.length > MOST_LOWERS) {
    throw new GatewayError("usage", `--lower: expected 1 to ${MOST_LOWERS} layers, got ${sources.length}`);
  }
  if (options.metacopy && !(options.redirectDir && options.xattrNamespace === "trusted")) {
    throw new GatewayError(
      "usage",
      "--metacopy on: expected --redirect-dir on and trusted attributes of the overlay, as Linux does",
    );
  }
  const lowers: Layer[] = [];
  for (const source of sources) {
    lowers.push(await openLower(source));
  }
  const upper = upperSource === undefined ? undefined : await openUpper(upperSource, options.isVolatile);
  const stack = {
    type: S_IFDIR,
    upper: upper?.root,
    lowers: lowers.map((layer) => ({ layer, node: layer.root })),
  };
  for (const { layer, node } of stack.lowers) {
    layer.retain(node);
  }
  const names = new XattrNames(options.xattrNamespace);
  const overlay = new Overlay(upper, lowers, names, options, new NodeTable(stack, upper));
  for (const layer of upper === undefined ? lowers : [upper, ...lowers]) {
    await run(readAnnouncement(overlay, layer, layer.root));
  }
  if (upper !== undefined) {
    await verifyUse(overlay, upper, lowers[0] as Layer);
  }
  const { root } = overlay.nodes;
  const { layer, node } = overlay.real(root);
  const out = attrRecord();
  const status = await layer.backend.getattr(OVERLAY, node, undefined, out);
  if (status < 0) {
    throw new GatewayError(
      "environment",
      `${layer.name}: the root cannot be read: ${getSystemErrorName(status)}`,
    );
  }
  overlay.mapNumber(layer, out);
  root.inoLow = out[Attr.INO] as number;
  root.inoHigh = out[Attr.INO + 1] as number;
  return overlay;
}

/**
 * Copies in the index are found by what they were copied from, so an upper layer with an index belongs to its lower
 * layers, and an index to its upper layer. Both are written down where Linux does and looks for it.
 */
async function verifyUse(overlay: Overlay, upper: UpperLayer, lower: Layer): Promise<void> {
  const { index, root, name } = upper;
  if (index === undefined) {
    return;
  }
  const { origin, upper: owner } = overlay.names;
  if ((await run(matches(upper, root, origin, { layer: lower, node: lower.root }))) === false) {
    throw new GatewayError(
      "environment",
      `${name}: was used with another layer on top than ${lower.name} before; --index off goes without this check`,
    );
  }
  if ((await run(matches(upper, index, owner, { layer: upper, node: root }))) === false) {
    throw new GatewayError(
      "environment",
      `${name}: the work directory belongs to another upper layer; --index off goes without this check`,
    );
  }
}

/** Whether a mark names this file; it is set where there is none. Nothing is known where files cannot be named. */
function* matches(upper: UpperLayer, marked: VfsNode, name: string, file: LayerNode): Steps<boolean> {
  const identifier = yield* wait(file.layer.backend.identify(file.node));
  if (typeof identifier === "number") {
    return true;
  }
  const expected = encodeOrigin(identifier, file.layer === upper);
  const found = yield* mark(upper, marked, name);
  if (found === undefined) {
    yield* wait(upper.setXattr(marked, name, expected));
    return true;
  }
  return typeof found === "number" || expected.equals(found);
}

async function openLower(source: LayerSource): Promise<Layer> {
  const root = await source.open();
  const { name, backend } = source;
  const isOverridden = await hasOverrides(backend, root);
  return new Layer({ name, backend: isOverridden ? new StatOverrideBackend(backend) : backend }, root);
}

async function openUpper(source: UpperSource, isVolatile: boolean): Promise<UpperLayer> {
  const root = await source.open();
  const upper = new UpperLayer(source, root, await source.openWork(), await source.openIndex());
  const prepared = await run(prepareWork(upper, isVolatile));
  if (prepared === "lost") {
    throw new GatewayError(
      "environment",
      `${source.name}: was last used as volatile and not ended properly: what it holds may be incomplete`,
    );
  }
  if (prepared < 0) {
    const reason = getSystemErrorName(prepared);
    throw new GatewayError("environment", `${source.name}: the work directory cannot be prepared: ${reason}`);
  }
  return upper;
}
