import { s3MountEnvironment } from "./support/s3.js";
import { conformanceSuite } from "./support/suite.js";

conformanceSuite("s3 mounted", s3MountEnvironment);
