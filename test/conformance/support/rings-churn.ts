import { O } from "./actor.js";
import type { System, Value, Word } from "./system.js";

/** The executor's operation of this name, call by call, so that several processes can take turns. */
export function startChurn(system: System, actor: string, words: readonly Word[]): () => Value[] | undefined {
  const steps = churn(system, actor, String(words[0]), String(words[1]), Number(words[2]));
  return () => (steps.next().done === true ? [BigInt(words[2] ?? 0)] : undefined);
}

function* churn(system: System, actor: string, prefix: string, directory: string, rounds: number) {
  const call = (operation: string, ...args: Word[]) => system.call(actor, operation, args);
  for (let round = 0; round < rounds; round++) {
    const first = `${directory}/${prefix}-${round}`;
    const second = `${directory}/${prefix}+${round}`;
    const [fd] = call("open", first, O.CREAT | O.EXCL | O.RDWR, 0o644) as [bigint];
    yield call("write", fd, prefix.slice(0, 1), -1);
    yield call("close", fd);
    yield call("rename", first, second, 0);
    yield call("link", second, first, 0);
    yield call("unlink", second);
    if (round % 2 === 0) yield call("unlink", first);
  }
}
