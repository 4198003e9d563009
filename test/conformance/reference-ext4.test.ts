import { referenceEnvironment } from "./support/environments.js";
import { conformanceSuite } from "./support/suite.js";

conformanceSuite("ext4", () => referenceEnvironment("ext4"));
