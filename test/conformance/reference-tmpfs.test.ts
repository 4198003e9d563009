import { referenceEnvironment } from "./support/environments.js";
import { conformanceSuite } from "./support/suite.js";

conformanceSuite("tmpfs", () => referenceEnvironment("tmpfs"));
