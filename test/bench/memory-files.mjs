// @ts-check
// A million files in one directory of a memory share: what each step costs per file, and whether that stays the
// same as the directory grows. Drives the backend with the tables of a session; no rings, no guest.
//
//   npm run bench:memory -- [count…]      default: 10000 100000 1000000
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { rolldown } from "rolldown";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CALLER = { uid: 0, gid: 0, pid: 1, supplementaryGroup: -1, umask: 0, clearsPrivileges: false };
const REPLY_BYTES = 128 << 10;
const HEAP_MIB = 8192;

setFlagsFromString("--expose-gc");
setFlagsFromString(`--max-old-space-size=${HEAP_MIB}`);
const collectGarbage = runInNewContext("gc");

/** Loads the server's own modules. */
async function loadModules() {
  process.env.VIRTIOFS_GATEWAY_ADDON ??= join(ROOT, "build/Release/virtiofs_gateway.node");
  const folder = await mkdtemp(join(tmpdir(), "many-files-"));
  try {
    const bundle = await rolldown({
      input: {
        backend: join(ROOT, "backends/memory/memory-backend.ts"),
        inodes: join(ROOT, "src/vfs/inode-table.ts"),
        buffer: join(ROOT, "src/vfs/directory-buffer.ts"),
      },
      platform: "node",
      resolve: { extensionAlias: { ".js": [".ts", ".js"] } },
    });
    await bundle.write({
      dir: folder,
      format: "esm",
      entryFileNames: "[name].mjs",
      chunkFileNames: "[name].mjs",
    });
    const load = (/** @type {string} */ name) => import(pathToFileURL(join(folder, name)).href);
    const [backend, inodes, buffer] = await Promise.all(
      ["backend.mjs", "inodes.mjs", "buffer.mjs"].map(load),
    );
    return { ...backend, ...inodes, ...buffer };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Bytes in use: the JavaScript heap and what lies outside of it. */
function bytesInUse() {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/**
 * @param {any} modules
 * @param {number} count
 */
function measure(modules, count) {
  const { MemoryBackend, InodeTable, DirectoryBuffer } = modules;
  const backend = new MemoryBackend({ sizeBytes: 1 << 30, inodeLimit: count + 10 });
  const root = backend.start();
  const inodes = new InodeTable(root, (/** @type {any} */ node) => backend.forget(node));
  const out = new Uint32Array(32);
  const sink = new DirectoryBuffer(REPLY_BYTES, {
    referenceEntry: (/** @type {any} */ node) => inodes.reference(node),
  });
  const name = (/** @type {number} */ index) => `file-${index}`;
  const forget = (/** @type {any} */ node) => inodes.forget(node.tableIndex, inodes.generationOf(node), 1);
  /** @type {Record<string, number>} */
  const results = {};
  const timed = (/** @type {string} */ step, /** @type {() => void} */ run) => {
    const start = process.hrtime.bigint();
    run();
    results[`${step} ns`] = Math.round(Number(process.hrtime.bigint() - start) / count);
  };
  const each = (/** @type {(name: string) => void} */ run) => () => {
    for (let index = 0; index < count; index++) {
      run(name(index));
    }
  };
  const list = (/** @type {boolean} */ plus) => () => {
    const handle = backend.opendir(CALLER, root);
    let seen = 0;
    for (let offset = 0; ; ) {
      sink.begin(plus, offset % 2 ** 32, Math.floor(offset / 2 ** 32), REPLY_BYTES);
      backend.readdir(CALLER, handle, sink);
      if (sink.length === 0) {
        break;
      }
      for (let at = 0; at < sink.length; seen++) {
        const word = (at + (plus ? 128 : 0)) / 4;
        offset = sink.words[word + 2] + sink.words[word + 3] * 2 ** 32;
        at = (at + (plus ? 128 : 0) + 24 + sink.words[word + 4] + 7) & ~7;
      }
    }
    backend.releasedir(handle);
    if (seen !== count + 2) {
      throw new Error(`the directory lists ${seen} entries, not ${count + 2}`);
    }
  };

  const before = bytesInUse();
  timed(
    "create",
    each((file) => forget_(backend.create(CALLER, root, file, 2, 0o644, out))),
  );
  results["bytes per file"] = Math.round((bytesInUse() - before) / count);
  timed(
    "lookup",
    each((file) => void inodes.reference(backend.lookup(CALLER, root, file, out))),
  );
  results["bytes per known file"] = Math.round((bytesInUse() - before) / count);
  timed(
    "forget",
    each((file) => forget(backend.lookup(CALLER, root, file, out))),
  );
  timed("list", list(false));
  timed("list plus", list(true));
  timed(
    "rename",
    each((file) => backend.rename(CALLER, root, file, root, `${file}.x`, 0)),
  );
  timed(
    "delete",
    each((file) => backend.unlink(CALLER, root, `${file}.x`)),
  );
  inodes.clear();
  if (backend.statfs().filesFree !== count + 9) {
    throw new Error("files are left");
  }
  backend.stop();
  return results;

  /** What the session does with an open file that is closed and forgotten. */
  function forget_(/** @type {any} */ handle) {
    inodes.reference(handle.node);
    inodes.pin(handle.node);
    backend.release(handle);
    inodes.unpin(handle.node);
    forget(handle.node);
  }
}

const counts = process.argv.slice(2).map(Number);
const modules = await loadModules();
/** @type {Record<string, Record<string, number>>} */
const table = {};
for (const count of counts.length > 0 ? counts : [10_000, 100_000, 1_000_000]) {
  table[count.toLocaleString("en")] = measure(modules, count);
}
console.table(table);
