import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Body, Client, DEFAULT_INIT_FLAGS, InitFlag, Opcode, ok, ROOT } from "../support/frontend/index.js";
import { CREDENTIALS_ENV, FakeProcess } from "../support/s3/fake-process.js";
import { TEST_CREDENTIALS } from "../support/s3/server.mjs";

const BUCKET = "test";
const LONG_KEY = `odd/${"long".repeat(70)}`;
/** Keys of each of these directories: more than a page. */
const LARGE = 1500;
const FOLDERS = 40;
const LARGE_DIRECTORIES = ["names", "looked-at", "plus", "names-only", "one"];
const ODD_KEYS = ["odd/a", "odd/a/b", "odd//c", "odd/./d", "odd/%:e", LONG_KEY, "odd/old_$folder$"];

/** A bucket, and a guest at a gateway that shares it. */
describe("a bucket of the fake server", () => {
  let fake: FakeProcess;
  let fs: Client;
  let s3: S3Client;

  beforeAll(async () => {
    fake = await FakeProcess.start();
    s3 = new S3Client({
      ...{ endpoint: fake.endpoint, region: "us-east-1", forcePathStyle: true },
      credentials: TEST_CREDENTIALS,
    });
    await put("small", "hello");
    await put("edited", "before", { owner: "Ann" });
    await put("config", "old");
    await put("kept/last", "x");
    for (const name of ["a", "b/c"]) await put(`before/${name}`, name);
    for (let i = 0; i < 20; i++) await put(`listed/${i}`, "x");
    for (const name of LARGE_DIRECTORIES) {
      await fake.command("synthetic", { bucket: BUCKET, prefix: `${name}/`, count: LARGE, size: 1 });
    }
    for (let i = 0; i < FOLDERS; i++) await put(`folders/${String(i).padStart(2, "0")}/file`);
    for (const key of ODD_KEYS) await put(key, key);
    await put("dialects/s3fs", "x", { mode: "33152", uid: "1", gid: "2", mtime: "5.000000006" });
    await put("dialects/rclone", "x", { mode: "100755", mtime: "7.5" });
    await put("dialects/aws", "x", { "file-permissions": "0100640", "file-owner": "3" });
    await put("dialects/geesefs", "", { "--symlink-target": "s3fs" });
    await put("dialects/link", "s3fs", { mode: "41471" });
    fs = await Client.mount({
      serve: (directory) => [...fake.shareArgs(directory), "--consistency", "cached"],
      gateway: { env: CREDENTIALS_ENV },
      init: { flags: DEFAULT_INIT_FLAGS | InitFlag.READDIRPLUS_AUTO | InitFlag.HANDLE_KILLPRIV_V2 },
    });
  });
  beforeEach(() => fake.command("reset-counts"));
  afterAll(async () => {
    expect(await fs.unmount()).toBe(0);
    s3.destroy();
    await fake.close();
  });

  async function put(key: string, body = "", metadata: Record<string, string> = {}): Promise<void> {
    const input = { Bucket: BUCKET, Key: key, Body: body, Metadata: metadata };
    await s3.send(new PutObjectCommand(input));
  }

  async function textOf(key: string): Promise<string | undefined> {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
    return Body?.transformToString();
  }

  async function requests(): Promise<Record<string, number>> {
    return (await fake.command("counts")).operations;
  }

  function namesIn(nodeid: bigint): string[] {
    return fs
      .list(nodeid)
      .map(({ name }) => name.toString())
      .filter((name) => name !== "." && name !== "..")
      .sort();
  }

  function contents(path: string): string {
    const { nodeid } = ok(fs.walk(path));
    const { fh } = ok(fs.open(nodeid));
    const { data } = ok(fs.read(nodeid, fh, 0, 65_536));
    ok(fs.release(nodeid, fh));
    return data.toString();
  }

  test("is spared requests that tell nothing", () => {
    const flags = fs.initReply?.flags ?? 0n;
    expect(flags & InitFlag.HANDLE_KILLPRIV_V2, "GETXATTR before writes").not.toBe(0n);
    expect(flags & InitFlag.DO_READDIRPLUS).not.toBe(0n);
    expect(flags & InitFlag.READDIRPLUS_AUTO, "LOOKUP of what a listing has").toBe(0n);
    const statx = new Body().u32(0, 0).u64(0).u32(0, 0xfff).bytes;
    expect(fs.request(Opcode.STATX, ROOT, statx, 512).error).toBe("ENOSYS");
  });

  test("shows keys that no path can name, and reads them", () => {
    const { nodeid } = ok(fs.lookup(ROOT, "odd"));
    const names = namesIn(nodeid);
    expect(names.filter((name) => !name.includes("long"))).toEqual([
      "%:",
      "%:%25:e",
      "%:.",
      "%:a%!",
      "a",
      "old",
    ]);
    expect(contents("odd/%:a%!")).toBe("odd/a");
    expect(contents("odd/a/b")).toBe("odd/a/b");
    expect(contents("odd/%:/c")).toBe("odd//c");
    expect(contents("odd/%:./d")).toBe("odd/./d");
    const long = names.find((name) => name.includes("long")) ?? "";
    expect(long).toHaveLength(255);
    expect(contents(`odd/${long}`)).toBe(LONG_KEY);
  });

  test("shows the attributes of other programs", () => {
    const directory = ok(fs.lookup(ROOT, "dialects")).nodeid;
    const attributes = (name: string) => ok(fs.lookup(directory, name)).attr;
    expect(attributes("s3fs")).toMatchObject({ mode: 0o100600, uid: 1, gid: 2 });
    expect(attributes("rclone").mode).toBe(0o100755);
    expect(attributes("aws")).toMatchObject({ mode: 0o100640, uid: 3 });
    for (const name of ["geesefs", "link"]) {
      const { nodeid, attr } = ok(fs.lookup(directory, name));
      expect([attr.mode, attr.size]).toEqual([0o120777, 4n].map(Number));
      expect(ok(fs.readlink(nodeid)).target).toBe("s3fs");
    }
  });

  test("one listing answers the look-ups of a directory, present and absent", async () => {
    const { nodeid } = ok(fs.lookup(ROOT, "listed"));
    await fake.command("reset-counts");
    expect(namesIn(nodeid)).toHaveLength(20);
    for (let i = 0; i < 20; i++) ok(fs.lookup(nodeid, String(i)));
    for (let i = 0; i < 20; i++) expect(fs.lookup(nodeid, `none-${i}`).error).toBe("ENOENT");
    const counts = await requests();
    expect(counts.ListObjectsV2).toBe(1);
    expect(counts.HeadObject).toBe(20);
  });

  describe("a directory of two pages", () => {
    const PAGES = 2;
    let nodeid: bigint;

    async function enter(directory: string): Promise<void> {
      nodeid = ok(fs.lookup(ROOT, directory)).nodeid;
      await fake.command("reset-counts");
    }

    test("is listed page by page, and no HEAD is made for names only", async () => {
      await enter("names");
      expect(namesIn(nodeid)).toHaveLength(LARGE);
      expect(await requests()).toEqual({ ListObjectsV2: PAGES });
    });

    test("costs one HEAD for each key that is looked at, and none the second time", async () => {
      await enter("looked-at");
      for (let round = 0; round < 2; round++) {
        for (const name of namesIn(nodeid)) expect(ok(fs.lookup(nodeid, name)).attr.size).toBe(1);
      }
      const counts = await requests();
      expect(counts.HeadObject).toBe(LARGE);
      expect(counts.ListObjectsV2).toBe(PAGES);
    });

    test("READDIRPLUS asks for the attributes that are missing when its reader looks at entries", async () => {
      await enter("plus");
      const { fh } = ok(fs.opendir(nodeid));
      let [looks, brought] = [0, 0];
      for (let offset = 0n; ; ) {
        const { entries } = ok(fs.readdirplus(nodeid, fh, offset));
        if (entries.length === 0) break;
        for (const { name, entry } of entries.filter(({ name: each }) => !/^\.+$/.test(String(each)))) {
          if (entry.nodeid !== 0n) brought++;
          else looks += ok(fs.lookup(nodeid, String(name))).attr.size;
        }
        offset = entries.at(-1)?.off ?? 0n;
      }
      ok(fs.releasedir(nodeid, fh));
      expect(looks + brought).toBe(LARGE);
      expect(brought).toBeGreaterThan(LARGE / 2);
      expect(await requests()).toMatchObject({ ListObjectsV2: PAGES, HeadObject: LARGE });
      const again = fs.listPlus(nodeid).filter(({ entry }) => entry.nodeid !== 0n);
      expect(again).toHaveLength(LARGE);
      expect((await requests()).HeadObject).toBe(LARGE);
    });

    test("READDIRPLUS asks for no attributes while nobody looks at an entry", async () => {
      await enter("names-only");
      expect(fs.listPlus(nodeid)).toHaveLength(LARGE + 2);
      expect(await requests()).toEqual({ ListObjectsV2: PAGES });
    });

    test("a single look-up asks for no neighbour", async () => {
      await enter("one");
      const names = namesIn(nodeid);
      ok(fs.lookup(nodeid, names[700] ?? ""));
      expect((await requests()).HeadObject).toBe(1);
    });
  });

  test("a small object is one GET, and none when it is read again", async () => {
    ok(fs.lookup(ROOT, "small"));
    await fake.command("reset-counts");
    expect([contents("small"), contents("small")]).toEqual(["hello", "hello"]);
    expect((await requests()).GetObject).toBe(1);
  });

  test("written data, mode and attributes are one PUT; unknown metadata stay", async () => {
    const { nodeid } = ok(fs.lookup(ROOT, "edited"));
    const { fh } = ok(fs.open(nodeid, 2));
    await fake.command("reset-counts");
    ok(fs.write(nodeid, fh, 0, "AFTER!"));
    ok(fs.setattr(nodeid, { mode: 0o600, uid: 5 }));
    ok(fs.setxattr(nodeid, "user.colour", "red"));
    ok(fs.fsync(nodeid, fh));
    ok(fs.release(nodeid, fh));
    expect((await requests()).PutObject).toBe(1);
    expect(await textOf("edited")).toBe("AFTER!");
    const { Metadata } = await s3.send(new HeadObjectCommand({ Bucket: BUCKET, Key: "edited" }));
    expect(Metadata).toMatchObject({ owner: "Ann", mode: String(0o100600), uid: "5" });
  });

  test("write-temp-then-rename leaves the new contents under the old key", async () => {
    expect(contents("config")).toBe("old");
    const made = ok(fs.create(ROOT, "config.tmp"));
    ok(fs.write(made.nodeid, made.fh, 0, "new"));
    ok(fs.release(made.nodeid, made.fh));
    ok(fs.rename(ROOT, "config.tmp", ROOT, "config"));
    expect(contents("config")).toBe("new");
    ok(fs.syncfs());
    expect(await textOf("config")).toBe("new");
    await expect(textOf("config.tmp")).rejects.toThrow();
  });

  test("a renamed directory has its objects under the new keys", async () => {
    ok(fs.lookup(ROOT, "before"));
    ok(fs.rename(ROOT, "before", ROOT, "after"));
    expect([contents("after/a"), contents("after/b/c")]).toEqual(["a", "b/c"]);
    ok(fs.syncfs());
    expect([await textOf("after/a"), await textOf("after/b/c")]).toEqual(["a", "b/c"]);
    await expect(textOf("before/a")).rejects.toThrow();
  });

  test("a directory stays when its last entry goes", async () => {
    const { nodeid } = ok(fs.lookup(ROOT, "kept"));
    ok(fs.unlink(nodeid, "last"));
    ok(fs.syncfs());
    await s3.send(new HeadObjectCommand({ Bucket: BUCKET, Key: "kept/" }));
    expect(namesIn(nodeid)).toEqual([]);
  });

  test("the directories of a directory are asked for side by side, one HEAD for each", async () => {
    const { nodeid } = ok(fs.lookup(ROOT, "folders"));
    const names = namesIn(nodeid);
    expect(names).toHaveLength(FOLDERS);
    await fake.command("settings", { latencyMs: 20 });
    await fake.command("reset-counts");
    for (const name of names) expect(ok(fs.lookup(nodeid, name)).attr.mode).toBe(0o040755);
    const { operations, mostRequests } = await fake.command("settings", { latencyMs: 0 });
    expect(operations).toEqual({ HeadObject: FOLDERS });
    expect(mostRequests).toBeGreaterThan(8);
  });

  test("hard links and devices are refused", () => {
    const { nodeid, fh } = ok(fs.create(ROOT, "single"));
    ok(fs.release(nodeid, fh));
    expect(fs.link(nodeid, ROOT, "other").error).toBe("EPERM");
    expect(fs.mknod(ROOT, "fifo", 0o010644).error).toBe("EPERM");
    expect(fs.mkdir(ROOT, Buffer.from([0xff])).error).toBe("EILSEQ");
  });
});
