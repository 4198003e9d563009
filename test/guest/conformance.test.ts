import { guestEnvironment } from "../conformance/support/guest.js";
import { conformanceSuite } from "../conformance/support/suite.js";
import { SHARE_KINDS } from "./harness.js";

for (const kind of SHARE_KINDS) {
  conformanceSuite(`conformance of ${kind.name} in a guest`, () => guestEnvironment(kind));
}
