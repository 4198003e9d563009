import { EXDEV, type Result, type Status } from "../../src/vfs/errno.js";
import type { UpperLayer } from "./layers.js";
import { mark } from "./marks.js";
import type { OverlayNode, Place } from "./merged-node.js";
import type { Overlay } from "./overlay.js";
import { type Steps, wait } from "./steps.js";

/** Longest value that Linux reads (OVL_REDIRECT_MAX). */
const REDIRECT_BYTES = 256;

/** Writes down where the lower parts of a directory, or the data of a file, are before it is renamed. Errors: EXDEV. */
export function* setRedirect(
  overlay: Overlay,
  upper: UpperLayer,
  node: OverlayNode,
  from: Place,
  to: Place,
): Steps<Status> {
  if (node.upper === undefined) {
    return 0;
  }
  const old = yield* redirectOf(overlay, upper, node);
  const staysInDirectory = from.parent === to.parent;
  if (typeof old === "number" || (old !== "" && (staysInDirectory || old.startsWith("/")))) {
    return typeof old === "number" ? old : 0;
  }
  const value = staysInDirectory
    ? from.name
    : yield* lowerPath(overlay, upper, from.parent, old || from.name);
  if (typeof value === "number") {
    return value;
  }
  if (value.length > REDIRECT_BYTES) {
    return -EXDEV;
  }
  return yield* wait(upper.setXattr(node.upper, overlay.names.redirect, Buffer.from(value, "latin1")));
}

/** A redirect, or "". */
function* redirectOf(overlay: Overlay, upper: UpperLayer, node: OverlayNode): Steps<Result<string>> {
  const value = node.upper === undefined ? undefined : yield* mark(upper, node.upper, overlay.names.redirect);
  return value === undefined ? "" : typeof value === "number" ? value : value.latin1Slice(0, value.length);
}

/** The path from the root of the lower layers to `name` in a directory, which may have been renamed itself. */
function* lowerPath(
  overlay: Overlay,
  upper: UpperLayer,
  directory: OverlayNode,
  name: string,
): Steps<Result<string>> {
  let path = `/${name}`;
  for (let at = directory; at !== overlay.nodes.root; ) {
    const [place] = at.places;
    if (place === undefined) {
      return -EXDEV;
    }
    const redirect = yield* redirectOf(overlay, upper, at);
    if (typeof redirect === "number") {
      return redirect;
    }
    if (redirect.startsWith("/")) {
      return redirect + path;
    }
    path = `/${redirect || place.name}${path}`;
    at = place.parent;
  }
  return path;
}
