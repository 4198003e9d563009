/**
 * What a terminal or a log viewer could act on: C0 and C1 controls, DEL, line separators, and the
 * marks that reorder text.
 */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const SHORT_ESCAPES = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

function escapeCharacter(character: string): string {
  return SHORT_ESCAPES.get(character) ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/**
 * Makes text from a guest, a user or another program harmless on one line: every control character
 * becomes an escape. Log lines and error messages pass through here.
 */
export function escapeControls(text: string): string {
  return text.replace(UNSAFE, escapeCharacter);
}

/** A value as an error message shows it: JSON for what JSON knows, without control characters. */
export function quoteValue(value: unknown): string {
  const json = typeof value === "bigint" ? value.toString() : JSON.stringify(value);
  return escapeControls(json ?? String(value));
}
