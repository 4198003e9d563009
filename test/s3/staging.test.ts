import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { StagingArea } from "../../backends/s3/staging/staging.js";
import { EACCES, EIO, ESTALE } from "../../src/vfs/errno.js";
import { ATTRIBUTES, contents, StagingShare, until } from "./support/staging-share.js";

const MIB = 2 ** 20;
let share: StagingShare;
let area: StagingArea;

beforeEach(async () => {
  share = await StagingShare.start();
  area = share.open();
});
afterEach(() => share.stop());

function pattern(size: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(size);
  for (let i = 0; i + 4 <= size; i += 4) bytes.writeUInt32LE((i * 2654435761 + seed) >>> 0, i);
  return bytes;
}

describe("a new file", () => {
  it("is one PUT with its last attributes", async () => {
    const file = area.create("dir/a", { metadata: { mode: "1" } });
    expect(file.write(0, Buffer.from("hello"))).toBe(5);
    file.setAttributes(ATTRIBUTES);
    expect([...area.childrenOf("dir/").keys()]).toEqual(["a"]);
    expect([...area.childrenOf("").keys()]).toEqual(["dir/"]);
    expect(await file.sync()).toBe(0);
    expect(share.object("dir/a")?.toString()).toBe("hello");
    expect((await share.store.head("dir/a")).attributes.metadata).toEqual(ATTRIBUTES.metadata);
    expect(share.requests).toEqual({ PutObject: 1, HeadObject: 1 });
    expect(file.dirty).toBe(false);
    file.release();
    expect(area.find("dir/a")).toBeUndefined();
  });

  it("is published after its last close", async () => {
    area.create("empty", ATTRIBUTES).release();
    await until(() => share.object("empty") !== undefined);
    await until(() => area.find("empty") === undefined);
    expect(share.object("empty")).toHaveLength(0);
  });

  it("goes up in parts while it is written, and nothing twice", async () => {
    const data = pattern(80 * MIB);
    const file = area.create("big", ATTRIBUTES);
    for (let offset = 0; offset < data.length; offset += MIB) {
      expect(await file.write(offset, data.subarray(offset, offset + MIB))).toBe(MIB);
    }
    await until(() => (share.requests.UploadPart ?? 0) > 5);
    expect(await file.sync()).toBe(0);
    expect(share.object("big")?.equals(data)).toBe(true);
    expect(share.requests).toEqual({ CreateMultipartUpload: 1, UploadPart: 10, CompleteMultipartUpload: 1 });
    file.release();
  });

  it("keeps what is written again behind the stream", async () => {
    const data = pattern(80 * MIB);
    const file = area.create("big", ATTRIBUTES);
    for (let offset = 0; offset < data.length; offset += MIB) {
      await file.write(offset, data.subarray(offset, offset + MIB));
    }
    await until(() => (share.requests.UploadPart ?? 0) > 5);
    data.write("changed", 3 * MIB);
    await file.write(3 * MIB, Buffer.from("changed"));
    expect(await file.sync()).toBe(0);
    expect(share.object("big")?.equals(data)).toBe(true);
    expect(share.openUploads).toBe(0);
    file.release();
  });
});

describe("an edit", () => {
  it("copies what did not change", async () => {
    const data = pattern(40 * MIB);
    const source = await share.putForeign("big", data);
    const file = area.edit(source);
    await file.write(20 * MIB + 5, Buffer.from("changed"));
    data.write("changed", 20 * MIB + 5);
    file.setAttributes(ATTRIBUTES);
    expect((await contents(file)).equals(data)).toBe(true);
    share.server.counts.reset();
    expect(await file.sync()).toBe(0);
    expect(share.object("big")?.equals(data)).toBe(true);
    expect(share.requests).toMatchObject({ UploadPart: 1, UploadPartCopy: 2, CompleteMultipartUpload: 1 });
    expect(share.server.counts.bytesIn).toBeLessThan(9 * MIB);
    file.release();
  });

  it("of attributes alone is one copy", async () => {
    const source = await share.putForeign("a", "abc");
    const file = area.edit(source);
    file.setAttributes(ATTRIBUTES);
    expect(await file.sync()).toBe(0);
    expect((await share.store.head("a")).attributes.metadata).toEqual(ATTRIBUTES.metadata);
    expect(share.requests).toEqual({ CopyObject: 1, HeadObject: 1 });
    file.release();
  });

  it("truncates, lengthens, punches and appends", async () => {
    const source = await share.putForeign("a", "0123456789");
    const file = area.edit(source);
    expect(await file.truncate(6)).toBe(0);
    expect(await file.truncate(12)).toBe(0);
    expect((await contents(file)).toString("latin1")).toBe("012345\0\0\0\0\0\0");
    expect(await file.allocate(3, 1, 2)).toBe(0);
    expect(await file.append(Buffer.from("end"))).toBe(3);
    const expected = "0\0\x00345\0\0\0\0\0\0end";
    expect((await contents(file)).toString("latin1")).toBe(expected);
    expect(await file.sync()).toBe(0);
    expect(share.object("a")?.toString("latin1")).toBe(expected);
    file.release();
  });

  it("has the holes that were made in it also after it was published", async () => {
    const file = area.create("a", ATTRIBUTES);
    await file.write(0, pattern(MIB));
    expect(await file.allocate(3, 65_536, 65_536)).toBe(0);
    await file.write(2 * MIB, Buffer.from("end"));
    for (let round = 0; round < 2; round++) {
      expect(file.seek(0, 4)).toBe(65_536);
      expect(file.seek(65_536, 3)).toBe(131_072);
      expect(file.seek(131_072, 4)).toBe(MIB);
      expect(file.seek(MIB, 3)).toBe(2 * MIB);
      expect(file.seek(2 * MIB, 4)).toBe(2 * MIB + 3);
      expect(await file.sync()).toBe(0);
    }
    share.server.counts.reset();
    const expected = Buffer.alloc(2 * MIB + 3);
    pattern(MIB).copy(expected);
    expected.fill(0, 65_536, 131_072).write("end", 2 * MIB);
    expect((await contents(file)).equals(expected)).toBe(true);
    expect(share.object("a")?.equals(expected)).toBe(true);
    expect(share.requests).toEqual({});
  });

  it("does not change below a publication that has begun", async () => {
    const data = pattern(40 * MIB);
    const file = area.edit(await share.putForeign("big", pattern(40 * MIB, 7)));
    await file.write(0, data);
    share.server.latencyMs = 50;
    const synced = file.sync();
    await until(() => (share.requests.UploadPart ?? 0) > 0);
    const written = file.write(39 * MIB, Buffer.from("later"));
    expect(await synced).toBe(0);
    expect(await written).toBe(5);
    expect(share.object("big")?.equals(data)).toBe(true);
    expect(file.dirty).toBe(true);
    expect(await file.sync()).toBe(0);
    expect(
      share
        .object("big")
        ?.subarray(39 * MIB, 39 * MIB + 5)
        .toString(),
    ).toBe("later");
    file.release();
  });
});

describe("a conflict", () => {
  it("is ESTALE, and the local version goes to lost+found", async () => {
    const conflicts: (string | undefined)[][] = [];
    await area.close();
    area = share.open({}, { conflict: (_, key, lostKey) => conflicts.push([key, lostKey]) });
    const source = await share.putForeign("dir/a", "before");
    const file = area.edit(source);
    await file.write(0, Buffer.from("local!"));
    await share.putForeign("dir/a", "remote");
    expect(await file.sync()).toBe(-ESTALE);
    expect(share.object("dir/a")?.toString()).toBe("remote");
    const [[key, lostKey] = []] = conflicts;
    expect(key).toBe("dir/a");
    expect(lostKey).toMatch(/^lost\+found\/a\./);
    expect(share.object(lostKey ?? "")?.toString()).toBe("local!");
    expect(area.find("dir/a")).toBeUndefined();
    expect(await file.write(0, Buffer.from("x"))).toBe(-ESTALE);
    file.release();
  });

  it("with a creation is one, too", async () => {
    const file = area.create("a", ATTRIBUTES);
    await file.write(0, Buffer.from("local"));
    await share.putForeign("a", "remote");
    expect(await file.sync()).toBe(-ESTALE);
    expect(share.object("a")?.toString()).toBe("remote");
    expect((await share.keys()).filter((key) => key.startsWith("lost+found/a."))).toHaveLength(1);
    file.release();
  });

  it("is found without conditions of the endpoint as well", async () => {
    await share.stop();
    share = await StagingShare.start({ createOnly: false, replaceOnly: false });
    area = share.open();
    const file = area.edit(await share.putForeign("a", "before"));
    await file.write(0, Buffer.from("local!"));
    await share.putForeign("a", "remote");
    expect(await file.sync()).toBe(-ESTALE);
    expect(share.object("a")?.toString()).toBe("remote");
    file.release();
  });

  it.each([
    ["overwrite", "new", "local"],
    ["s3-wins", "new", "remote"],
  ] as const)("with policy %s", async (onConflict, key, wins) => {
    await area.close();
    area = share.open({ onConflict });
    const file = area.create(key, ATTRIBUTES);
    await file.write(0, Buffer.from("local"));
    await share.putForeign(key, "remote");
    expect(await file.sync()).toBe(wins === "local" ? 0 : -ESTALE);
    expect(share.object(key)?.toString()).toBe(wins);
    expect(await share.keys()).toEqual([key]);
    file.release();
  });
});

describe("a removal", () => {
  it("hides at once and deletes many with one request", async () => {
    for (let i = 0; i < 20; i++) await share.store.put(`d/${i}`, Buffer.from("x"), ATTRIBUTES);
    share.server.counts.reset();
    for (let i = 0; i < 20; i++) area.remove(`d/${i}`);
    area.removeDirectory("d/");
    expect(area.isRemoved("d/3")).toBe(true);
    expect(area.isGone("d/")).toBe(true);
    expect(await area.sync("")).toBe(0);
    expect(share.requests).toEqual({ DeleteObjects: 1 });
    expect(await share.keys()).toEqual([]);
    area.create("d/new", ATTRIBUTES).release();
    expect(area.isGone("d/")).toBe(false);
  });

  it("of a file that goes up leaves nothing", async () => {
    share.server.latencyMs = 50;
    const file = area.create("a", ATTRIBUTES);
    await file.write(0, pattern(30 * MIB));
    const synced = file.sync();
    await until(() => (share.requests.UploadPart ?? 0) > 0);
    area.remove("a");
    expect(area.isRemoved("a")).toBe(true);
    await synced;
    expect(await contents(file)).toHaveLength(30 * MIB);
    file.release();
    share.server.latencyMs = 0;
    await until(async () => share.openUploads === 0 && (await share.keys()).length === 0);
  });

  it("and a new file in its place are one PUT", async () => {
    await share.putForeign("a", "old");
    area.remove("a");
    const file = area.create("a", ATTRIBUTES);
    await file.write(0, Buffer.from("new"));
    expect(await file.sync()).toBe(0);
    expect(share.object("a")?.toString()).toBe("new");
    expect(share.requests).toEqual({ PutObject: 1 });
    file.release();
  });

  it("leaves an open file readable", async () => {
    const source = await share.putForeign("a", "abcdef");
    const file = area.edit(source);
    await file.write(0, Buffer.from("X"));
    area.remove("a");
    expect((await contents(file)).toString()).toBe("Xbcdef");
    await file.write(1, Buffer.from("Y"));
    expect((await contents(file)).toString()).toBe("XYcdef");
    file.release();
    await until(() => share.object("a") === undefined);
  });
});

describe("a server in trouble", () => {
  it("is waited for in the background, and the error is told once", async () => {
    await share.stop();
    share = await StagingShare.start({}, 500);
    area = share.open();
    share.server.faults.add({ kind: "error", times: Number.POSITIVE_INFINITY });
    const file = area.create("a", ATTRIBUTES);
    await file.write(0, Buffer.from("data"));
    expect(await file.sync()).toBe(-EIO);
    expect(file.takeError()).toBe(0);
    expect(file.dirty).toBe(true);
    share.server.faults.clear();
    await until(() => share.object("a") !== undefined);
    expect(share.object("a")?.toString()).toBe("data");
    file.release();
  });

  it.each(["lost", "lost-error", "reset"] as const)("answers are not needed: %s", async (kind) => {
    const source = await share.putForeign("old", "data");
    for (const operation of ["PutObject", "CopyObject", "CompleteMultipartUpload", "CreateMultipartUpload"]) {
      share.server.faults.add({ kind, operation, status: 500, code: "InternalError" });
    }
    const file = area.create("small", ATTRIBUTES);
    await file.write(0, Buffer.from("small"));
    const big = area.create("big", ATTRIBUTES);
    await big.write(0, pattern(20 * MIB));
    expect(area.rename(source, "new")).toBe(0);
    await until(async () => (await area.sync("")) === 0);
    expect(await share.keys()).toEqual(["big", "new", "small"]);
    expect(share.object("big")?.equals(pattern(20 * MIB))).toBe(true);
    await until(() => share.openUploads === 0);
    file.release();
    big.release();
  });
});

describe("a restart", () => {
  it("goes on with everything that was not finished", async () => {
    const source = await share.putForeign("old", "moved");
    const edited = await share.putForeign("edited", pattern(20 * MIB));
    share.server.faults.add({ kind: "error", times: Number.POSITIVE_INFINITY });
    await area.create("new", ATTRIBUTES).write(0, Buffer.from("new"));
    await area.edit(edited).write(MIB, Buffer.from("edit"));
    area.rename(source, "renamed");
    area.remove("gone");
    await area.close();

    const again = share.open();
    expect([...again.childrenOf("").keys()].sort()).toEqual(["edited", "new", "renamed"]);
    expect(again.isRemoved("old")).toBe(true);
    expect(again.isRemoved("gone")).toBe(true);
    expect(again.find("new")?.size).toBe(3);
    expect(again.find("new")?.attributes).toEqual(ATTRIBUTES);
    share.server.faults.clear();
    await again.drain(() => {}, new AbortController().signal);
    expect(await share.keys()).toEqual(["edited", "new", "renamed"]);
    const expected = pattern(20 * MIB);
    expected.write("edit", MIB);
    expect(share.object("edited")?.equals(expected)).toBe(true);
    expect(share.openUploads).toBe(0);
  });

  it("continues an upload with the parts that are there", async () => {
    const data = pattern(80 * MIB);
    const file = area.create("big", ATTRIBUTES);
    await file.write(0, data);
    share.server.faults.add({
      kind: "error",
      operation: "CompleteMultipartUpload",
      times: Number.POSITIVE_INFINITY,
      status: 403,
      code: "AccessDenied",
    });
    expect(await file.sync()).toBe(-EACCES);
    await area.close();
    share.server.faults.clear();
    share.server.counts.reset();

    const again = share.open();
    await again.drain(() => {}, new AbortController().signal);
    expect(share.object("big")?.equals(data)).toBe(true);
    expect(share.requests).toEqual({ ListParts: 1, CompleteMultipartUpload: 1 });
  });

  it("recognises an edit that arrived without an answer, though its source is gone", async () => {
    await share.stop();
    share = await StagingShare.start({}, 500);
    area = share.open();
    const file = area.edit(await share.putForeign("a", "0123456789"));
    await file.write(2, Buffer.from("XY"));
    share.server.faults.add({ kind: "lost", operation: "PutObject" });
    share.server.faults.add({ kind: "error", skip: 1, times: Number.POSITIVE_INFINITY });
    expect(await file.sync()).toBe(-EIO);
    await file.write(5, Buffer.from("Z"));
    await area.close();
    share.server.faults.clear();

    const again = share.open();
    await again.drain(() => {}, new AbortController().signal);
    expect(share.object("a")?.toString()).toBe("01XY4Z6789");
    expect(await share.keys()).toEqual(["a"]);
  });

  it("recognises a copy that arrived without an answer, though copying changes the ETag", async () => {
    await share.stop();
    share = await StagingShare.start({}, 2000);
    area = share.open();
    const data = pattern(9 * MIB);
    const file = area.create("big", ATTRIBUTES);
    await file.write(0, data);
    expect(await file.sync()).toBe(0);
    const { key, etag, size } = await share.store.head("big");
    file.release();
    await until(() => area.find("big") === undefined);
    share.server.faults.add({ kind: "lost", operation: "CopyObject" });
    const unanswered = ["CopyObject", "HeadObject"];
    share.server.faults.add({
      kind: "error",
      operation: unanswered,
      skip: 1,
      times: Number.POSITIVE_INFINITY,
    });
    expect(await area.rename({ key, etag, size }, "moved")).toBe(0);
    expect(await area.sync("")).toBe(-EIO);
    await area.close();
    share.server.faults.clear();

    const again = share.open();
    await again.drain(() => {}, new AbortController().signal);
    expect(await share.keys()).toEqual(["moved"]);
    expect(share.object("moved")?.equals(data)).toBe(true);
  });

  it("leaves no second upload of a file whose completion arrived without an answer", async () => {
    await share.stop();
    share = await StagingShare.start({}, 500);
    area = share.open();
    const data = pattern(20 * MIB);
    await area.create("big", ATTRIBUTES).write(0, data);
    share.server.faults.add({ kind: "lost", operation: "CompleteMultipartUpload" });
    const unanswered = ["CompleteMultipartUpload", "ListParts", "HeadObject"];
    share.server.faults.add({ kind: "error", operation: unanswered, times: Number.POSITIVE_INFINITY });
    const synced = area.sync("");
    await until(() => share.object("big") !== undefined);
    expect(await synced).toBe(-EIO);
    await area.close();
    share.server.faults.clear();

    const again = share.open();
    await again.drain(() => {}, new AbortController().signal);
    expect(share.object("big")?.equals(data)).toBe(true);
    expect(share.openUploads).toBe(0);
  });

  it("aborts what it gave up while other uploads were being aborted", async () => {
    const failing = { kind: "error", status: 403, code: "AccessDenied" } as const;
    share.server.faults.add({ ...failing, operation: ["UploadPart"], times: Number.POSITIVE_INFINITY });
    for (const name of ["a", "b", "c"]) {
      const file = area.create(name, ATTRIBUTES);
      await file.write(0, pattern(12 * MIB));
      expect(await file.sync()).toBe(-EACCES);
      file.release();
    }
    expect(share.openUploads).toBe(3);
    share.server.faults.add({ kind: "delay", operation: "AbortMultipartUpload", delayMs: 100, times: 3 });
    area.remove("a");
    await until(() => (share.requests.AbortMultipartUpload ?? 0) > 0);
    area.remove("b");
    area.remove("c");
    await area.drain(() => {}, new AbortController().signal);
    expect(share.openUploads).toBe(0);
  });

  it("aborts the upload of a file that was removed before", async () => {
    const failing = { kind: "error", status: 403, code: "AccessDenied" } as const;
    share.server.faults.add({ ...failing, operation: ["UploadPart"], times: Number.POSITIVE_INFINITY });
    const file = area.create("a", ATTRIBUTES);
    await file.write(0, pattern(12 * MIB));
    expect(await file.sync()).toBe(-EACCES);
    area.remove("a");
    await area.close();
    expect(share.openUploads).toBe(1);

    await share.open().drain(() => {}, new AbortController().signal);
    expect(share.openUploads).toBe(0);
  });

  it("refuses a directory that is in use", () => {
    expect(() => share.open()).toThrow(/in use by another gateway/);
  });
});

describe("the limit", () => {
  it("lets writers wait for room, beyond its size", async () => {
    await area.close();
    area = share.open({ maxStagedBytes: 8 * MIB });
    const data = pattern(40 * MIB);
    const file = area.create("big", ATTRIBUTES);
    for (let offset = 0; offset < data.length; offset += MIB) {
      expect(await file.write(offset, data.subarray(offset, offset + MIB))).toBe(MIB);
      expect(file.localBytes).toBeLessThanOrEqual(8 * MIB);
    }
    expect((await contents(file)).equals(data)).toBe(true);
    expect(await file.sync()).toBe(0);
    expect(share.object("big")?.equals(data)).toBe(true);
    file.release();
  });
});
