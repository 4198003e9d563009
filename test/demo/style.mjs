// @ts-check

const colored = process.stdout.isTTY && process.env.NO_COLOR === undefined;

/**
 * @param {number} code An SGR code of ANSI terminals.
 * @param {string} text
 * @returns {string}
 */
function style(code, text) {
  return colored ? `\x1b[${code}m${text}\x1b[0m` : text;
}

const BOLD = 1;
const DIM = 2;
const RED = 31;
const GREEN = 32;
const CYAN = 36;

/** The demo's output, one function for each kind of line. */
export const print = {
  /** @param {string} text */
  step(text) {
    process.stdout.write(`\n${style(BOLD, text)}\n`);
  },

  /**
   * @param {'guest' | 'host'} where
   * @param {string} command
   * @param {string} output
   */
  command(where, command, output) {
    const prompt = style(where === "guest" ? CYAN : GREEN, `${where}$`);
    const indented = output.replace(/^(?=.)/gm, "  ");
    process.stdout.write(`${prompt} ${command}\n${indented === "" ? "" : `${indented}\n`}`);
  },

  /** @param {string} text */
  note(text) {
    process.stdout.write(`${style(DIM, text)}\n`);
  },

  /** @param {string} text */
  success(text) {
    process.stdout.write(`\n${style(GREEN, text)}\n`);
  },

  /** @param {Error} error */
  failure(error) {
    process.stderr.write(`\n${style(RED, `demo: ${error.message}`)}\n`);
    if (error.cause instanceof Error) process.stderr.write(`${error.cause.message}\n`);
  },
};
