// Runs clang-format over native/: with --dry-run it reports, with -i it writes. A machine without
// clang-format gets a message, not a failure: the tool is not needed to build.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const files = readdirSync(join(root, "native"), { recursive: true, encoding: "utf8" })
  .filter((name) => /\.(cc|h|c)$/.test(name))
  .map((name) => join("native", name));
const mode = process.argv.includes("-i") ? ["-i"] : ["--dry-run", "--Werror"];
const result = spawnSync("clang-format", [...mode, ...files], { cwd: root, stdio: "inherit" });
if (result.error !== undefined) {
  console.error("clang-format is not installed: native/ was not checked (apt-get install clang-format)");
} else {
  process.exit(result.status ?? 1);
}
