/** Number of insertions, deletions and replacements that turn one text into the other. */
function editDistance(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let i = 1; i <= from.length; i++) {
    const current = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (previous[j - 1] as number) + (from[i - 1] === to[j - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[j] as number) + 1, (current[j - 1] as number) + 1));
    }
    previous = current;
  }
  return previous[to.length] as number;
}

/**
 * The candidate that a user most likely meant: one that begins with what was typed, else the one
 * with the fewest edits.
 * @returns undefined when more than half of the letters would have to change
 */
export function nearest(typed: string, candidates: readonly string[]): string | undefined {
  const longer = typed.length >= 4 ? candidates.find((candidate) => candidate.startsWith(typed)) : undefined;
  if (longer !== undefined) {
    return longer;
  }
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(typed, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  const length = typed.replace(/^-+/, "").length;
  return bestDistance <= length / 2 ? best : undefined;
}
