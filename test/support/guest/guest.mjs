// @ts-check
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { Console, ConsoleError } from "./console.mjs";
import { spawnOwned } from "./spawn.mjs";

const DEFAULT_COMMAND_TIMEOUT_MS = 120_000;
/** A boot takes 2 s here; a shared machine without hardware virtualization may be very slow. */
const DEFAULT_BOOT_TIMEOUT_MS = 180_000;
const POWER_OFF_TIMEOUT_MS = 60_000;
/** Ctrl-]: telnet's escape, which no shell wants for itself. */
const ESCAPE_BYTE = 0x1d;

/**
 * @typedef {object} GuestShare
 * @property {string} socketPath Where the gateway listens.
 * @property {string} tag What the guest mounts.
 */

/**
 * @typedef {object} GuestOptions
 * @property {import('./image.mjs').GuestImage} image
 * @property {readonly GuestShare[]} shares
 * @property {number} [cpus] Virtual processors, default 1.
 * @property {number} [memoryMiB] Default 512.
 * @property {number} [requestQueues] Of every share, default 1.
 * @property {readonly string[]} [extraArgs] More options for QEMU.
 * @property {boolean} [sharedMemory] False: the guest's memory is QEMU's own, a mistake of users.
 * @property {number} [bootTimeoutMs]
 * @property {string} [rootTag] The share that is the guest's root file system; made by buildRootTree of image.mjs.
 */

/**
 * @typedef {object} CommandResult
 * @property {number} status Exit status.
 * @property {string} output stdout and stderr together, without the last newline.
 */

/**
 * A Linux guest in QEMU with virtio-fs shares. Orders go over the serial console to init.sh, which
 * answers with markers that carry a random token: nothing that is merely echoed can pass for a result.
 */
export class Guest {
  #process;
  #console = new Console();
  /** @type {Promise<number | null>} */
  #exit;
  #stderr = "";
  #readyMarker;
  #bootTimeoutMs;

  /**
   * Starts a guest and waits until it takes orders.
   *
   * @param {GuestOptions} options
   * @returns {Promise<Guest>}
   */
  static async boot(options) {
    const guest = new Guest(options);
    await guest.waitUntilReady();
    return guest;
  }

  /**
   * Starts QEMU; {@link waitUntilReady} is next.
   *
   * @param {GuestOptions} options
   */
  constructor(options) {
    const token = randomBytes(8).toString("hex");
    this.#readyMarker = `\nready ${token}\n`;
    this.#bootTimeoutMs = options.bootTimeoutMs ?? DEFAULT_BOOT_TIMEOUT_MS;
    this.#process = spawnOwned("qemu-system-x86_64", qemuArguments(options, token));
    this.#exit = this.#watchProcess();
  }

  /** Everything the guest has printed on its console. */
  get log() {
    return this.#console.log;
  }

  /** Waits for the end of a boot. A guest that does not come up is killed. */
  async waitUntilReady() {
    try {
      await this.#console.waitFor(this.#readyMarker, { timeoutMs: this.#bootTimeoutMs });
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  /**
   * Runs a shell script in the guest.
   *
   * @param {string} script
   * @param {{timeoutMs?: number}} [options]
   * @returns {Promise<CommandResult>}
   */
  async run(script, { timeoutMs = DEFAULT_COMMAND_TIMEOUT_MS } = {}) {
    const token = randomBytes(8).toString("hex");
    const wait = { timeoutMs, unless: this.#readyMarker };
    this.#order(`run ${token} ${Buffer.from(script).toString("base64")}`);
    try {
      await this.#console.waitFor(`\nbegin ${token}\n`, wait);
      const output = await this.#console.waitFor(`\nend ${token} `, wait);
      const status = await this.#console.waitFor("\n", wait);
      return { status: Number(status), output: output.replace(/\n$/, "") };
    } catch (error) {
      if (!(error instanceof ConsoleError)) throw error;
      throw new Error(`guest command failed: ${script}`, { cause: error });
    }
  }

  /**
   * Reboots the guest; QEMU and its connections to the gateways stay.
   */
  async reboot() {
    this.#order("reboot");
    await this.waitUntilReady();
  }

  /**
   * Powers the guest off and waits for the end of QEMU.
   */
  async powerOff() {
    this.#order("poweroff");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), POWER_OFF_TIMEOUT_MS);
    const status = await this.#exit;
    clearTimeout(timer);
    if (status !== 0) throw new ConsoleError("the guest did not power off", this.log);
  }

  /** Ends QEMU at once, as if the power failed. Does nothing when it has ended already. */
  async kill() {
    this.#process.kill("SIGKILL");
    await this.#exit;
  }

  /**
   * Hands a terminal to a shell in the guest until that shell exits and the guest has powered off.
   * Ctrl-] ends the guest at once.
   *
   * @param {{input: import('node:tty').ReadStream, output: import('node:tty').WriteStream}} terminal
   */
  async attachTerminal({ input, output }) {
    /** @param {Buffer} bytes */
    const forward = (bytes) => {
      if (bytes.includes(ESCAPE_BYTE)) this.#process.kill("SIGKILL");
      else this.#process.stdin.write(bytes);
    };
    // A terminal that does not know its size says 0.
    const size = `${output.rows || 24} ${output.columns || 80}`;
    this.#order(`terminal ${size} ${process.env.TERM ?? "linux"}`);
    this.#process.stdout.on("data", (text) => output.write(text));
    input.setRawMode(true);
    input.on("data", forward);
    input.resume();
    try {
      await this.#exit;
    } finally {
      input.off("data", forward);
      input.setRawMode(false);
      input.pause();
    }
  }

  /** @param {string} line */
  #order(line) {
    this.#process.stdin.write(`${line}\n`);
  }

  /** @returns {Promise<number | null>} */
  async #watchProcess() {
    const { stdin, stdout, stderr } = this.#process;
    stdout.setEncoding("utf8").on("data", (text) => this.#console.append(text));
    stderr.setEncoding("utf8").on("data", (text) => {
      this.#stderr += text;
    });
    // A write after the guest is gone fails; the console reports that it is gone.
    stdin.on("error", () => {});
    try {
      const [status] = await once(this.#process, "close");
      this.#console.close(`QEMU ended with ${status ?? "a signal"} ${this.#stderr}`.trim());
      return status;
    } catch (error) {
      this.#console.close(`QEMU did not start: ${error}`);
      return null;
    }
  }
}

/**
 * @param {GuestOptions} options
 * @param {string} token
 * @returns {string[]}
 */
function qemuArguments(options, token) {
  const { image, shares, cpus = 1, memoryMiB = 512, requestQueues = 1, extraArgs = [] } = options;
  const root = options.rootTag === undefined ? "" : ` guest.root=${options.rootTag}`;
  const share = options.sharedMemory === false ? "off" : "on";
  const devices = shares.flatMap(({ socketPath, tag }, index) => [
    ...["-chardev", `socket,id=share${index},path=${escapeValue(socketPath)}`],
    "-device",
    `vhost-user-fs-pci,chardev=share${index},tag=${escapeValue(tag)},queue-size=1024,` +
      `num-request-queues=${requestQueues}`,
  ]);
  return [
    ...["-M", "q35,accel=tcg", "-cpu", "max,cx16=off", "-smp", `${cpus}`, "-m", `${memoryMiB}M`],
    ...["-object", `memory-backend-memfd,id=memory,size=${memoryMiB}M,share=${share}`],
    ...["-numa", "node,memdev=memory"],
    ...["-kernel", image.kernelPath, "-initrd", image.initramfsPath],
    // With SeaBIOS and the self-tests of the kernel's ciphers a boot takes a second longer.
    ...["-bios", "qboot.rom"],
    ...["-append", `console=ttyS0 quiet panic=-1 cryptomgr.notests guest.token=${token}${root}`],
    ...["-nodefaults", "-display", "none", "-monitor", "none"],
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ...devices,
    ...extraArgs,
  ];
}

/**
 * @param {string} value
 * @returns {string} The value as part of one of QEMU's option lists.
 */
function escapeValue(value) {
  return value.replaceAll(",", ",,");
}
