import { ringsEnvironment } from "./support/environments.js";
import { conformanceSuite } from "./support/suite.js";

conformanceSuite("passthrough over rings", () => ringsEnvironment("passthrough"));
