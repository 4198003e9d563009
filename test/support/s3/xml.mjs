// @ts-check

/** @param {string | number} text */
export function escapeXml(text) {
  // Control characters cannot be in XML 1.0; S3 writes them as references all the same.
  return String(text).replace(/[&<>"\x00-\x1f]/g, (char) => `&#x${char.charCodeAt(0).toString(16)};`);
}

/**
 * One element; an undefined text leaves it out.
 *
 * @param {string} name
 * @param {string | number | boolean | undefined} text
 */
export function element(name, text) {
  return text === undefined ? "" : `<${name}>${escapeXml(String(text))}</${name}>`;
}

/**
 * @param {string} root
 * @param {string} content
 */
export function xmlDocument(root, content) {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${content}</${root}>`;
}

/**
 * The contents of every element of this name, not unescaped.
 *
 * @param {string} xml
 * @param {string} name
 */
export function findElements(xml, name) {
  return [...xml.matchAll(new RegExp(`<${name}>([^]*?)</${name}>`, "g"))].map((match) => match[1] ?? "");
}

/**
 * @param {string} xml
 * @param {string} name
 * @returns {string | undefined} The text of the first element of this name.
 */
export function findText(xml, name) {
  const [content] = findElements(xml, name);
  return content?.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, named) => {
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16));
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    return { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" }[String(named)] ?? whole;
  });
}
