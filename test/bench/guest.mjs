// @ts-check
// `npm run bench:guest`: one guest in QEMU with a share of each server, on which a metadata loop and fio run in turn.
// The processor is emulated, so that the guest's own part is far larger than on hardware: only the ratios say something.
// All servers are told that the guest must not cache, so that every operation reaches them.
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

/** Arguments of fio for each class. */
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
 * One round on one share.
 *
 * @param {Guest} guest
 * @param {string} share
 * @param {number} seconds For each class.
 * @returns {Promise<Map<string, number>>} Operations per second.
 */
async function measure(guest, share, seconds) {
  const loop = await inGuest(guest, `/fixture/bench/metadata-loop ${share} ${seconds}`);
  const rates = new Map(
    loop.split("\n").map((line) => {
      const [op = "", rate] = line.split(" ");
      return [op, Number(rate)];
    }),
  );
  const fio = `/fixture/bench/ld-linux-x86-64.so.2 --library-path /fixture/bench /fixture/bench/fio`;
  for (const [op, job] of Object.entries(FIO_JOBS)) {
    const options = [
      ...["--name=bench", `--filename=${share}/data`, `--size=${FILE_MIB}m`, "--minimal", "--ioengine=psync"],
      ...["--time_based", `--runtime=${seconds}`, ...job],
    ];
    // Fields of fio's terse output, version 3: operations per second of reads and of writes.
    const fields = (await inGuest(guest, `${fio} ${options.join(" ")}`)).split("\n").at(-1)?.split(";") ?? [];
    rates.set(op, Number(fields[7]) + Number(fields[48]));
  }
  return rates;
}

/** @param {readonly Map<string, number>[][]} rounds Of each round the rates of each server. @returns {Row[]} */
function summarize(rounds) {
  const ops = [...(rounds[0]?.[0]?.keys() ?? [])];
  return ops.map((op) => {
    const rates = rounds.map((servers) => servers.map((each) => each.get(op) ?? Number.NaN));
    const count = rates[0]?.length ?? 0;
    /** @param {(round: number[], server: number) => number} value */
    const medians = (value) =>
      Array.from({ length: count }, (_, server) => median(rates.map((round) => value(round, server))));
    return {
      op,
      rates: medians((round, server) => round[server] ?? Number.NaN),
      ratios: medians((round, server) => (round[0] ?? Number.NaN) / (round[server] ?? Number.NaN)).slice(1),
    };
  });
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
    /** @type {Map<string, number>[][]} */
    const results = [];
    for (let round = 0; round < rounds; round++) {
      /** @type {Map<string, number>[]} */
      const ofRound = [];
      for (let k = 0; k < shares.length; k++) {
        // Each server is the first as often as the others.
        const index = (round + k) % shares.length;
        ofRound[index] = await measure(guest, `/share${index}`, seconds);
      }
      results.push(ofRound);
    }
    await guest.powerOff();
    return summarize(results);
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
