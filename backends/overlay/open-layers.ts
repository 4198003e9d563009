import { getSystemErrorName } from "node:util";
import { Attr, S_IFDIR } from "../../src/vfs/attributes.js";
import { GatewayError } from "../../src/vfs/gateway-error.js";
import { attrRecord, Layer, type LayerSource, OVERLAY, UpperLayer, type UpperSource } from "./layers.js";
import { NodeTable } from "./node-table.js";
import { Overlay, type OverlaySettings } from "./overlay.js";
import { run } from "./steps.js";
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
  const lowers: Layer[] = [];
  for (const source of sources) {
    lowers.push(new Layer(source, await source.open()));
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
