import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { FuseClient } from "../support/frontend/fuse-client.js";
import { Frontend, Open, ok, ROOT } from "../support/frontend/index.js";
import { expectCleanLog } from "../support/frontend-testing.js";
import { gatewayCommand, startGateway } from "../support/gateway.js";

const NOBODY = 65534;
const asNobody = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];

/** Whether a user without rights can run the server where the repository lies. */
function possible(): boolean {
  const [program = "", ...args] = [...asNobody, ...gatewayCommand(), "--version"];
  return process.geteuid?.() === 0 && spawnSync(program, args).status === 0;
}

describe.runIf(possible())("a server without privileges", () => {
  const command = process.env.GATEWAY_COMMAND;
  beforeEach(() => {
    process.env.GATEWAY_COMMAND = [...asNobody, ...gatewayCommand()].join(" ");
  });
  afterEach(() => {
    if (command === undefined) delete process.env.GATEWAY_COMMAND;
    else process.env.GATEWAY_COMMAND = command;
  });

  async function serve(): Promise<{ fs: FuseClient; share: string }> {
    let share = "";
    const gateway = await startGateway((directory) => {
      share = join(directory, "share");
      mkdirSync(share);
      chownSync(share, NOBODY, NOBODY);
      writeFileSync(join(share, "roots"), "content");
      writeFileSync(join(share, "secret"), "content", { mode: 0o600 });
      mkdirSync(join(share, "closed"), { mode: 0o755 });
      chmodSync(directory, 0o777);
      return ["--shared-dir", share, "--xattr"];
    });
    const frontend = Frontend.connect(gateway.socketPath);
    onTestFinished(async () => {
      frontend.close();
      expectCleanLog(gateway);
      await gateway.stop();
    });
    const fs = new FuseClient(frontend);
    ok(fs.init());
    return { fs, share };
  }

  test("creates, changes, links, lists and removes what its user may, whoever the caller is", async () => {
    const { fs, share } = await serve();
    const made = ok(fs.create(ROOT, "mine", Open.RDWR, 0o640));
    expect(statSync(join(share, "mine"))).toMatchObject({ uid: NOBODY, gid: NOBODY, size: 0 });
    expect(ok(fs.write(made.nodeid, made.fh, 0, "hello")).size).toBe(5);
    expect(ok(fs.setattr(made.nodeid, { mode: 0o600, size: 3 })).attr.size).toBe(3);
    ok(fs.setxattr(made.nodeid, "user.x", "value"));
    expect(ok(fs.getxattr(made.nodeid, "user.x")).value.toString()).toBe("value");
    ok(fs.link(made.nodeid, ROOT, "second"));
    ok(fs.rename(ROOT, "second", ROOT, "third"));
    const directory = ok(fs.mkdir(ROOT, "d"));
    ok(fs.symlink(directory.nodeid, "l", "../mine"));
    ok(fs.mknod(directory.nodeid, "fifo", 0o010644));
    const names = fs.listPlus(ROOT).map((entry) => entry.name.toString());
    expect(names.sort()).toEqual([".", "..", "closed", "d", "mine", "roots", "secret", "third"]);
    ok(fs.release(made.nodeid, made.fh));
    ok(fs.unlink(directory.nodeid, "fifo"));
    ok(fs.unlink(directory.nodeid, "l"));
    ok(fs.rmdir(ROOT, "d"));
    ok(fs.unlink(ROOT, "third"));
  });

  test("is refused what its user may not", async () => {
    const { fs } = await serve();
    const roots = ok(fs.lookup(ROOT, "roots"));
    const reading = ok(fs.open(roots.nodeid, Open.RDONLY));
    expect(ok(fs.read(roots.nodeid, reading.fh, 0, 100)).data.toString()).toBe("content");
    expect(fs.open(roots.nodeid, Open.RDWR).error).toBe("EACCES");
    expect(fs.open(ok(fs.lookup(ROOT, "secret")).nodeid, Open.RDONLY).error).toBe("EACCES");
    expect(fs.setattr(roots.nodeid, { mode: 0o777 }).error).toBe("EPERM");
    expect(fs.setattr(roots.nodeid, { uid: NOBODY }).error).toBe("EPERM");
    expect(fs.create(ok(fs.lookup(ROOT, "closed")).nodeid, "x").error).toBe("EACCES");
    expect(fs.mknod(ROOT, "null", 0o020666, 0x103).error).toBe("EPERM");
    expect(fs.setxattr(roots.nodeid, "trusted.x", "value").error).toBe("EPERM");
  });
});
