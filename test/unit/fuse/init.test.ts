import { afterAll, describe, expect, test } from "vitest";
import { InitFlag, InitFlag2 } from "../../../src/fuse/protocol.js";
import { EPROTO } from "../../../src/vfs/errno.js";
import { type DriverOptions, lane, SessionDriver } from "./session-driver.js";

const ACL = InitFlag.POSIX_ACL | InitFlag.DONT_MASK | InitFlag.SETXATTR_EXT;

afterAll(() => lane.close());

function offered(options: DriverOptions): { flags: number; flags2: number } {
  return new SessionDriver(options).init();
}

describe("INIT offers", () => {
  test.each<[string, number, DriverOptions, DriverOptions]>([
    [
      "WRITEBACK_CACHE where data is cached",
      InitFlag.WRITEBACK_CACHE,
      { features: { writeback: true } },
      { features: { writeback: true }, cachePolicy: { directIo: true } },
    ],
    ["WRITEBACK_CACHE only if wanted", InitFlag.WRITEBACK_CACHE, { features: { writeback: true } }, {}],
    ["READDIRPLUS", InitFlag.DO_READDIRPLUS, {}, { features: { readdirplus: false } }],
    ["READDIRPLUS_AUTO", InitFlag.READDIRPLUS_AUTO, {}, { features: { readdirplus: false } }],
    [
      "READDIRPLUS_AUTO unless the backend chooses",
      InitFlag.READDIRPLUS_AUTO,
      {},
      { capabilities: { choosesAttributes: true } },
    ],
    ["SUBMOUNTS", InitFlag.SUBMOUNTS, {}, { features: { announceSubmounts: false } }],
    ["HANDLE_KILLPRIV_V2", InitFlag.HANDLE_KILLPRIV_V2, { features: { killPrivileges: true } }, {}],
    ["EXPORT_SUPPORT", InitFlag.EXPORT_SUPPORT, { capabilities: { parents: true } }, {}],
    ["AUTO_INVAL_DATA", InitFlag.AUTO_INVAL_DATA, { capabilities: { changesOutside: true } }, {}],
    ["CACHE_SYMLINKS", InitFlag.CACHE_SYMLINKS, { cachePolicy: { keepCache: true } }, {}],
    [
      "POSIX_ACL and what belongs to it where backend and user want it",
      ACL,
      { capabilities: { posixAcl: true }, features: { posixAcl: "auto" } },
      { features: { posixAcl: "auto" } },
    ],
    [
      "POSIX_ACL never unasked",
      ACL,
      { capabilities: { posixAcl: true }, features: { posixAcl: "always" } },
      { capabilities: { posixAcl: true } },
    ],
  ])("%s", (_what, flag, withIt, without) => {
    expect(offered(withIt).flags & flag).toBe(flag);
    expect(offered(without).flags & flag).toBe(0);
  });

  test("mappings of files that bypass the cache", () => {
    const flag = InitFlag2.DIRECT_IO_ALLOW_MMAP;
    const allowMmap = { features: { allowMmap: true } };
    expect(offered({ ...allowMmap, cachePolicy: { directIo: true } }).flags2 & flag).toBe(flag);
    expect(offered(allowMmap).flags2 & flag).toBe(0);
    expect(offered({ cachePolicy: { directIo: true } }).flags2 & flag).toBe(0);
  });

  test("never NO_OPENDIR_SUPPORT, nor what it does not know", () => {
    const { flags, flags2 } = offered({ features: { writeback: true, killPrivileges: true } });
    expect(flags & ((1 << 24) | (1 << 31))).toBe(0);
    expect(flags2).toBe(InitFlag2.CREATE_SUPP_GROUP);
  });
});

test("a share that requires ACLs refuses a guest without", () => {
  const driver = new SessionDriver({ capabilities: { posixAcl: true }, features: { posixAcl: "always" } });
  expect(driver.init(~InitFlag.POSIX_ACL).status).toBe(-EPROTO);
  expect(driver.log).toEqual(["the guest does not support POSIX ACLs, which this share requires"]);
  expect(driver.session.initialised).toBe(false);
  expect(driver.init().status).toBe(64);
});
