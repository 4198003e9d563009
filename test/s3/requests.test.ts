import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Client, ok, ROOT } from "../support/frontend/index.js";
import { CREDENTIALS_ENV, FakeProcess } from "../support/s3/fake-process.js";

const MIB = 2 ** 20;
const PIECE = 128 * 1024;

let fake: FakeProcess;
let fs: Client;

beforeAll(async () => {
  fake = await FakeProcess.start();
  for (const name of ["cold", "again", "listed", "moved", "removed"]) {
    await fake.command("synthetic", { bucket: "test", prefix: `${name}/`, count: 10, size: 4096 });
  }
  for (const prefix of ["pages/", "wide/"]) {
    await fake.command("synthetic", { bucket: "test", prefix, count: 2500, size: 1 });
  }
  await fake.command("synthetic", { bucket: "test", prefix: "large/", count: 1, size: 100 * MIB });
  fs = await Client.mount({
    serve: (directory) => [...fake.shareArgs(directory), "--consistency", "cached"],
    gateway: { env: CREDENTIALS_ENV },
    timeoutMs: 60_000,
  });
});
beforeEach(() => fake.command("reset-counts"));
afterAll(async () => {
  expect(await fs.unmount()).toBe(0);
  await fake.close();
});

/** What was asked since the last time, when everything is in the bucket. */
async function requests(): Promise<Record<string, number>> {
  ok(fs.syncfs());
  const { operations } = await fake.command("counts");
  await fake.command("reset-counts");
  return operations;
}

/** The node of a name whose directory is known by now; the requests for that are not counted. */
async function known(path: string): Promise<bigint> {
  const { nodeid } = ok(fs.walk(path));
  await requests();
  return nodeid;
}

function write(nodeid: bigint, fh: bigint, offset: number, length: number): void {
  for (let at = 0; at < length; at += PIECE) {
    const data = Buffer.alloc(Math.min(PIECE, length - at), at / PIECE);
    ok(fs.write(nodeid, fh, offset + at, data));
  }
}

function create(parent: bigint, name: string, length: number): bigint {
  const { nodeid, fh } = ok(fs.create(parent, name));
  write(nodeid, fh, 0, length);
  ok(fs.flush(nodeid, fh));
  ok(fs.release(nodeid, fh));
  return nodeid;
}

/** The table of docs/s3.md, "What it costs". */
describe("an operation costs so many requests", () => {
  it("a look-up of a name in a directory that nobody looked at: two at a time, present or not", async () => {
    const parent = await known("cold");
    ok(fs.lookup(parent, "00000000"));
    expect(await requests()).toEqual({ ListObjectsV2: 1, HeadObject: 1 });
    expect(fs.lookup(parent, "absent").error).toBe("ENOENT");
    expect(await requests()).toEqual({ ListObjectsV2: 1, HeadObject: 1 });
    expect(fs.lookup(parent, "absent").error).toBe("ENOENT");
    expect(await requests()).toEqual({});
  });

  it("a listing: one for each 1,000 names", async () => {
    const parent = await known("pages");
    expect(fs.list(parent).length).toBeGreaterThan(2500);
    expect(await requests()).toEqual({ ListObjectsV2: 3 });
  });

  it("a look-up in a directory that was listed: the attributes of what is there", async () => {
    const parent = await known("listed");
    fs.list(parent);
    await requests();
    ok(fs.lookup(parent, "00000005"));
    expect(await requests()).toEqual({ HeadObject: 1 });
    expect(fs.lookup(parent, "absent").error).toBe("ENOENT");
    expect(await requests()).toEqual({});
  });

  it("look-ups of names that are not in a large directory: some, then a page that answers for all", async () => {
    const parent = await known("wide");
    for (let i = 0; i < 40; i++) {
      expect(fs.lookup(parent, `00001200-${i}`).error).toBe("ENOENT");
    }
    const { ListObjectsV2 = 0, HeadObject = 0 } = await requests();
    expect(ListObjectsV2).toBeLessThanOrEqual(10);
    expect(HeadObject).toBeLessThanOrEqual(6);
    ok(fs.lookup(parent, "00001200"));
  });

  it("reading a small file: one, and none the second time", async () => {
    const node = await known("again/00000003");
    for (const expected of [{ GetObject: 1 }, {}]) {
      const { fh } = ok(fs.open(node));
      expect(ok(fs.read(node, fh, 0, PIECE)).data).toHaveLength(4096);
      ok(fs.release(node, fh));
      expect(await requests()).toEqual(expected);
    }
  });

  it("a new file with data, mode and times: one", async () => {
    const parent = await known("listed");
    const { nodeid, fh } = ok(fs.create(parent, "new"));
    write(nodeid, fh, 0, 5000);
    ok(fs.setattr(nodeid, { mode: 0o600, mtime: 1_000_000_000 }));
    ok(fs.flush(nodeid, fh));
    ok(fs.release(nodeid, fh));
    expect(await requests()).toEqual({ PutObject: 1 });
  });

  it("a file of 20 MiB: its parts, beginning and end, and at most a copy for the time of its last change", async () => {
    create(await known("listed"), "parts", 20 * MIB);
    const { CopyObject = 0, ...others } = await requests();
    expect(others).toEqual({ CreateMultipartUpload: 1, UploadPart: 3, CompleteMultipartUpload: 1 });
    expect(CopyObject).toBeLessThanOrEqual(1);
  });

  it("a changed byte of 100 MiB: the part around it, and two copies", async () => {
    const node = await known("large/00000000");
    const { fh } = ok(fs.open(node, 2));
    ok(fs.write(node, fh, 50 * MIB, "x"));
    ok(fs.flush(node, fh));
    ok(fs.release(node, fh));
    const { GetObject = 0, ...others } = await requests();
    expect(others).toMatchObject({ CreateMultipartUpload: 1, UploadPart: 1, UploadPartCopy: 2 });
    // Of the parts around it; some may be asked twice where the machine is slow.
    expect(GetObject).toBeLessThanOrEqual(8);
  });

  it("new attributes of a file: one copy for all of them", async () => {
    const node = await known("again/00000004");
    ok(fs.setattr(node, { mode: 0o640 }));
    ok(fs.setattr(node, { uid: 5, gid: 6 }));
    ok(fs.setattr(node, { mtime: 5 }));
    expect(await requests()).toEqual({ CopyObject: 1 });
  });

  it("a new file that is renamed before it is published: one; a file of the bucket: a copy and a deletion", async () => {
    const parent = await known("again");
    create(parent, "fresh.tmp", 100);
    ok(fs.rename(parent, "fresh.tmp", parent, "fresh"));
    expect((await requests()).PutObject).toBe(1);
    await known("again/00000005");
    ok(fs.rename(parent, "00000005", parent, "renamed"));
    expect(await requests()).toEqual({ CopyObject: 1, DeleteObject: 1 });
  });

  it("a directory of 10 files that is renamed: a listing, a copy and a deletion for each, its marker", async () => {
    await known("moved");
    ok(fs.rename(ROOT, "moved", ROOT, "arrived"));
    expect(await requests()).toMatchObject({ CopyObject: 10, DeleteObject: 10, PutObject: 1 });
  });

  it("removing 10 files and their directory: four deletions at a time, and one of all that waits", async () => {
    const parent = await known("removed");
    const names = fs.list(parent).map(({ name }) => String(name));
    const files = names.filter((each) => /^\d/.test(each));
    for (const name of files) ok(fs.lookup(parent, name));
    // However slow this machine is, no deletion ends before all are asked for.
    await fake.command("faults", { kind: "error", operation: "DeleteObjects", times: 1e9 });
    for (const name of files) ok(fs.unlink(parent, name));
    ok(fs.rmdir(ROOT, "removed"));
    await fake.command("clear-faults");
    await fake.command("reset-counts");
    const { DeleteObjects = 0, DeleteObject = 0, PutObject = 0 } = await requests();
    expect([DeleteObject, PutObject]).toEqual([0, 0]);
    expect(DeleteObjects).toBeGreaterThan(0);
    expect(DeleteObjects).toBeLessThanOrEqual(5);
  });

  it("a directory, a symbolic link: one", async () => {
    ok(fs.mkdir(ROOT, "made"));
    const made = await requests();
    expect(made.PutObject).toBe(1);
    ok(fs.symlink(ok(fs.lookup(ROOT, "made")).nodeid, "link", "target"));
    expect(await requests()).toEqual({ PutObject: 1 });
  });
});
