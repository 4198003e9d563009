import { afterAll, beforeAll, describe, test } from "vitest";
import { allGroups } from "../cases/index.js";
import { type Case, type Environment, Scene } from "./cases.js";

/**
 * Defines the tests of one environment: each case in a fresh directory of the same file system. Where calls
 * are slow, `every` takes one of so many cases.
 */
export function conformanceSuite(name: string, open: () => Promise<Environment>, every = 1): void {
  describe(name, () => {
    let environment: Environment;
    let count = 0;
    beforeAll(async () => {
      environment = await open();
    });
    afterAll(async () => {
      await environment?.close();
    });

    let index = 0;
    for (const { name: groupName, cases } of allGroups) {
      const chosen = cases.filter(() => index++ % every === 0);
      if (chosen.length === 0) continue;
      describe(groupName, () => {
        for (const one of chosen) test(one.name, ({ skip }) => runCase(one, skip));
      });
    }

    function runCase(one: Case, skip: (note: string) => void): void {
      const missing = one.needs.filter((need) => !environment.capabilities.has(need));
      if (missing.length > 0) skip(`needs ${missing.join(", ")}`);
      else one.run(new Scene(environment, `case-${++count}`));
    }
  });
}
