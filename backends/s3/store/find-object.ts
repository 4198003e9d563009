import { isStoreError } from "../errors.js";
import type { ObjectInfo, ObjectStore } from "./object-store.js";

/** HEAD, or undefined where there is no object. */
export async function findObject(store: ObjectStore, key: string): Promise<ObjectInfo | undefined> {
  try {
    return await store.head(key);
  } catch (err) {
    if (isStoreError(err, "not-found")) {
      return undefined;
    }
    throw err;
  }
}
