/** RFC 3986 unreserved characters and the slash: most keys have nothing else. */
const PLAIN = /^[A-Za-z0-9\-._~/]*$/;
/** What encodeURIComponent leaves and SigV4 does not. */
const UNENCODED = /[!'()*]/g;

/** Percent-encodes a value as SigV4 wants it, the slash included. Throws on a lone surrogate. */
export function encodeValue(text: string): string {
  const encoded = encodeURIComponent(text);
  return encoded.replace(UNENCODED, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Percent-encodes an object's key; slashes stay. Throws on a lone surrogate. */
export function encodeKey(key: string): string {
  return PLAIN.test(key) ? key : encodeValue(key).replaceAll("%2F", "/");
}

/** A query string in the order SigV4 signs it; parameters that are undefined are left out. */
export function encodeQuery(parameters: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(parameters)
    .filter((pair): pair is [string, string] => pair[1] !== undefined)
    .map(([name, value]) => `${encodeValue(name)}=${encodeValue(value)}`)
    .sort()
    .join("&");
}

/**
 * A key of a reply with encoding-type=url, where a space may be a plus. What is no UTF-8 has replacement characters:
 * such a key cannot be asked for, but the others of its page can.
 */
export function decodeListedKey(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  const encoded = text.replaceAll("+", "%20");
  try {
    return decodeURIComponent(encoded);
  } catch {
    const bytes = encoded.replace(/%([0-9a-fA-F]{2})/g, (_, hex) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    return Buffer.from(bytes, "latin1").toString();
  }
}
