// @ts-check
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";

/**
 * Gives QEMU orders over its machine protocol, one after the other.
 *
 * @param {string} path Socket of `-qmp unix:...,server=on,wait=off`.
 * @param {readonly string[]} commands Without arguments, as "stop" and "cont".
 */
export async function runQmpCommands(path, commands) {
  const socket = connect(path);
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  try {
    await once(socket, "connect");
    await lines.next();
    for (const execute of ["qmp_capabilities", ...commands]) {
      socket.write(`${JSON.stringify({ execute })}\n`);
      await reply(lines);
    }
  } finally {
    socket.destroy();
  }
}

/**
 * Waits for the answer to a command; events come in between.
 *
 * @param {AsyncIterator<string>} lines
 */
async function reply(lines) {
  for (;;) {
    const { value, done } = await lines.next();
    const message = done === true ? { error: { desc: "QEMU has hung up" } } : JSON.parse(value);
    if (message.error !== undefined) throw new Error(`QMP: ${message.error.desc}`);
    if (message.return !== undefined) return;
  }
}
