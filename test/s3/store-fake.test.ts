import { startFakeS3 } from "../support/s3/server.mjs";
import { describeStore } from "./support/store-suite.js";

describeStore({
  name: "the fake server",
  start: () => startFakeS3(),
  features: {
    ...{ createOnly: true, replaceOnly: true, conditionalDelete: true, conditionalRead: true },
    ...{ conditionalCopy: true, conditionalCopyTarget: true, partCopy: true, checksums: true },
    ...{ conditionalPartCopy: true },
    ...{ versioned: false, writable: true },
  },
});
