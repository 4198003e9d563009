import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GetObjectCommand, ListMultipartUploadsCommand, paginateListObjectsV2 } from "@aws-sdk/client-s3";
import { Client, ok, ROOT } from "../../support/frontend/index.js";
import { connectSdk } from "./connect.js";
import { BLOCK_BYTES, block, CrashModel, type ModelFile } from "./crash-model.js";
import { ServerProcess } from "./server-process.js";

/** Small pseudo-random numbers (mulberry32): a seed repeats a run. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) % below;
  };
}

const SMALL_BLOCKS = 6;
/** More than goes up in one request. */
const LARGE_BLOCKS = 200;
const LONGEST_LIFE_MS = 1500;
const SYNC_ATTEMPTS = 60;
/** All of them are read after each point. */
const MOST_FILES = 60;

/** One bucket, one staging directory, and gateways that are killed one after the other. */
export class CrashRun {
  readonly #server: ServerProcess;
  readonly #sdk;
  readonly #staging = mkdtempSync(join(tmpdir(), "crash-"));
  readonly #model = new CrashModel();
  readonly #random: (below: number) => number;
  #names = 0;

  private constructor(server: ServerProcess, seed: number) {
    this.#server = server;
    this.#sdk = connectSdk(server.endpoint);
    this.#random = generator(seed);
  }

  static async start(seed: number): Promise<CrashRun> {
    return new CrashRun(await ServerProcess.start("--latency-ms", "2"), seed);
  }

  async stop(): Promise<void> {
    this.#sdk.destroy();
    await this.#server.stop();
    rmSync(this.#staging, { recursive: true });
  }

  /** Works until the gateway is killed, starts another and looks into the bucket. @returns what is wrong */
  async point(faults: readonly object[]): Promise<string[]> {
    for (const fault of faults) await this.#server.command("faults", { times: 1e9, ...fault });
    const fs = await this.#mount();
    const lifeMs = this.#random(LONGEST_LIFE_MS);
    spawn("sh", ["-c", `sleep ${lifeMs / 1000}; kill -9 ${fs.gateway.pid}`], { stdio: "ignore" });
    try {
      for (;;) this.#step(fs);
    } catch (error) {
      await fs.gateway.waitForExit().catch(() => {
        throw error;
      });
      if (fs.gateway.exited?.signal !== "SIGKILL") throw error;
    }
    fs.frontend.close();
    await fs.gateway.stop();
    return this.#recover();
  }

  async #mount(): Promise<Client> {
    return Client.mount({
      serve: () => [...this.#server.gatewayArguments, "--staging-dir", this.#staging],
      gateway: { env: this.#server.gatewayEnvironment, startTimeoutMs: 60_000 },
      timeoutMs: 120_000,
    });
  }

  async #recover(): Promise<string[]> {
    const fs = await this.#mount();
    let synced = fs.syncfs();
    for (let attempt = 0; synced.error !== null && attempt < SYNC_ATTEMPTS; attempt++) {
      // The trouble was during the recovery as well; now it ends.
      await this.#server.command("clear-faults");
      synced = fs.syncfs();
    }
    await this.#server.command("clear-faults");
    const code = await fs.unmount();
    const wrong = this.#model.check(await this.#objects());
    const { Uploads = [] } = await this.#sdk.send(new ListMultipartUploadsCommand({ Bucket: "bucket" }));
    return [
      ...(synced.error === null ? [] : [`the recovery ended with ${synced.error}`]),
      ...(code === 0 ? [] : [`the gateway ended with ${code}`]),
      ...wrong,
      ...Uploads.map(({ Key }) => `an upload of ${Key} is open`),
    ];
  }

  async #objects(): Promise<Map<string, Buffer>> {
    const objects = new Map<string, Buffer>();
    for await (const { Contents = [] } of paginateListObjectsV2(
      { client: this.#sdk },
      { Bucket: "bucket" },
    )) {
      await Promise.all(
        Contents.map(async ({ Key = "" }) => {
          const { Body } = await this.#sdk.send(new GetObjectCommand({ Bucket: "bucket", Key }));
          objects.set(Key, Buffer.from((await Body?.transformToByteArray()) ?? []));
        }),
      );
    }
    return objects;
  }

  /** One thing that a program does. Throws when the gateway is gone. */
  #step(fs: Client): void {
    const steps = [
      () => this.#writeFile(fs, this.#newName(), 1 + this.#random(SMALL_BLOCKS)),
      () => this.#writeFile(fs, this.#newName(), this.#random(4) === 0 ? LARGE_BLOCKS : 1),
      () => this.#overwrite(fs),
      () => this.#overwrite(fs),
      () => this.#replace(fs),
      () => this.#rename(fs),
      () => this.#exchange(fs),
      () => this.#keepOld(fs),
      () => this.#directory(fs),
      () => this.#remove(fs),
    ];
    const isFull = this.#model.byPath().size > MOST_FILES;
    (isFull ? () => this.#remove(fs) : (steps[this.#random(steps.length)] as () => void))();
  }

  #newName(): string {
    return `f${this.#names++}`;
  }

  #anyFile(): { file: ModelFile; path: string } | undefined {
    const files = [...this.#model.byPath()];
    const [path, file] = files[this.#random(Math.max(files.length, 1))] ?? [];
    return path === undefined || file === undefined ? undefined : { file, path };
  }

  #parent(fs: Client, path: string): { nodeid: bigint; name: string } {
    const slash = path.lastIndexOf("/");
    return slash < 0
      ? { nodeid: ROOT, name: path }
      : { nodeid: ok(fs.walk(path.slice(0, slash))).nodeid, name: path.slice(slash + 1) };
  }

  #writeBlock(fs: Client, file: ModelFile, handle: { nodeid: bigint; fh: bigint }, index: number): void {
    const version = this.#model.nextVersion();
    // It may have been carried out even if its answer never comes.
    file.written[index] = version;
    ok(fs.write(handle.nodeid, handle.fh, index * BLOCK_BYTES, block(file.id, index, version)));
  }

  #sync(fs: Client, file: ModelFile, handle: { nodeid: bigint; fh: bigint }): void {
    if (fs.fsync(handle.nodeid, handle.fh).error === null) this.#model.acknowledge(file);
  }

  #writeFile(fs: Client, path: string, blocks: number): ModelFile {
    const { nodeid, name } = this.#parent(fs, path);
    const file = this.#model.create(path);
    const handle = ok(fs.create(nodeid, name));
    for (let index = 0; index < blocks; index++) this.#writeBlock(fs, file, handle, index);
    this.#sync(fs, file, handle);
    fs.flush(handle.nodeid, handle.fh);
    ok(fs.release(handle.nodeid, handle.fh));
    return file;
  }

  #overwrite(fs: Client): void {
    const { file, path } = this.#anyFile() ?? {};
    if (file === undefined || path === undefined || file.written.length === 0) return;
    const { nodeid } = ok(fs.walk(path));
    const { fh } = ok(fs.open(nodeid, 2));
    for (let count = this.#random(4); count >= 0; count--) {
      this.#writeBlock(fs, file, { nodeid, fh }, this.#random(file.written.length));
    }
    if (this.#random(2) === 0) this.#sync(fs, file, { nodeid, fh });
    fs.flush(nodeid, fh);
    ok(fs.release(nodeid, fh));
  }

  /** Writes beside a file, and renames over it. */
  #replace(fs: Client): void {
    const { file, path } = this.#anyFile() ?? {};
    if (file === undefined || path === undefined) return;
    const temporary = `${path}.tmp${this.#names++}`;
    const replacement = this.#writeFile(fs, temporary, 1 + this.#random(SMALL_BLOCKS));
    this.#move(fs, replacement, temporary, path, file);
  }

  #rename(fs: Client): void {
    const { file, path } = this.#anyFile() ?? {};
    if (file === undefined || path === undefined) return;
    this.#move(fs, file, path, this.#newName());
  }

  /** Two files change places, by way of a third name. */
  #exchange(fs: Client): void {
    const one = this.#anyFile();
    const other = this.#anyFile();
    if (one === undefined || other === undefined || one.file === other.file) return;
    const aside = this.#newName();
    this.#move(fs, one.file, one.path, aside);
    this.#move(fs, other.file, other.path, one.path);
    this.#move(fs, one.file, aside, other.path);
  }

  /** Renames a file and writes a new one in its place. */
  #keepOld(fs: Client): void {
    const { file, path } = this.#anyFile() ?? {};
    if (file === undefined || path === undefined) return;
    this.#move(fs, file, path, `${path}~${this.#names++}`);
    this.#writeFile(fs, path, 1 + this.#random(SMALL_BLOCKS));
  }

  #move(fs: Client, file: ModelFile, from: string, to: string, replaced?: ModelFile): void {
    const source = this.#parent(fs, from);
    const target = this.#parent(fs, to);
    file.paths.push(to);
    replaced?.paths.push(undefined);
    ok(fs.rename(source.nodeid, source.name, target.nodeid, target.name));
    this.#syncSometimes(fs);
  }

  /** Makes a directory with files and renames it. */
  #directory(fs: Client): void {
    const from = `d${this.#names++}`;
    const to = `d${this.#names++}`;
    ok(fs.mkdir(ROOT, from));
    const files = Array.from({ length: 1 + this.#random(5) }, (_, index) =>
      this.#writeFile(fs, `${from}/${index}`, 1),
    );
    for (const [index, file] of files.entries()) file.paths.push(`${to}/${index}`);
    ok(fs.rename(ROOT, from, ROOT, to));
    this.#syncSometimes(fs);
  }

  #remove(fs: Client): void {
    const { file, path } = this.#anyFile() ?? {};
    if (file === undefined || path === undefined) return;
    const { nodeid, name } = this.#parent(fs, path);
    file.paths.push(undefined);
    ok(fs.unlink(nodeid, name));
    this.#syncSometimes(fs);
  }

  #syncSometimes(fs: Client): void {
    if (this.#random(3) === 0 && fs.syncfs().error === null) this.#model.acknowledgeAll();
  }
}
