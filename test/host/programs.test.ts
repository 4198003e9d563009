import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MountedShare, whyNoHostMounts } from "./mounted-share.js";

const directory = mkdtempSync(join(tmpdir(), "virtiofs-gateway-host-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Repositories with the configuration of this test only. */
const GIT = [
  "-c",
  "user.name=Test",
  "-c",
  "user.email=test@example.invalid",
  "-c",
  "init.defaultBranch=main",
];
const OFFLINE = { GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_SYSTEM: "/dev/null" };
Object.assign(process.env, OFFLINE);

const backends = [
  { name: "passthrough", args: ["--shared-dir", directory, "--xattr"] },
  { name: "memory", args: ["--backend", "memory", "--size", "1GiB", "--xattr"] },
];

/** One line per file with its checksum, in order. */
function checksums(folder: string): string {
  return execFileSync("sh", ["-c", "find . -type f -print0 | sort -z | xargs -0 sha256sum"], {
    cwd: folder,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
}

describe.skipIf(whyNoHostMounts() !== undefined).each(backends)("programs on a $name share", ({ args }) => {
  let share: MountedShare;
  beforeAll(async () => {
    share = await MountedShare.open(args);
  });
  afterAll(async () => {
    const { mount, gateway, log } = await share.close();
    expect({ mount, gateway }, log).toEqual({ mount: 0, gateway: 0 });
    expect(log).not.toContain("ERROR");
  });

  test("git: init, commits, clone, gc and fsck", () => {
    const repository = join(share.path, "repository");
    mkdirSync(repository);
    const git = (...command: string[]) => share.run("git", "-C", repository, ...GIT, ...command);
    git("init", "-q");
    for (let commit = 0; commit < 5; commit++) {
      for (let file = 0; file < 20; file++) {
        writeFileSync(join(repository, `file-${file}`), `${file} ${commit}\n`.repeat(100 + file));
      }
      git("add", ".");
      git("commit", "-q", "-m", `commit ${commit}`);
    }
    share.run("git", ...GIT, "clone", "-q", "repository", "clone");
    git("gc", "-q", "--prune=now");
    expect(git("fsck", "--full")).not.toContain("missing");
    expect(git("log", "--oneline").trim().split("\n")).toHaveLength(5);
    expect(git("status", "--porcelain")).toBe("");
    expect(share.run("git", "-C", "clone", "status", "--porcelain")).toBe("");
    expect(share.run("diff", "-r", "--exclude=.git", "repository", "clone")).toBe("");
  });

  test("fio writes at random places and verifies every block", () => {
    const report = share.run(
      "fio",
      "--name=verify",
      "--filename=fio.data",
      "--rw=randwrite",
      "--bsrange=512-128k",
      "--size=64m",
      "--verify=crc32c",
      "--verify_fatal=1",
      "--do_verify=1",
      "--ioengine=psync",
      "--end_fsync=1",
      "--output-format=terse",
    );
    // The fifth field of a terse line is the error of the job.
    const line = report.split("\n").find((text) => text.startsWith("3;"));
    expect(line?.split(";")[4]).toBe("0");
    expect(statSync(join(share.path, "fio.data")).size).toBeLessThanOrEqual(64 << 20);
    expect(readdirSync(share.path)).toContain("fio.data");
  });

  test("tar carries a tree with links, modes and times in and out", () => {
    const source = mkdtempSync(join(tmpdir(), "virtiofs-gateway-tree-"));
    execFileSync("sh", [
      "-c",
      `cd "$1" && mkdir -p a/b/c && for i in $(seq 200); do head -c $((i * 37)) /dev/urandom > a/b/f$i; done &&
       ln -s ../b/f1 a/c && ln a/b/f2 a/hard && chmod 4711 a/b/f3 && chmod 0 a/b/f4 && touch -d @1.123456789 a/b/f5`,
      "sh",
      source,
    ]);
    const archive = join(source, "..", `${source.split("/").pop()}.tar`);
    execFileSync("tar", ["-C", source, "-cf", archive, "."]);
    mkdirSync(join(share.path, "tree"));
    share.run("tar", "-C", "tree", "-xpf", archive);
    expect(checksums(join(share.path, "tree"))).toBe(checksums(source));
    expect(share.run("tar", "-C", "tree", "-df", archive)).toBe("");
    expect(statSync(join(share.path, "tree/a/hard")).nlink).toBe(2);
    rmSync(archive);
    rmSync(source, { recursive: true });
  });
});
