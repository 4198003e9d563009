import { describe, it } from "vitest";
import { hasRadosgw, startRadosgw } from "../support/s3/radosgw.js";
import { describeStore } from "./support/store-suite.js";

if (hasRadosgw) {
  describeStore({
    name: "Ceph radosgw",
    start: startRadosgw,
    features: {
      ...{ createOnly: true, replaceOnly: true, conditionalDelete: true, conditionalRead: true },
      // The one thing it ignores.
      ...{ conditionalCopy: true, conditionalCopyTarget: false, partCopy: true, checksums: true },
      ...{ conditionalPartCopy: false },
      ...{ versioned: false, writable: true },
    },
  });
} else {
  describe("the object store on Ceph radosgw", () => {
    it.skip("there is no radosgw in .cache/rgw: Debian's mirror did not deliver it at set-up");
  });
}
