import { ringsEnvironment } from "./support/environments.js";
import { conformanceSuite } from "./support/suite.js";

conformanceSuite("memory over rings", () => ringsEnvironment("memory"));
