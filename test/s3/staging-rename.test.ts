import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { SourceObject, StagingArea } from "../../backends/s3/staging/staging.js";
import { EIO } from "../../src/vfs/errno.js";
import { ATTRIBUTES, contents, StagingShare, until } from "./support/staging-share.js";

let share: StagingShare;
let area: StagingArea;

beforeEach(async () => {
  share = await StagingShare.start();
  area = share.open();
});
afterEach(() => share.stop());

describe("a rename", () => {
  it("of what was never published costs nothing", async () => {
    const file = area.create("tmp", ATTRIBUTES);
    await file.write(0, Buffer.from("data"));
    expect(area.rename(file, "final")).toBe(0);
    expect(area.find("final")).toBe(file);
    expect(area.find("tmp")).toBeUndefined();
    expect(await file.sync()).toBe(0);
    expect(await share.keys()).toEqual(["final"]);
    expect(share.requests).toEqual({ PutObject: 1, ListObjectsV2: 1 });
    file.release();
  });

  it("of an object copies and deletes, and shows at once", async () => {
    const source = await share.putForeign("a", "data");
    const replaced = await share.putForeign("b", "old");
    expect(area.rename(source, "b", replaced)).toBe(0);
    expect(area.isRemoved("a")).toBe(true);
    expect(area.find("b")?.source?.key).toBe("a");
    expect(await area.sync("")).toBe(0);
    expect(share.object("b")?.toString()).toBe("data");
    expect(share.object("a")).toBeUndefined();
    expect(share.requests).toEqual({ CopyObject: 1, DeleteObject: 1 });
    expect(area.isRemoved("a")).toBe(true);
    expect(area.find("b")).toBeUndefined();
  });

  /** Renames a to b, b to c and so on, and the last to a, by way of another name. */
  async function rotate(names: readonly string[]): Promise<void> {
    const objects = [];
    for (const name of names) objects.push(await share.putForeign(name, `of ${name}`));
    const last = objects.at(-1) as SourceObject;
    expect(area.rename(last, "aside")).toBe(0);
    for (let i = names.length - 2; i >= 0; i--) {
      expect(area.rename(objects[i] as SourceObject, names[i + 1] as string)).toBe(0);
    }
    expect(area.rename(area.find("aside") ?? last, names[0] as string)).toBe(0);
  }

  async function expectRotated(names: readonly string[]): Promise<void> {
    expect(await share.keys()).toEqual(names);
    for (const [index, name] of names.entries()) {
      expect(share.object(name)?.toString()).toBe(`of ${names.at(index - 1)}`);
    }
  }

  it.each([2, 3])("of %i objects in a circle shows at once and ends in the bucket", async (count) => {
    const names = ["a", "b", "c"].slice(0, count);
    await rotate(names);
    expect(names.map((name) => area.find(name)?.source?.key)).toEqual([names.at(-1), ...names.slice(0, -1)]);
    expect(await area.sync("")).toBe(0);
    await expectRotated(names);
  });

  it("in a circle needs no bucket, and survives the end of the gateway at any time", async () => {
    const names = ["a", "b", "c"];
    await share.stop();
    for (let requests = 0; ; requests++) {
      share = await StagingShare.start({}, 200);
      area = share.open();
      await rotate(names);
      share.server.faults.add({ kind: "error", skip: requests, times: Number.POSITIVE_INFINITY });
      const status = await area.sync("");
      await area.close();
      share.server.faults.clear();
      area = share.open();
      expect(await area.sync("")).toBe(0);
      await expectRotated(names);
      if (status === 0) break;
      expect(status).toBe(-EIO);
      await share.stop();
    }
  });

  it("in a circle while the files go up ends as it should", async () => {
    const [a, b] = [area.create("a", ATTRIBUTES), area.create("b", ATTRIBUTES)];
    await a.write(0, Buffer.from("of a"));
    await b.write(0, Buffer.from("of b"));
    share.server.latencyMs = 50;
    const synced = Promise.all([a.sync(), b.sync()]);
    await until(() => share.requests.PutObject === 2);
    expect([area.rename(a, "c"), area.rename(b, "a"), area.rename(a, "b")]).toEqual([0, 0, 0]);
    expect(await synced).toEqual([0, 0]);
    share.server.latencyMs = 0;
    expect(await area.sync("")).toBe(0);
    await expectRotated(["a", "b"]);
    a.release();
    b.release();
  });

  it("of a file that goes up makes room for a new one at once", async () => {
    const first = area.create("a", ATTRIBUTES);
    await first.write(0, Buffer.from("first"));
    share.server.latencyMs = 50;
    const synced = first.sync();
    await until(() => share.requests.PutObject === 1);
    expect(area.rename(first, "a~")).toBe(0);
    const second = area.create("a", ATTRIBUTES);
    await second.write(0, Buffer.from("second"));
    expect(await Promise.all([synced, second.sync()])).toEqual([0, 0]);
    share.server.latencyMs = 0;
    expect(await area.sync("")).toBe(0);
    expect(share.object("a")?.toString()).toBe("second");
    expect(share.object("a~")?.toString()).toBe("first");
    first.release();
    second.release();
  });

  it("and a removal leave nothing of what was being sent when the gateway was killed", async () => {
    const file = area.create("a", ATTRIBUTES);
    await file.write(0, Buffer.from("data"));
    share.server.faults.add({ kind: "delay", operation: "PutObject", delayMs: 300 });
    void file.sync();
    await until(() => share.requests.PutObject === 1);
    area.rename(file, "b");
    area.remove("b");
    // All that is left of a killed gateway is its directory.
    const journal = readFileSync(join(share.directory, "journal"));
    await until(() => share.object("a") !== undefined);
    await area.close();
    writeFileSync(join(share.directory, "journal"), journal);
    area = share.open();
    expect(area.isRemoved("a")).toBe(true);
    expect(await area.sync("")).toBe(0);
    expect(await share.keys()).toEqual([]);
    expect(area.isRemoved("a")).toBe(true);
  });

  it("and a new file in the old place keep both", async () => {
    const source = await share.putForeign("a", "first");
    expect(area.rename(source, "b")).toBe(0);
    const file = area.create("a", ATTRIBUTES);
    expect(area.isRemoved("a")).toBe(false);
    await file.write(0, Buffer.from("second"));
    expect(await file.sync()).toBe(0);
    expect(share.object("a")?.toString()).toBe("second");
    expect(share.object("b")?.toString()).toBe("first");
    file.release();
  });

  it("away from where the file is being written hides and removes that", async () => {
    const file = area.create("a", ATTRIBUTES);
    await file.write(0, Buffer.from("here"));
    expect(await file.sync()).toBe(0);
    share.server.latencyMs = 100;
    area.rename(file, "other");
    const published = file.sync();
    await until(() => (share.requests.CopyObject ?? 0) > 0);
    area.rename(file, "a");
    expect(area.isRemoved("other")).toBe(true);
    area.remove("a");
    file.release();
    await published;
    share.server.latencyMs = 0;
    expect(area.isRemoved("other")).toBe(true);
    await area.drain(() => {}, new AbortController().signal);
    expect(await share.keys()).toEqual([]);
  });

  it("there and back again leaves the object as it was", async () => {
    const source = await share.putForeign("a", "data");
    expect(area.rename(source, "b")).toBe(0);
    expect(area.rename(area.find("b") ?? source, "a")).toBe(0);
    expect(area.isRemoved("a")).toBe(false);
    expect(await area.sync("")).toBe(0);
    expect(await share.keys()).toEqual(["a"]);
    expect(share.object("a")?.toString()).toBe("data");
  });

  it("while the file goes up ends at the new name", async () => {
    share.server.latencyMs = 100;
    const file = area.create("tmp", ATTRIBUTES);
    await file.write(0, Buffer.from("data"));
    const synced = file.sync();
    await until(() => (share.requests.PutObject ?? 0) > 0);
    expect(area.rename(file, "final")).toBe(0);
    expect(await synced).toBe(0);
    share.server.latencyMs = 0;
    expect(await area.sync("")).toBe(0);
    expect(await share.keys()).toEqual(["final"]);
    file.release();
  });

  it("of a directory takes along what is staged and what is not", async () => {
    const one = await share.putForeign("old/one", "1");
    const two = await share.putForeign("old/sub/two", "2");
    await share.putForeign("old/", "");
    const marker = { key: "old/", etag: (await share.store.head("old/")).etag, size: 0 };
    const file = area.create("old/three", ATTRIBUTES);
    await file.write(0, Buffer.from("3"));
    const moves = [marker, one, two].map((object) => ({
      object,
      to: object.key.replace("old/", "new/"),
    }));
    expect(area.renameDirectory("old/", "new/", moves)).toBe(0);
    expect(area.isGone("old/")).toBe(true);
    expect([...area.childrenOf("new/").keys()].sort()).toEqual(["", "one", "sub/", "three"]);
    expect((await contents(area.find("new/sub/two") as never)).toString()).toBe("2");
    expect(await area.sync("")).toBe(0);
    expect(await share.keys()).toEqual(["new/", "new/one", "new/sub/two", "new/three"]);
    expect(share.object("new/three")?.toString()).toBe("3");
    file.release();
  });
});
