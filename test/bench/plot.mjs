// @ts-check
// Charts as SVG text: the same figures give the same file.

const WIDTH = 860;
const MARGIN = { top: 46, right: 20, bottom: 40, left: 64 };
const COLOURS = ["#1f6feb", "#d97706", "#6b7280", "#059669"];
const STYLE = "font-family='system-ui, sans-serif' font-size='12' fill='#57606a'";

/** @param {string} text */
function escape(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
}

/** @param {number} value */
function at(value) {
  return Number(value.toFixed(1));
}

/** A round number of at least `value`. @param {number} value */
function ceiling(value) {
  const unit = 10 ** Math.floor(Math.log10(value || 1));
  return ([1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((step) => step * unit >= value) ?? 10) * unit;
}

/** @param {number} value */
function label(value) {
  if (value >= 1e6) return `${Number((value / 1e6).toFixed(2))}M`;
  return value >= 1000 ? `${Number((value / 1000).toFixed(1))}k` : `${Number(value.toFixed(2))}`;
}

/**
 * Title, legend and horizontal lines; `body` is drawn above them.
 *
 * @param {{title: string, names: readonly string[], height: number, most: number, unit: string}} chart
 * @param {string} body
 */
function frame({ title, names, height, most, unit }, body) {
  const bottom = height - MARGIN.bottom;
  const lines = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const y = at(bottom - part * (bottom - MARGIN.top));
    return (
      `<line x1='${MARGIN.left}' x2='${WIDTH - MARGIN.right}' y1='${y}' y2='${y}' stroke='#d0d7de'/>` +
      `<text x='${MARGIN.left - 8}' y='${y + 4}' text-anchor='end'>${label(part * most)}${unit}</text>`
    );
  });
  const legend = names.map((name, index) => {
    const x = MARGIN.left + index * 240;
    const colour = COLOURS[index % COLOURS.length];
    return `<rect x='${x}' y='26' width='10' height='10' fill='${colour}'/><text x='${x + 16}' y='35'>${escape(name)}</text>`;
  });
  return [
    `<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 ${WIDTH} ${height}' ${STYLE}>`,
    `<rect width='${WIDTH}' height='${height}' fill='#ffffff'/>`,
    `<text x='${MARGIN.left}' y='16' font-size='14' fill='#1f2328'>${escape(title)}</text>`,
    ...legend,
    ...lines,
    body,
    "</svg>\n",
  ].join("\n");
}

/**
 * Groups of bars; a line marks the value 1.
 *
 * @param {{title: string, names: readonly string[], groups: {label: string, values: (number | null)[]}[], unit?: string}} chart
 */
export function barChart({ title, names, groups, unit = "" }) {
  const height = 340;
  const most = ceiling(Math.max(...groups.flatMap(({ values }) => values.map((value) => value ?? 0))));
  const bottom = height - MARGIN.bottom - 30;
  const scale = (bottom - MARGIN.top) / most;
  const step = (WIDTH - MARGIN.left - MARGIN.right) / groups.length;
  const width = (step * 0.8) / names.length;
  const bars = groups.map((group, index) => {
    const x = MARGIN.left + index * step + step * 0.1;
    const drawn = group.values.map((value, which) =>
      value === null
        ? ""
        : `<rect x='${at(x + which * width)}' y='${at(bottom - value * scale)}' width='${at(width - 1)}' height='${at(value * scale)}' fill='${COLOURS[which % COLOURS.length]}'><title>${escape(group.label)}: ${value}${unit}</title></rect>`,
    );
    const middle = at(x + step * 0.4);
    const name = `<text transform='translate(${middle},${bottom + 12}) rotate(-35)' text-anchor='end' font-size='10'>${escape(group.label)}</text>`;
    return drawn.join("") + name;
  });
  const one = at(bottom - scale);
  bars.push(
    `<line x1='${MARGIN.left}' x2='${WIDTH - MARGIN.right}' y1='${one}' y2='${one}' stroke='#cf222e' stroke-dasharray='4 3'/>`,
  );
  return frame({ title, names, height: height - 30, most, unit }, bars.join("\n")).replace(
    `viewBox='0 0 ${WIDTH} ${height - 30}'`,
    `viewBox='0 0 ${WIDTH} ${height}'`,
  );
}

/**
 * Lines over evenly spaced labels.
 *
 * @param {{title: string, names: readonly string[], labels: readonly string[], lines: (number | null)[][], unit?: string}} chart
 */
export function lineChart({ title, names, labels, lines, unit = "" }) {
  const height = 300;
  const most = ceiling(Math.max(...lines.flat().map((value) => value ?? 0)));
  const bottom = height - MARGIN.bottom;
  const step = (WIDTH - MARGIN.left - MARGIN.right) / Math.max(1, labels.length - 1);
  /** @param {number} index @param {number} value */
  const place = (index, value) =>
    `${at(MARGIN.left + index * step)},${at(bottom - (value / most) * (bottom - MARGIN.top))}`;
  const drawn = lines.map((line, which) => {
    const points = line.flatMap((value, index) => (value === null ? [] : [place(index, value)]));
    const colour = COLOURS[which % COLOURS.length];
    const dots = points.map((point) => {
      const [x, y] = point.split(",");
      return `<circle cx='${x}' cy='${y}' r='3' fill='${colour}'/>`;
    });
    return `<polyline points='${points.join(" ")}' fill='none' stroke='${colour}' stroke-width='2'/>${dots.join("")}`;
  });
  const axis = labels.map(
    (text, index) =>
      `<text x='${at(MARGIN.left + index * step)}' y='${height - 20}' text-anchor='middle'>${escape(text)}</text>`,
  );
  return frame({ title, names, height, most, unit }, [...drawn, ...axis].join("\n"));
}
