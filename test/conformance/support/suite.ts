import { afterAll, beforeAll, describe, test } from "vitest";
import { allGroups } from "../cases/index.js";
import { type Case, type Environment, Scene } from "./cases.js";

/** Defines the tests of one environment: each case in a fresh directory of the same file system. */
export function conformanceSuite(name: string, open: () => Promise<Environment>): void {
  describe(name, () => {
    let environment: Environment;
    let count = 0;
    beforeAll(async () => {
      environment = await open();
    });
    afterAll(async () => {
      await environment?.close();
    });

    for (const { name: groupName, cases } of allGroups) {
      describe(groupName, () => {
        for (const one of cases) test(one.name, ({ skip }) => runCase(one, skip));
      });
    }

    function runCase(one: Case, skip: (note: string) => void): void {
      const missing = one.needs.filter((need) => !environment.capabilities.has(need));
      if (missing.length > 0) skip(`needs ${missing.join(", ")}`);
      else one.run(new Scene(environment, `case-${++count}`));
    }
  });
}
