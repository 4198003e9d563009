import type { ListedObject, ObjectInfo } from "../store/object-store.js";
import type { ObjectFacts } from "./node.js";

/** Neither bytes nor metadata have changed. The time of what this share has just written is not known. */
export function isSameObject(facts: ObjectFacts | undefined, object: ListedObject): boolean {
  if (facts?.etag !== object.etag) {
    return false;
  }
  const { lastModifiedMs } = facts;
  return (
    Number.isNaN(lastModifiedMs) ||
    Math.floor(lastModifiedMs / 1000) === Math.floor(object.lastModifiedMs / 1000)
  );
}

export function versionOf({ versionId }: ObjectFacts): { versionId?: string } {
  return versionId === undefined ? {} : { versionId };
}

export function factsOf(object: ListedObject | ObjectInfo): ObjectFacts {
  const { size, etag, lastModifiedMs, storageClass } = object;
  const versionId = "versionId" in object ? object.versionId : undefined;
  return {
    size,
    etag,
    lastModifiedMs,
    ...(versionId !== undefined && { versionId }),
    ...(storageClass !== undefined && { storageClass }),
  };
}
