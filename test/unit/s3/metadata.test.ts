import { describe, expect, it } from "vitest";
import type { FileAttributes } from "../../../backends/s3/attributes/file-attributes.js";
import { readAttributes, readMode, readTime } from "../../../backends/s3/attributes/read-metadata.js";
import { writeAttributes } from "../../../backends/s3/attributes/write-metadata.js";
import type { ObjectAttributes } from "../../../backends/s3/store/object-store.js";
import { ENOSPC } from "../../../src/vfs/errno.js";

const DEFAULTS = { fileMode: 0o644, directoryMode: 0o755, uid: 7, gid: 8 };
const MODIFIED_MS = 1_700_000_000_000;

function read(metadata: Record<string, string>, isMarker = false): FileAttributes {
  return readAttributes({ metadata }, MODIFIED_MS, isMarker, DEFAULTS);
}

describe("the mode of metadata", () => {
  it.each([
    ["33188", false, 0o100644],
    ["100644", false, 0o100644],
    ["0100644", false, 0o100644],
    ["41471", false, 0o120777],
    ["16877", true, 0o40755],
    ["40755", true, 0o40755],
    ["493", true, 0o755],
    ["511", true, 0o777],
    ["755", true, 0o755],
    ["420", false, 0o420],
    ["438", false, 0o666],
    ["644", false, 0o644],
    ["99999", false, undefined],
    ["rw-", false, undefined],
  ])("%s (of a directory: %s)", (text, isMarker, mode) => {
    expect(readMode(text, isMarker)).toBe(mode);
  });
});

describe("times of metadata", () => {
  it.each([
    ["1700000000", 1_700_000_000, 0],
    ["1700000000.000000001", 1_700_000_000, 1],
    ["1700000000.5", 1_700_000_000, 500_000_000],
    ["-1.5", -2, 500_000_000],
    ["1700000000123456789ns", 1_700_000_000, 123_456_789],
    ["1700000000123", 1_700_000_000, 123_000_000],
    ["2023-11-14T22:13:20.25Z", 1_700_000_000, 250_000_000],
  ])("%s", (text, sec, nsec) => {
    expect(readTime(text)).toEqual({ sec, nsec });
  });

  it("what is none is nothing", () => {
    expect(readTime("yesterday")).toBeUndefined();
  });
});

describe("attributes of an object", () => {
  it("without metadata are the defaults", () => {
    const time = { sec: 1_700_000_000, nsec: 0 };
    expect(read({})).toMatchObject({ mode: 0o100644, uid: 7, gid: 8, mtime: time, ctime: time });
    expect(read({}, true).mode).toBe(0o40755);
  });

  it("are read from s3fs, geesefs, rclone and AWS", () => {
    const xattr = encodeURIComponent(JSON.stringify({ "user.a": Buffer.from("value").toString("base64") }));
    const s3fs = read({ mode: "33152", uid: "1", gid: "2", mtime: "5.000000006", xattr });
    expect(s3fs).toMatchObject({ mode: 0o100600, uid: 1, gid: 2, mtime: { sec: 5, nsec: 6 } });
    expect(s3fs.xattrs.get("user.a")?.toString()).toBe("value");
    expect(read({ "--symlink-target": "a/b" })).toMatchObject({ mode: 0o120777, target: "a/b" });
    expect(read({ mode: "100755", mtime: "5.5" })).toMatchObject({ mode: 0o100755 });
    const aws = {
      "file-permissions": "0100640",
      "file-owner": "3",
      "file-group": "4",
      "file-mtime": "5000000000000000006ns",
    };
    expect(read(aws)).toMatchObject({
      mode: 0o100640,
      uid: 3,
      gid: 4,
      mtime: { sec: 5_000_000_000, nsec: 6 },
    });
  });

  it.each(["s3fs", "aws"] as const)(
    "written as %s are read again, and what else there is stays",
    (dialect) => {
      const before: ObjectAttributes = { metadata: { owner: "Ann", mode: "1" }, cacheControl: "no-cache" };
      const attributes = {
        ...read({ mode: "33261", uid: "1", gid: "2", mtime: "5.000000006" }),
        xattrs: new Map([["user.x", Buffer.from([0, 255])]]),
      };
      const stored = writeAttributes(attributes, dialect, false, before);
      if (typeof stored === "number") throw new Error(`error ${stored}`);
      expect(stored.cacheControl).toBe("no-cache");
      expect(stored.metadata.owner).toBe("Ann");
      const { mode, uid, gid, mtime, xattrs } = read(stored.metadata);
      expect({ mode, uid, gid, mtime, xattrs }).toEqual({
        ...{ mode: 0o100755, uid: 1, gid: 2, mtime: { sec: 5, nsec: 6 } },
        xattrs: attributes.xattrs,
      });
    },
  );

  it("of more than 2 KiB are ENOSPC", () => {
    const attributes = { ...read({}), xattrs: new Map([["user.x", Buffer.alloc(1600)]]) };
    expect(writeAttributes(attributes, "s3fs", false, undefined)).toBe(-ENOSPC);
  });

  it("of a directory's marker say so", () => {
    const stored = writeAttributes(read({}, true), "s3fs", true, undefined);
    expect(stored).toMatchObject({ contentType: "application/x-directory", metadata: { mode: "16877" } });
  });
});
