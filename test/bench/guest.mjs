// @ts-check
// `npm run bench:guest`: one guest in QEMU with a share of each server, on which a metadata loop and fio run in turn.
// The processor is emulated, so that the guest's own part is far larger than on hardware: only the ratios say something.
// All servers are told that the guest must not cache, so that every operation reaches them.
//
//   npm run bench:guest -- [--peer PATH] [--rounds 3] [--seconds 2] [--json FILE]
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { ensureSetup } from "../setup.mjs";
import { Guest } from "../support/guest/guest.mjs";
import { addFixture, ensureGuestImage } from "../support/guest/image.mjs";
import { keepGuest } from "./results.mjs";
import { findPeers, PASSTHROUGH, startServer, stopServer } from "./servers.mjs";
import { median } from "./summary.mjs";

const METADATA_LOOP = fileURLToPath(new URL("guest/metadata-loop.c", import.meta.url));
/** fio's shared libraries, object stores included, are 120 MiB. */
const GUEST_MEMORY_MIB = 1024;
const FILE_MIB = 64;

/** Classes of the metadata loop. */
const METADATA = ["stat", "open-close", "chmod", "create-unlink", "mkdir-rmdir", "rename", "list-500"];
/**
 * Those of fio, with its arguments.
 *
 * @type {Record<string, readonly string[]>}
 */
const FIO_JOBS = {
  "read4k, random": ["--rw=randread", "--bs=4k"],
  "write4k, random": ["--rw=randwrite", "--bs=4k"],
  read128k: ["--rw=read", "--bs=128k"],
  read1m: ["--rw=read", "--bs=1m"],
  write1m: ["--rw=write", "--bs=1m"],
  "read4k, random, 16 at a time": ["--rw=randread", "--bs=4k", "--ioengine=libaio", "--iodepth=16"],
};

/**
 * @typedef {object} Row
 * @property {string} op
 * @property {number[]} rates Operations per second of each server, medians; ours first.
 * @property {number[]} ratios Ours to each of the others, median over the rounds.
 */

/** Program and libraries, so that they run without the host's folders. @param {string} work */
function makeFixture(work) {
  const folder = join(work, "bench");
  mkdirSync(folder);
  execFileSync("gcc", ["-O2", "-static", "-o", join(folder, "metadata-loop"), METADATA_LOOP]);
  const fio = execFileSync("sh", ["-c", "command -v fio"], { encoding: "utf8" }).trim();
  const needed = execFileSync("ldd", [fio], { encoding: "utf8" }).match(/\/\S+/g) ?? [];
  execFileSync("cp", ["-L", fio, ...needed, folder]);
  return folder;
}

/** Runs a script in the guest that must succeed. @param {Guest} guest @param {string} script */
async function inGuest(guest, script) {
  const { status, output } = await guest.run(script, { timeoutMs: 600_000 });
  if (status !== 0) throw new Error(`the guest's ${script} failed: ${output}`);
  return output;
}

/**
 * One class on one share.
 *
 * @param {Guest} guest
 * @param {string} share
 * @param {string} op
 * @param {number} seconds
 * @returns {Promise<number>} Operations per second.
 */
async function measure(guest, share, op, seconds) {
  const job = FIO_JOBS[op];
  if (job === undefined) {
    return Number(await inGuest(guest, `/fixture/bench/metadata-loop ${share} ${seconds} ${op}`));
  }
  const fio = `/fixture/bench/ld-linux-x86-64.so.2 --library-path /fixture/bench /fixture/bench/fio`;
  const options = [
    ...["--name=bench", `--filename=${share}/data`, `--size=${FILE_MIB}m`, "--minimal", "--ioengine=psync"],
    ...["--time_based", `--runtime=${seconds}`, ...job],
  ];
  // Fields of fio's terse output, version 3: operations per second of reads and of writes.
  const fields = (await inGuest(guest, `${fio} ${options.join(" ")}`)).split("\n").at(-1)?.split(";") ?? [];
  return Number(fields[7]) + Number(fields[48]);
}

/**
 * @param {string} op
 * @param {readonly number[][]} rounds Of each round the rates of each server.
 * @returns {Row}
 */
function summarize(op, rounds) {
  /** @param {(rates: readonly number[], server: number) => number} value */
  const medians = (value) =>
    (rounds[0] ?? []).map((_, server) => median(rounds.map((rates) => value(rates, server))));
  return {
    op,
    rates: medians((rates, server) => Math.round(rates[server] ?? Number.NaN)),
    ratios: medians((rates, server) => (rates[0] ?? Number.NaN) / (rates[server] ?? Number.NaN)).slice(1),
  };
}

/**
 * The servers in turn, each the first as often as the others.
 *
 * @param {Guest} guest
 * @param {readonly string[]} shares
 * @param {string} op
 * @param {number} rounds
 * @param {number} seconds
 */
async function measureClass(guest, shares, op, rounds, seconds) {
  /** @type {number[][]} */
  const results = [];
  for (let round = 0; round < rounds; round++) {
    /** @type {number[]} */
    const rates = [];
    for (let k = 0; k < shares.length; k++) {
      const index = (round + k) % shares.length;
      rates[index] = await measure(guest, shares[index] ?? "", op, seconds);
    }
    results.push(rates);
  }
  return summarize(op, results);
}

/**
 * @param {readonly import("./servers.mjs").Server[]} servers
 * @param {number} rounds
 * @param {number} seconds
 */
async function measureAll(servers, rounds, seconds) {
  const work = mkdtempSync(join(tmpdir(), "virtiofs-gateway-guest-"));
  const shared = mkdtempSync("/dev/shm/virtiofs-gateway-guest-");
  const children = [];
  let guest;
  try {
    const image = await addFixture(await ensureGuestImage(), [makeFixture(work)], work);
    const shares = [];
    for (const [index, server] of servers.entries()) {
      const socketPath = join(work, `${index}.sock`);
      const directory = join(shared, `${index}`);
      mkdirSync(directory);
      const args = (/** @type {string} */ path) => [...server.args(path), ...server.withoutCache];
      children.push(await startServer({ ...server, args }, directory, socketPath));
      shares.push({ socketPath, tag: `share${index}` });
    }
    guest = await Guest.boot({ image, shares, memoryMiB: GUEST_MEMORY_MIB });
    for (const { tag } of shares) await inGuest(guest, `mkdir /${tag} && mount -t virtiofs ${tag} /${tag}`);
    const rows = [];
    for (const op of [...METADATA, ...Object.keys(FIO_JOBS)]) {
      const paths = shares.map(({ tag }) => `/${tag}`);
      rows.push(await measureClass(guest, paths, op, rounds, seconds));
    }
    await guest.powerOff();
    return rows;
  } finally {
    await guest?.kill();
    await Promise.all(children.map(stopServer));
    rmSync(work, { recursive: true });
    rmSync(shared, { recursive: true });
  }
}

/**
 * @param {readonly string[]} args
 * @returns {Promise<number>} The exit status.
 */
export async function run(args) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      peer: { type: "string", multiple: true, default: [] },
      rounds: { type: "string", default: "3" },
      seconds: { type: "string", default: "2" },
      json: { type: "string" },
    },
  });
  ensureSetup({ apt: ["guest", "host"] });
  const servers = [PASSTHROUGH, ...findPeers(values.peer)];
  const rows = await measureAll(servers, Number(values.rounds), Number(values.seconds));
  console.log(`${"class".padEnd(30)}${servers.map(({ name }) => name.padStart(26)).join("")}  ratios`);
  for (const { op, rates, ratios } of rows) {
    const columns = rates.map((rate) => rate.toFixed(0).padStart(26)).join("");
    console.log(`${op.padEnd(30)}${columns}  ${ratios.map((ratio) => ratio.toFixed(2)).join(" ")}`);
  }
  if (values.json !== undefined) keepGuest(values.json, { servers: servers.map(({ name }) => name), rows });
  return 0;
}
