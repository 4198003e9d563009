// @ts-check
import * as fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { runCommand } from "../support/guest/commands.mjs";
import { Gateway } from "../support/guest/gateway.mjs";
import { Guest } from "../support/guest/guest.mjs";
import { buildRootTree } from "../support/guest/image.mjs";
import { print } from "./style.mjs";

const PROGRAM = "#!/bin/sh\necho Hello from a package, on $(uname -r).\n";

/** A guest whose root file system is an overlay: a tree of this machine below, memory on top. */
export class RootSession {
  hint = `
You are in the guest now; its root is the overlay. Whatever you change, the tree below stays as it is.
Leave with "exit" (or Ctrl-] if the guest is stuck); everything is cleaned up then.

`;
  /** @type {string | undefined} */
  #directory;
  /** @type {Gateway | undefined} */
  #gateway;
  /** @type {Guest | undefined} */
  #guest;
  #before = "";

  get #tree() {
    return path.join(this.#directory ?? "", "tree");
  }

  get guest() {
    if (this.#guest === undefined) throw new Error("the guest has not been started");
    return this.#guest;
  }

  /** @param {import('../support/guest/image.mjs').GuestImage} image */
  async start(image) {
    this.#directory = await fs.mkdtemp(path.join(os.tmpdir(), "virtiofs-demo-"));
    await buildRootTree(this.#tree);
    await fs.writeFile(path.join(this.#tree, "etc/motd"), "As it was.\n");
    await this.#addPackage();
    this.#before = await this.#checksum();
    print.note(`The tree below has the checksum ${this.#before.slice(0, 16)}.`);

    const socketPath = path.join(this.#directory, "root.sock");
    const layers = ["--backend", "overlay", "--lower", this.#tree, "--upper", "memory:1GiB"];
    print.command("host", `virtiofs-gateway --socket-path ${socketPath} ${layers.join(" ")} &`, "");
    this.#gateway = await Gateway.start(["--socket-path", socketPath, ...layers]);
    this.#guest = await Guest.boot({ image, shares: [{ socketPath, tag: "root" }], rootTag: "root" });
    print.note(`Linux ${image.kernelVersion} is up`);
  }

  /** What the demo shows; each claim is checked. */
  async tell() {
    print.step("The share is the guest's root file system");
    expectText(await this.#inGuest("grep ' / ' /proc/mounts"), "root / virtiofs rw");

    print.step("It installs a package and runs what was in it");
    await this.#inGuest("tar -C / -xzf /packages/hello.tar.gz");
    expectText(await this.#inGuest("hello"), "Hello from a package");

    print.step("It changes, renames and removes what is in the tree below");
    await this.#inGuest("echo 'Changed by the guest.' >/etc/motd && cat /etc/motd");
    await this.#inGuest("mv /packages /srv && rm -r /mnt && chmod 700 /root");
    expectText(await this.#inGuest("ls / && ls /srv"), "hello.tar.gz");

    print.step("The tree below is as it was");
    await this.#checkTree();
  }

  /** Insists that the gateway ended by itself, with 0, and that the tree below never changed. */
  async checkGatewaysEnded() {
    const exit = await this.#gateway?.waitForExit();
    if (exit !== "0") throw new Error(`the gateway ended with ${exit}: ${this.#gateway?.stderr.trim()}`);
    await this.#checkTree();
    print.note("The guest is off, and the gateway ended with 0.");
  }

  async cleanUp() {
    await this.#guest?.kill();
    await this.#gateway?.kill();
    if (this.#directory !== undefined) {
      await fs.rm(this.#directory, { recursive: true, force: true });
    }
  }

  /** An archive in the tree that the guest can install. */
  async #addPackage() {
    const contents = path.join(this.#directory ?? "", "package");
    const program = path.join(contents, "bin/hello");
    await fs.mkdir(path.dirname(program), { recursive: true });
    await fs.writeFile(program, PROGRAM, { mode: 0o755 });
    await fs.mkdir(path.join(this.#tree, "packages"));
    const archive = path.join(this.#tree, "packages/hello.tar.gz");
    await runCommand("tar", ["-C", contents, "-czf", archive, "bin"]);
  }

  /**
   * @param {string} command
   * @returns {Promise<string>} Its output.
   */
  async #inGuest(command) {
    const { status, output } = await this.guest.run(command);
    print.command("guest", command, output);
    if (status !== 0) throw new Error(`in the guest, "${command}" ended with ${status}: ${output}`);
    return output;
  }

  async #checkTree() {
    const after = await this.#checksum();
    if (after !== this.#before) throw new Error("the tree below has changed");
    print.note(`Its checksum is still ${after.slice(0, 16)}.`);
  }

  /** @returns {Promise<string>} Of names, modes, owners, times and contents of the tree. */
  async #checksum() {
    const pack =
      'tar -C "$0" --sort=name --format=pax --pax-option=delete=atime,delete=ctime -cf - . | sha256sum';
    return (await runCommand("sh", ["-c", pack, this.#tree])).toString();
  }
}

/**
 * @param {string} output
 * @param {string} part
 */
function expectText(output, part) {
  if (!output.includes(part)) throw new Error(`expected "${part}", got "${output}"`);
}
