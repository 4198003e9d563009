import { ERANGE, type Status } from "./errno.js";

/** Answers getxattr(2): copies the value; with an empty `into` only its length. -ERANGE when it does not fit. */
export function replyXattr(value: Uint8Array, into: Uint8Array): Status {
  if (into.length > 0) {
    if (into.length < value.length) {
      return -ERANGE;
    }
    into.set(value);
  }
  return value.length;
}

/** Answers listxattr(2) with these names (latin1), each ended by a NUL, as {@link replyXattr} does. */
export function replyXattrNames(names: Iterable<string>, into: Uint8Array): Status {
  let list = "";
  for (const name of names) {
    list += `${name}\0`;
  }
  return into.length === 0 ? list.length : replyXattr(Buffer.from(list, "latin1"), into);
}
