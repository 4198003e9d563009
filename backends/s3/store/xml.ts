import { StoreError } from "./object-store.js";

/** An element of a reply. S3 has either elements or text in one, and no attribute that matters. */
export interface XmlElement {
  readonly name: string;
  readonly children: readonly XmlElement[];
  readonly text: string;
}

const ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
const QUOTE = "&quot;";
const TAG_NAME = /^[A-Za-z_][\w.-]*/;

/** The reply is not XML as S3 writes it. */
function malformed(why: string): StoreError {
  return new StoreError("io", `the reply is no document of S3: ${why}`);
}

function toCharacter(code: number): string {
  if (code > 0x10ffff) throw malformed(`there is no such character: ${code}`);
  return String.fromCodePoint(code);
}

function expandReferences(text: string): string {
  if (!text.includes("&")) return text;
  // What ETags have, and mostly nothing else.
  const isQuoted = text.startsWith(QUOTE) && text.indexOf("&", QUOTE.length) === text.length - QUOTE.length;
  if (isQuoted && text.endsWith(QUOTE)) return `"${text.slice(QUOTE.length, -QUOTE.length)}"`;
  const quoted = text.replaceAll(QUOTE, '"');
  if (!quoted.includes("&")) return quoted;
  return quoted.replace(/&(?:#x([0-9a-fA-F]+)|#(\d+)|(\w+));?/g, (whole, hex, decimal, named) => {
    if (hex !== undefined) return toCharacter(Number.parseInt(hex, 16));
    if (decimal !== undefined) return toCharacter(Number(decimal));
    const char = ENTITIES[String(named)];
    if (char === undefined) throw malformed(`unknown entity ${whole}`);
    return char;
  });
}

interface OpenElement {
  readonly name: string;
  readonly children: XmlElement[];
  readonly textFrom: number;
}

/**
 * Parses a reply of S3: elements, text, character references. Document types, which no reply has, are
 * refused and never expanded.
 * @throws StoreError "io"
 */
export function parseXml(source: string): XmlElement {
  const root: OpenElement = { name: "", children: [], textFrom: 0 };
  const open: OpenElement[] = [root];
  let at = 0;
  for (;;) {
    const start = source.indexOf("<", at);
    if (start < 0) break;
    const end = source.indexOf(">", start);
    if (end < 0) throw malformed("a tag is not closed");
    at = end + 1;
    const tag = source.slice(start + 1, end);
    if (tag.startsWith("?")) continue;
    if (tag.startsWith("/")) closeElement(open, tag.slice(1).trim(), source, start);
    else openElement(open, tag, at);
  }
  const [element, ...more] = root.children;
  if (open.length !== 1 || element === undefined || more.length > 0) {
    throw malformed("the document is cut short");
  }
  return element;
}

function openElement(open: OpenElement[], tag: string, textFrom: number): void {
  const name = TAG_NAME.exec(tag)?.[0];
  if (name === undefined) throw malformed(`unexpected <${tag.slice(0, 20)}>`);
  if (tag.endsWith("/")) open.at(-1)?.children.push({ name, children: [], text: "" });
  else open.push({ name, children: [], textFrom });
}

function closeElement(open: OpenElement[], name: string, source: string, end: number): void {
  const element = open.pop();
  const parent = open.at(-1);
  if (element?.name !== name || parent === undefined) throw malformed(`unexpected </${name}>`);
  const text = element.children.length === 0 ? expandReferences(source.slice(element.textFrom, end)) : "";
  parent.children.push({ name, children: element.children, text });
}

/** Tags of elements without attributes, for what is looked up by the thousand. */
export class ElementTags {
  readonly name: string;
  readonly opening: string;
  readonly closing: string;

  constructor(name: string) {
    this.name = name;
    this.opening = `<${name}>`;
    this.closing = `</${name}>`;
  }

  /**
   * Takes all of these elements out of a document.
   * @returns what is within each of them, for {@link textIn}, and the rest of the document for {@link parseXml}
   * @throws StoreError "io"
   */
  takeOut(source: string): { inner: string[]; rest: string } {
    const { opening, closing } = this;
    const inner: string[] = [];
    const rest: string[] = [];
    let at = 0;
    for (;;) {
      const start = source.indexOf(opening, at);
      if (start < 0) break;
      const end = source.indexOf(closing, start);
      if (end < 0) throw malformed("the document is cut short");
      if (start > at) rest.push(source.slice(at, start));
      inner.push(source.slice(start + opening.length, end));
      at = end + closing.length;
    }
    rest.push(source.slice(at));
    return { inner, rest: rest.join("") };
  }

  /** The text of the first of these elements. @throws StoreError "io" */
  textIn(source: string): string | undefined {
    const { name, opening, closing } = this;
    const start = source.indexOf(opening);
    if (start < 0) return undefined;
    const end = source.indexOf("<", start + opening.length);
    if (!source.startsWith(closing, end)) throw malformed(`<${name}> is not closed`);
    return expandReferences(source.slice(start + opening.length, end));
  }

  /** As {@link textIn}, for what is always there. */
  requiredTextIn(source: string): string {
    const text = this.textIn(source);
    if (text === undefined) throw malformed(`there is no <${this.name}>`);
    return text;
  }
}

/** The text of the first child of this name. */
export function childText(element: XmlElement, name: string): string | undefined {
  return element.children.find((child) => child.name === name)?.text;
}

/** As {@link childText}, for what every reply of its kind has. */
export function requiredText(element: XmlElement, name: string): string {
  const text = childText(element, name);
  if (text === undefined) throw malformed(`<${element.name}> has no <${name}>`);
  return text;
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"\x00-\x1f]/g, (char) => `&#x${char.charCodeAt(0).toString(16)};`);
}
