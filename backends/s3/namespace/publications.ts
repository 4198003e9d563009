import type { SourceObject, StagedFile, StagingEvents } from "../staging/staging.js";
import { linkBase, nameOf } from "./names.js";
import type { Namespace } from "./namespace.js";
import { S3Directory, S3File } from "./node.js";

/** The living directory that holds a key, and the key's name in it. */
function placeOf(
  namespace: Namespace,
  key: string,
): { readonly parent: S3Directory; readonly component: string } | undefined {
  const { root } = namespace.volume;
  const components = key.slice(root.key.length).split("/");
  const component = components.pop() ?? "";
  let parent = root;
  for (const part of components) {
    const child = parent.children.get(nameOf(part));
    if (!(child instanceof S3Directory)) {
      return undefined;
    }
    parent = child;
  }
  return { parent, component };
}

/** The name of what has this component in a living directory. */
function shownName(parent: S3Directory, component: string): string {
  const name = nameOf(linkBase(component) ?? component);
  return parent.children.get(name)?.component === component ? name : nameOf(component);
}

function published(namespace: Namespace, file: StagedFile, object: SourceObject): void {
  const { key, etag, size, versionId } = object;
  if (file.attributes !== undefined) {
    namespace.volume.attributes.learn(key, etag, undefined, file.attributes);
  }
  if (key === namespace.volume.root.key) {
    return;
  }
  const isMarker = key.endsWith("/");
  const place = placeOf(namespace, isMarker ? key.slice(0, -1) : key);
  if (place === undefined) {
    return;
  }
  const { parent, component } = place;
  const name = shownName(parent, component);
  if (isMarker) {
    // Its inode may be forgotten, but not that it is there.
    namespace.entryChanged(parent, { name, component, object: undefined });
    const directory = parent.children.get(name);
    if (directory instanceof S3Directory) {
      directory.hasMarker = true;
      directory.markerEtag = etag;
    }
    return;
  }
  // The time that the server gave it is not known before the next listing.
  const facts = { size, etag, lastModifiedMs: Number.NaN, ...(versionId !== undefined && { versionId }) };
  namespace.entryChanged(parent, { name, component, object: { key, ...facts } });
  const node = parent.children.get(name);
  if (node instanceof S3File && node.staged === file) {
    node.object = facts;
    node.published = etag;
    node.checkedMs = performance.now();
    node.dropPublished();
  }
}

/** What the namespace does when staged files reach the bucket. */
export function publicationEvents(namespace: () => Namespace): StagingEvents {
  return {
    published: (file, object) => published(namespace(), file, object),
    conflict: (file, key) => {
      const place = placeOf(namespace(), key);
      const node = place?.parent.children.get(shownName(place.parent, place.component));
      if (node instanceof S3File && node.staged === file) {
        // The name leads to somebody else's object now; who has the file open keeps the local version.
        namespace().detach(node);
      }
    },
  };
}
