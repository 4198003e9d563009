import type { LocalFile } from "./local-file.js";

interface Debt {
  readonly debtor: LocalFile;
  readonly paid: Promise<void>;
  readonly settle: () => void;
  /** The deletion of the object is on its way. */
  paying: boolean;
}

/**
 * Keys that staged files have left by a rename, and where the bucket has, or may have, an object of theirs. It may be
 * what the file consists of: it is deleted when the file is somewhere else in the bucket, and nothing may be written or
 * deleted there before.
 */
export class Debts {
  readonly #open = new Map<string, Debt>();
  readonly #keys = new Map<LocalFile, Set<string>>();

  has(key: string): boolean {
    return this.#open.has(key);
  }

  debtorOf(key: string): LocalFile | undefined {
    return this.#open.get(key)?.debtor;
  }

  /** Keys that a file has left. */
  of(debtor: LocalFile): readonly string[] {
    return [...(this.#keys.get(debtor) ?? [])];
  }

  /** Where there is no debt yet: who came later has nothing there before that is settled. */
  add(key: string, debtor: LocalFile): void {
    let settle = () => {};
    const paid = new Promise<void>((resolve) => {
      settle = resolve;
    });
    this.#open.set(key, { debtor, paid, settle, paying: false });
    const keys = this.#keys.get(debtor) ?? new Set();
    this.#keys.set(debtor, keys.add(key));
  }

  /** Resolves when the debt is settled; undefined: there is none. */
  paid(key: string): Promise<void> | undefined {
    return this.#open.get(key)?.paid;
  }

  /** @returns whether there was a debt */
  settle(key: string): boolean {
    const debt = this.#open.get(key);
    if (debt === undefined) {
      return false;
    }
    this.#open.delete(key);
    const keys = this.#keys.get(debt.debtor);
    keys?.delete(key);
    if (keys?.size === 0) {
      this.#keys.delete(debt.debtor);
    }
    debt.settle();
    return true;
  }

  /** The object is being deleted. @returns what to call when that has ended, either way */
  beginPaying(key: string): (() => void) | undefined {
    const debt = this.#open.get(key);
    if (debt === undefined) {
      return undefined;
    }
    debt.paying = true;
    return () => {
      debt.paying = false;
    };
  }

  isBeingPaid(key: string): boolean {
    return this.#open.get(key)?.paying === true;
  }
}
