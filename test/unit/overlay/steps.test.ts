import { describe, expect, it } from "vitest";
import { andThen, run, type Steps, wait } from "../../../backends/overlay/steps.js";

function* sum(a: number | Promise<number>, b: number | Promise<number>): Steps<number> {
  return (yield* wait(a)) + (yield* wait(b));
}

describe("steps", () => {
  it("answer at once while nothing has to be waited for", () => {
    expect(run(sum(1, 2))).toBe(3);
  });

  it("answer later once something had to be", async () => {
    const result = run(sum(Promise.resolve(1), Promise.resolve(2)));
    expect(result).toBeInstanceOf(Promise);
    expect(await result).toBe(3);
  });

  it("clean up when what they wait for fails, and pass the failure on", async () => {
    const done: string[] = [];
    function* failing(): Steps<void> {
      try {
        yield* wait(Promise.reject(new Error("disk")));
      } finally {
        done.push("cleaned");
      }
    }
    await expect(run(failing())).rejects.toThrow("disk");
    expect(done).toEqual(["cleaned"]);
  });

  it("may go on after a failure that they catch", async () => {
    function* catching(): Steps<string> {
      try {
        yield* wait(Promise.reject(new Error("disk")));
        return "no failure";
      } catch {
        return yield* wait(Promise.resolve("caught"));
      }
    }
    expect(await run(catching())).toBe("caught");
  });

  it("andThen goes on at once or later", async () => {
    expect(andThen(1, (value) => value + 1)).toBe(2);
    expect(await andThen(Promise.resolve(1), (value) => value + 1)).toBe(2);
  });
});
