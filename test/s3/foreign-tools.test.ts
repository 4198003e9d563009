import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ListObjectsV2Command, PutObjectCommand } from "@aws-sdk/client-s3";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MountedShare } from "../host/mounted-share.js";
import { bytes, connectSdk } from "./support/connect.js";
import { rclone, S3fsMount, whyNot } from "./support/foreign-tools.js";
import { ServerProcess } from "./support/server-process.js";

/** More than one part of an upload. */
const LARGE = bytes(20 * 2 ** 20, 1);
const SMALL = bytes(5000, 2);
const NAMES = ["small", "dir/large", "dir/ä b+c%d"];

let server: ServerProcess;
let folder: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "foreign-"));
  server = await ServerProcess.start();
});
afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** Makes files with owner, mode and time, a directory and a symbolic link. */
function writeTree(root: string): void {
  mkdirSync(join(root, "dir"), { mode: 0o750 });
  for (const [index, name] of NAMES.entries()) {
    const path = join(root, name);
    writeFileSync(path, name.endsWith("large") ? LARGE : SMALL);
    chmodSync(path, 0o640 + index);
    chownSync(path, 1000 + index, 2000 + index);
    utimesSync(path, 1_500_000_000 + index, 1_600_000_000 + index);
  }
  symlinkSync("dir/large", join(root, "link"));
}

function expectContents(root: string): void {
  for (const name of NAMES) {
    const expected = name.endsWith("large") ? LARGE : SMALL;
    expect(readFileSync(join(root, name)).equals(expected), name).toBe(true);
  }
}

function expectTimes(root: string): void {
  for (const [index, name] of NAMES.entries()) {
    expect(lstatSync(join(root, name)).mtimeMs, name).toBe((1_600_000_000 + index) * 1000);
  }
}

function expectOwners(root: string): void {
  for (const [index, name] of NAMES.entries()) {
    const { mode, uid, gid } = lstatSync(join(root, name));
    const owner = { mode: 0o100640 + index, uid: 1000 + index, gid: 2000 + index };
    expect({ mode, uid, gid }, name).toEqual(owner);
  }
}

async function onShare(action: (path: string) => void): Promise<void> {
  const args = [...server.gatewayArguments, "--staging-dir", join(folder, "staging")];
  const share = await MountedShare.open(args, { env: server.gatewayEnvironment });
  try {
    action(share.path);
  } finally {
    expect((await share.close()).gateway).toBe(0);
  }
}

async function onS3fs(action: (path: string) => void): Promise<void> {
  const mount = await S3fsMount.open(server.endpoint, join(folder, "s3fs"));
  try {
    action(mount.path);
  } finally {
    await mount.close();
  }
}

function expectTree(root: string): void {
  expectContents(root);
  expectOwners(root);
  expectTimes(root);
  expect(lstatSync(join(root, "dir")).mode).toBe(0o040750);
  expect(readlinkSync(join(root, "link"))).toBe("dir/large");
}

const noS3fs = whyNot("s3fs");
describe.skipIf(noS3fs !== undefined)(`s3fs (${noS3fs ?? "installed"})`, () => {
  it("shows what was written on the share as the share does", async () => {
    await onShare(writeTree);
    await onS3fs(expectTree);
  });

  it("writes what the share shows as s3fs does", async () => {
    await onS3fs(writeTree);
    await onShare(expectTree);
  });
});

const noRclone = whyNot("rclone");
describe.skipIf(noRclone !== undefined)(`rclone (${noRclone ?? "installed"})`, () => {
  it("copies what was written on the share", async () => {
    const copy = join(folder, "copy");
    await onShare(writeTree);
    await rclone(server.endpoint, "copy", "fake:bucket", copy);
    expectContents(copy);
    expectTimes(copy);
    await rclone(server.endpoint, "check", "--download", "fake:bucket", copy);
  });

  it("writes what the share shows with owner, mode and times", async () => {
    const source = join(folder, "source");
    mkdirSync(source);
    writeTree(source);
    await rclone(server.endpoint, "copy", "--metadata", source, "fake:bucket");
    await onShare((path) => {
      expectContents(path);
      expectOwners(path);
      expectTimes(path);
    });
  });

  it("writes symbolic links that the share shows, renames and removes", async () => {
    const source = join(folder, "source");
    mkdirSync(join(source, "sub"), { recursive: true });
    for (const name of ["one", "two", "three", "taken"]) symlinkSync(`to ${name}`, join(source, name));
    await rclone(server.endpoint, "copy", "--links", source, "fake:bucket");
    const sdk = connectSdk(server.endpoint);
    const keys = async () => {
      const { Contents = [] } = await sdk.send(new ListObjectsV2Command({ Bucket: "bucket" }));
      return Contents.map(({ Key }) => Key);
    };
    await sdk.send(new PutObjectCommand({ Bucket: "bucket", Key: "taken", Body: "a file" }));
    await onShare((path) => {
      // Looked up before anything is listed.
      expect(readlinkSync(join(path, "one"))).toBe("to one");
      expect(readdirSync(path).sort()).toEqual(["one", "taken", "taken.rclonelink", "three", "two"]);
      expect(readFileSync(join(path, "taken"), "utf8")).toBe("a file");
      renameSync(join(path, "two"), join(path, "moved"));
      expect(readlinkSync(join(path, "moved"))).toBe("to two");
      expect(readdirSync(path).sort()).toEqual(["moved", "one", "taken", "taken.rclonelink", "three"]);
      unlinkSync(join(path, "three"));
      renameSync(join(path, "taken"), join(path, "one"));
      expect(readFileSync(join(path, "one"), "utf8")).toBe("a file");
    });
    expect(await keys()).toEqual(["moved.rclonelink", "one", "taken.rclonelink"]);
    sdk.destroy();
  });
});
