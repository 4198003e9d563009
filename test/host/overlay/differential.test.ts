import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { HostFile } from "../../../src/native/host-file.js";
import { manifest } from "../../support/manifest.js";
import { whyNoHostMounts } from "../mounted-share.js";
import {
  gateway,
  type Implementation,
  kernel,
  type Layers,
  scratchFileSystem,
  writableLayer,
} from "./mounts.js";
import { anyOperation, LOWER_SCRIPT, type Operation, outcome } from "./operations.js";

/**
 * OVERLAY_SECONDS=600 goes on for so long, with another seed each time unless OVERLAY_SEED names one. Without it the
 * sequences are always the same, and few.
 */
const SECONDS = Number(process.env.OVERLAY_SECONDS ?? 0);
const SEED = Number(process.env.OVERLAY_SEED ?? (SECONDS === 0 ? 1 : Date.now() % 1_000_000_000));
const OPERATIONS = 40;
/** Sequences that share a mount; shrinking a failure takes more than the runs themselves. */
const RUNS = 100;
const TREES = 300;

/**
 * Times that an operation or the lower layers have set, rather than the clock. When the data follows a copy of attributes
 * only, as soon as the file is opened for writing, Linux changes its times, and we do not.
 */
function isSetTime({ mtime, type }: HostFile, metacopy: boolean): boolean {
  return mtime.seconds < 1_000_000_000 && !(metacopy && type === "file");
}

/** Compares line by line. @throws Error that says what differs */
function expectSame(found: readonly string[], wanted: readonly string[], what = "live"): void {
  const more = found.filter((line) => !wanted.includes(line)).map((line) => `+ ${line}`);
  const less = wanted.filter((line) => !found.includes(line)).map((line) => `- ${line}`);
  if (more.length + less.length > 0) {
    throw new Error([`${what}:`, ...less, ...more].join("\n"));
  }
}

function makeLowers(scratch: string): string[] {
  const script = `cd "$0" && ${LOWER_SCRIPT}
    for i in $(seq 1 ${TREES - 1}); do cp -a top/0 top/$i; cp -a base/0 base/$i; done
    touch -d @1000 top base`;
  execFileSync("sh", ["-e", "-c", script, scratch]);
  return [join(scratch, "top"), join(scratch, "base")];
}

describe.skipIf(whyNoHostMounts() !== undefined).each<[string, Implementation, Implementation, boolean]>([
  ["the kernel and the kernel", kernel("off"), kernel("off"), false],
  ["the kernel and the gateway", kernel("off"), gateway("off"), false],
  ["the kernel and the gateway, with metacopy", kernel("on"), gateway("on"), true],
])("random changes of overlays of %s", (_what, left, right, metacopy) => {
  const options = { times: (file: HostFile) => isSetTime(file, metacopy) };

  /** The first `trees` of the trees that are side by side. */
  function describeTree(path: string, trees: number): string[] {
    const isUsed = (at: string) => !/^\/\d/.test(at) || Number.parseInt(at.slice(1), 10) < trees;
    return manifest(path, { ...options, entries: isUsed });
  }

  let scratch: ReturnType<typeof scratchFileSystem>;
  beforeEach(() => {
    scratch = scratchFileSystem();
  });
  afterEach(() => scratch.remove());

  /** Plays sequences on both, each in a directory of its own; what went differently. */
  function compareLive(leftRoot: string, rightRoot: string, seed: number): { trees: number } {
    let trees = 0;
    const play = (operations: readonly Operation[]) => {
      const tree = String(trees++);
      fc.pre(trees < TREES);
      const [leftTree, rightTree] = [join(leftRoot, tree), join(rightRoot, tree)];
      for (const operation of operations) {
        const wanted = outcome(operation, leftTree);
        expect(outcome(operation, rightTree)).toBe(wanted);
      }
      expectSame(manifest(rightTree, options), manifest(leftTree, options));
    };
    const sequences = fc.array(anyOperation, { maxLength: OPERATIONS, size: "max" });
    fc.assert(fc.property(sequences, play), {
      seed,
      numRuns: RUNS,
      reporter: (run) => {
        if (run.failed) {
          const sequence = run.counterexample?.[0].map(({ text }) => text).join("\n  ");
          throw new Error(`seed ${seed}:\n  ${sequence}\n${run.errorInstance}`);
        }
      },
    });
    return { trees };
  }

  async function treeOf(implementation: Implementation, layers: Layers, trees: number): Promise<string[]> {
    const mounted = await implementation.mount(layers);
    try {
      return describeTree(mounted.path, trees);
    } catch (cause) {
      throw new Error(`${implementation.name} on ${layers.upper}: ${cause}`, { cause });
    } finally {
      await mounted.close();
    }
  }

  async function compareOnce(directory: string, seed: number): Promise<number> {
    mkdirSync(directory);
    const lowers = makeLowers(directory);
    const leftLayers = { lowers, ...writableLayer(directory, "left") };
    const rightLayers = { lowers, ...writableLayer(directory, "right") };
    const [leftMount, rightMount] = [await left.mount(leftLayers), await right.mount(rightLayers)];
    let trees: number;
    let wanted: string[];
    try {
      ({ trees } = compareLive(leftMount.path, rightMount.path, seed));
      wanted = describeTree(leftMount.path, trees);
    } finally {
      await leftMount.close();
      await rightMount.close();
    }
    expectSame(await treeOf(right, rightLayers, trees), wanted, `${right.name}, mounted again`);
    expectSame(await treeOf(left, rightLayers, trees), wanted, `${left.name} on the layers of ${right.name}`);
    expectSame(await treeOf(right, leftLayers, trees), wanted, `${right.name} on the layers of ${left.name}`);
    execFileSync("rm", ["-r", directory]);
    return trees;
  }

  test(`leave the same trees (seed ${SEED})`, { timeout: SECONDS * 1000 + 120_000 }, async () => {
    const end = Date.now() + (left.name === right.name ? SECONDS / 4 : SECONDS) * 1000;
    let sequences = 0;
    for (let round = 0; round === 0 || Date.now() < end; round++) {
      sequences += await compareOnce(join(scratch.path, String(round)), SEED + round);
    }
    console.log(
      `${left.name} and ${right.name}: ${sequences} sequences of up to ${OPERATIONS} operations, seed ${SEED}`,
    );
  });
});
