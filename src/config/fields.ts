import * as z from "zod/mini";
import { parseSize, SIZE_PATTERN } from "./size.js";

const MIN_SIZE_BYTES = 4096;

/*
 * Every `error` below completes the sentence "expected ..., got ...": parse.ts puts it together with
 * the option's name and the value.
 */

/** One of these words. */
export function oneOf<const T extends readonly string[]>(names: T) {
  return z.enum(names, { error: `one of ${names.join(", ")}` });
}

export function wholeNumber(minimum: number, maximum: number) {
  const error = `a whole number from ${minimum} to ${maximum}`;
  return z.int({ error }).check(z.gte(minimum, { error }), z.lte(maximum, { error }));
}

export const flag = z.boolean({ error: "true or false" });
/** A path of the host. */
export const path = z
  .string({ error: "a path" })
  .check(z.minLength(1, { error: "a path" }), z.regex(/^[^\0]*$/, { error: "a path without NUL" }));

const sizeError = "a size such as 512MiB or 1GiB";
/** A size in bytes, or as text with a unit. */
export const size = z.pipe(
  z.union(
    [
      z.string().check(z.regex(new RegExp(SIZE_PATTERN), { error: sizeError })),
      z.int().check(z.gte(0, { error: sizeError })),
    ],
    { error: sizeError },
  ),
  z.transform((value, context) => {
    const bytes = typeof value === "string" ? parseSize(value) : value;
    if (bytes !== undefined && bytes >= MIN_SIZE_BYTES) {
      return bytes;
    }
    const limit = bytes === undefined ? "below 8192TiB" : "of at least 4KiB";
    context.issues.push({ code: "custom", input: value, message: `${sizeError}, ${limit}` });
    return z.NEVER;
  }),
);
