import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorOf } from "./support/actor.js";
import { type Environment, Scene } from "./support/cases.js";
import { referenceEnvironment, ringsEnvironment } from "./support/environments.js";
import { Model, ModelError } from "./support/model.js";
import { anyOperation, listFiles, type Operation } from "./support/random-operations.js";

/** CONFORMANCE_SEED repeats a run; every run prints its own. */
const SEED = Number(process.env.CONFORMANCE_SEED ?? Date.now() % 1_000_000_000);
const SECONDS = Number(process.env.CONFORMANCE_SECONDS ?? 5);
const OPERATIONS = 60;

const environments = [
  { name: "memory over rings", open: () => ringsEnvironment("memory") },
  { name: "passthrough over rings", open: () => ringsEnvironment("passthrough") },
  { name: "tmpfs", open: () => referenceEnvironment("tmpfs") },
];

function modelError(action: () => void): string {
  try {
    action();
  } catch (error) {
    if (error instanceof ModelError) return error.code;
    throw error;
  }
  return "ok";
}

function play(operations: readonly Operation[], scene: Scene): void {
  const model = new Model();
  const actor = scene.process("root").become(0, 0, { umask: 0 });
  for (const operation of operations) {
    const wanted = modelError(() => operation.onModel(model));
    expect(`${operation.text}: ${errorOf(() => operation.onFiles(actor))}`).toBe(
      `${operation.text}: ${wanted}`,
    );
  }
  expect(listFiles(actor)).toEqual(model.listing());
}

describe.each(environments)("random operations on $name", ({ name, open }) => {
  let environment: Environment;
  beforeAll(async () => {
    environment = await open();
  });
  afterAll(async () => {
    await environment?.close();
  });

  test(`leave the tree that a model leaves (seed ${SEED})`, () => {
    let runs = 0;
    const operations = fc.array(anyOperation, { maxLength: OPERATIONS, size: "max" });
    fc.assert(
      fc.property(operations, (sequence) => {
        play(sequence, new Scene(environment, `random-${++runs}`));
      }),
      {
        seed: SEED,
        numRuns: 100_000,
        interruptAfterTimeLimit: SECONDS * 1000,
        markInterruptAsFailure: false,
      },
    );
    console.log(`${name}: ${runs} sequences of up to ${OPERATIONS} operations, seed ${SEED}`);
    expect(runs).toBeGreaterThan(10);
  });
});
