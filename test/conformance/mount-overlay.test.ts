import { mountEnvironment } from "./support/environments.js";
import { conformanceSuite } from "./support/suite.js";

conformanceSuite("overlay mounted", () => mountEnvironment("overlay"));
conformanceSuite("overlay with memory on top mounted", () => mountEnvironment("overlay-memory"));
conformanceSuite("overlay mounted, files not opened", () => mountEnvironment("overlay-unopened"));
