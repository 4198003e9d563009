const UNIT_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
};

/** What {@link parseSize} accepts, as a regular expression for the JSON Schema. */
export const SIZE_PATTERN = "^[0-9]+([KkMmGgTt]([Ii]?[Bb])?|[Bb])?$";

/**
 * Reads a size in bytes: a whole number and a unit, upper or lower case. K, M, G, T and KiB, MiB,
 * GiB, TiB are powers of 1024 (as QEMU and mount read them); kB, MB, GB, TB are powers of 1000; no
 * unit or B is bytes.
 * @returns undefined when the text is no such size, or 2^53 bytes and more
 */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+)([a-z]*)$/i.exec(text);
  const unit = UNIT_BYTES[(match?.[2] ?? "?").toLowerCase()];
  if (match === null || unit === undefined) {
    return undefined;
  }
  const bytes = Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
