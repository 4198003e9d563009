import { mountEnvironment } from "./support/environments.js";
import { conformanceSuite } from "./support/suite.js";

conformanceSuite("passthrough mounted", () => mountEnvironment("passthrough"));
