// @ts-check
// A real S3 server for the tests: Ceph's radosgw of Debian sid, unpacked into the cache beside the system.
import { existsSync } from "node:fs";
import path from "node:path";
import { REPOSITORY, report, runLogged, SetupError } from "./steps.mjs";

const ROOT = path.join(REPOSITORY, ".cache/rgw");
/** Who waits longer for a mirror would rather have the other tests. */
const MOST_SECONDS = 150;
const SCRIPT = path.join(REPOSITORY, "test/support/s3/rgw.sh");

/**
 * Unpacks it (570 MB, half a minute) unless it is there. Without it the tests that need it are skipped: sid is not
 * on every mirror, and at times its packages do not fit together.
 */
export function ensureRadosgw() {
  if (existsSync(path.join(ROOT, "usr/bin/radosgw"))) return;
  try {
    runLogged("timeout", [String(MOST_SECONDS), "bash", SCRIPT, "root", ROOT], {
      purpose: "unpacking Ceph radosgw of Debian sid for the S3 tests",
      unreachable: "Debian's package mirror cannot be reached or lacks sid",
      // A mirror that stands still has an index that has expired.
      env: { ...process.env, RGW_APTOPT: 'Acquire::Check-Valid-Until "false"' },
    });
    report("radosgw unpacked");
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    report(`${error.message}; the tests on radosgw are skipped`);
  }
}
