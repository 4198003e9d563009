import { Actor } from "./actor.js";
import type { Capability } from "./capabilities.js";
import type { System } from "./system.js";

/** Names of file systems that behave in a way of their own; cases declare what they expect of each. */
export type FileSystemKind = "ext4" | "tmpfs" | "memory" | "passthrough" | "s3" | "other";

/** What a case runs on. */
export interface Environment {
  readonly name: string;
  /** Whose rules hold. */
  readonly kind: FileSystemKind;
  readonly system: System;
  readonly capabilities: ReadonlySet<Capability>;
  /** Ends everything that was started, and removes it. */
  close(): Promise<void>;
}

/** The processes of a case. Each starts as root in the case's directory, which everybody may write. */
export class Scene {
  readonly kind: FileSystemKind;
  readonly #environment: Environment;

  constructor(environment: Environment, directory: string) {
    this.#environment = environment;
    this.kind = environment.kind;
    environment.system.begin(directory);
  }

  /** A process of its own, as root. */
  readonly process = (name: string): Actor => new Actor(this.#environment.system, name);

  get root(): Actor {
    return this.process("root");
  }

  /** uid and gid 1001. */
  get alice(): Actor {
    return this.process("alice").become(ALICE);
  }

  /** uid and gid 1002, also in group 1003. */
  get bob(): Actor {
    return this.process("bob").become(BOB, BOB, { groups: [STAFF] });
  }

  readonly has = (capability: Capability): boolean => this.#environment.capabilities.has(capability);

  /** Lets the clock of the file system go on: times taken before and after differ. */
  readonly tick = (): void => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, TICK_MS);
  };
}

export const ALICE = 1001;
export const BOB = 1002;
export const STAFF = 1003;
/** Longer than a jiffy at 100 Hz, which is what file systems take their times from. */
const TICK_MS = 12;

export interface Case {
  readonly name: string;
  readonly needs: readonly Capability[];
  run(scene: Scene): void;
}

export interface Group {
  readonly name: string;
  readonly cases: readonly Case[];
}

type Run = (scene: Scene) => void;

/** Adds a case: a name, what it needs, what it does. */
export interface Add {
  (name: string, run: Run): void;
  (name: string, needs: readonly Capability[], run: Run): void;
}

/** Collects the cases that `define` adds; `needs` are what all of them need. */
export function group(name: string, define: (add: Add) => void, needs: readonly Capability[] = []): Group {
  const cases: Case[] = [];
  const add: Add = (caseName: string, second: readonly Capability[] | Run, third?: Run) => {
    const [own, run] = typeof second === "function" ? [[], second] : [second, third as Run];
    if (cases.some((other) => other.name === caseName)) throw new Error(`two cases "${caseName}" of ${name}`);
    cases.push({ name: caseName, needs: [...needs, ...own], run });
  };
  define(add);
  return { name, cases };
}
