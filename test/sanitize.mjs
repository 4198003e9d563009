// @ts-check
// `npm run sanitize -- address|thread [vitest filter…]`: builds the addon with AddressSanitizer and
// UndefinedBehaviorSanitizer, or with ThreadSanitizer, and runs the integration tests on it. A report
// from our code fails the run.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const KINDS = {
  address: { flags: ["-fsanitize=address,undefined"], runtimes: ["libasan.so", "libubsan.so"] },
  thread: { flags: ["-fsanitize=thread"], runtimes: ["libtsan.so"] },
};

/** The product's target of binding.gyp, which is plain JSON here. */
function readTarget() {
  const gyp = JSON.parse(readFileSync(join(ROOT, "binding.gyp"), "utf8"));
  const target = gyp.targets.find(
    (/** @type {{target_name: string}} */ each) => each.target_name === "virtiofs_gateway",
  );
  return { sources: target.sources, defines: gyp.target_defaults.defines };
}

function nodeHeaders() {
  const beside = join(dirname(process.execPath), "../include/node");
  return existsSync(beside) ? beside : join(process.env.npm_config_nodedir ?? "/usr", "include/node");
}

/**
 * Compiles what changed, and links the addon.
 *
 * @param {string} kind
 * @param {readonly string[]} flags
 */
function build(kind, flags) {
  const { sources, defines } = readTarget();
  const folder = join(ROOT, `build-${kind}`);
  mkdirSync(folder, { recursive: true });
  const common = [
    "-std=gnu++20",
    "-O1",
    "-g",
    "-fPIC",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-omit-frame-pointer",
    ...flags,
  ];
  const include = [`-I${ROOT}`, `-I${join(ROOT, "node_modules/node-addon-api")}`, `-I${nodeHeaders()}`];
  const newestHeader = Math.max(
    ...readdirSync(join(ROOT, "native"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".h"))
      .map((name) => statSync(join(ROOT, "native", name)).mtimeMs),
  );
  const objects = sources.map((/** @type {string} */ source) => {
    const object = join(folder, `${source.replaceAll("/", "-")}.o`);
    const newest = Math.max(newestHeader, statSync(join(ROOT, source)).mtimeMs);
    if (!existsSync(object) || statSync(object).mtimeMs < newest) {
      const define = defines.map((/** @type {string} */ each) => `-D${each}`);
      execFileSync("g++", [...common, ...define, ...include, "-c", source, "-o", object], {
        cwd: ROOT,
        stdio: "inherit",
      });
    }
    return object;
  });
  const addon = join(folder, "virtiofs_gateway.node");
  execFileSync("g++", ["-shared", ...common, ...objects, "-o", addon], { stdio: "inherit" });
  return addon;
}

/**
 * Whether a report is about our code: one of its stacks begins there. ThreadSanitizer also reports what
 * Node's threads do, which it cannot see into, on stacks that merely passed through ours.
 *
 * @param {string} report
 */
function isOwn(report) {
  if (/ERROR: AddressSanitizer|runtime error/.test(report)) {
    return true;
  }
  const stacks = report
    .split(/\n\s*\n/)
    .map((block) => block.split("\n").filter((line) => /^\s*#\d+ /.test(line)));
  return stacks.some((frames) => {
    const first = frames.find((frame) => !frame.includes("libsanitizer"));
    return first !== undefined && /native\/\w+\/\w+\.(cc|h)/.test(first);
  });
}

/** @param {string} folder */
function ownReports(folder) {
  return readdirSync(folder)
    .map((name) => readFileSync(join(folder, name), "utf8"))
    .flatMap((text) => text.split("==================\n"))
    .filter(isOwn);
}

function main() {
  const [kind, ...filters] = process.argv.slice(2);
  if (kind !== "address" && kind !== "thread") {
    console.error(`usage: npm run sanitize -- address|thread [filter…], got ${JSON.stringify(kind)}`);
    process.exit(2);
  }
  const { flags, runtimes } = KINDS[kind];
  const addon = build(kind, flags);
  const preload = runtimes.map((name) =>
    execFileSync("g++", [`-print-file-name=${name}`], { encoding: "utf8" }).trim(),
  );
  const logs = mkdtempSync(join(tmpdir(), "virtiofs-gateway-sanitize-"));
  const log = `log_path=${join(logs, "report")}`;
  // The servers run under the sanitizer, not the tests that drive them.
  const server = [
    "env",
    `LD_PRELOAD=${preload.join(":")}`,
    `VIRTIOFS_GATEWAY_ADDON=${addon}`,
    `ASAN_OPTIONS=detect_leaks=0:handle_sigbus=0:${log}`,
    `UBSAN_OPTIONS=print_stacktrace=1:${log}`,
    // Node's own reports must not change the exit code that tests look at.
    `TSAN_OPTIONS=report_signal_unsafe=0:handle_sigbus=0:exitcode=0:${log}`,
    process.execPath,
    join(ROOT, "bin/virtiofs-gateway"),
  ];
  const run = spawnSync(
    process.execPath,
    [join(ROOT, "node_modules/vitest/vitest.mjs"), "run", "--project=integration", ...filters],
    { cwd: ROOT, stdio: "inherit", env: { ...process.env, GATEWAY_COMMAND: server.join(" ") } },
  );
  const reports = ownReports(logs);
  for (const report of reports) {
    console.log(report);
  }
  console.log(
    `${kind} sanitizer: ${reports.length} reports from our code, tests ${run.status === 0 ? "passed" : "failed"}`,
  );
  rmSync(logs, { recursive: true });
  process.exit(run.status === 0 && reports.length === 0 ? 0 : 1);
}

main();
