import { s3RingsEnvironment } from "./support/s3.js";
import { conformanceSuite } from "./support/suite.js";

conformanceSuite("s3 over rings", s3RingsEnvironment);
