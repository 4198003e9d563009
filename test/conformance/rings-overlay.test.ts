import { ringsEnvironment } from "./support/environments.js";
import { conformanceSuite } from "./support/suite.js";

conformanceSuite("overlay over rings", () => ringsEnvironment("overlay"));
conformanceSuite("overlay with memory on top over rings", () => ringsEnvironment("overlay-memory"));
