import { guestEnvironment } from "../conformance/support/guest.js";
import { conformanceSuite } from "../conformance/support/suite.js";
import { SHARE_KINDS } from "./harness.js";

// An emulated processor takes minutes for all of them: CONFORMANCE_GUEST=all does it.
const EVERY = process.env.CONFORMANCE_GUEST === "all" ? 1 : 5;

for (const kind of SHARE_KINDS) {
  conformanceSuite(`conformance of ${kind.name} in a guest`, () => guestEnvironment(kind), EVERY);
}
