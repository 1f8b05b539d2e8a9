// A metric against k, drawn again when its box changes its width. Colours and marks repeat after eight lines.
const SHAPES = ["M0-4.2A4.2 4.2 0 1 1 0 4.2A4.2 4.2 0 1 1 0-4.2Z", "M-3.7-3.7H3.7V3.7H-3.7Z", "M0-4.8L4.6 3.6H-4.6Z", "M0-5L4.4 0L0 5L-4.4 0Z",
  "M0 4.8L4.6-3.6H-4.6Z", "M-1.6-4.5H1.6V-1.6H4.5V1.6H1.6V4.5H-1.6V1.6H-4.5V-1.6H-1.6Z", "M-4-2.4L-2.4-4L0-1.6L2.4-4L4-2.4L1.6 0L4 2.4L2.4 4L0 1.6L-2.4 4L-4 2.4L-1.6 0Z", "M0-5L1.4-1.5H5L2 .8L3.2 4.4L0 2.2L-3.2 4.4L-2 .8L-5-1.5H-1.4Z"];
const MOST_LINES = 8;
const hidden = new Map(); // by plot: the lines switched off

function drawPlot(box, name, lines, { bound = null, title = "" } = {}) {
  if (!hidden.has(name)) hidden.set(name, new Set());
  const off = hidden.get(name);
  const known = box.dataset.lines?.split(" ") ?? [];
  const ids = lines.map((line) => line.id);
  if (known.join() !== ids.join()) {
    box.dataset.lines = ids.join(" ");
    off.clear();
    lines.slice(MOST_LINES).forEach((line) => off.add(line.id));
  }
  const canvas = make("div", { class: "canvas" });
  const tip = make("div", { class: "tip", hidden: true });
  canvas.append(tip);
  const redraw = () => paint(canvas, tip, lines.map((line, place) => ({ ...line, style: place % 8 })).filter((line) => !off.has(line.id)), bound);
  const legend = make("ul", { class: "legend" }, ...lines.map((line, place) => make("li", {},
    make("button", { type: "button", "data-line": line.id, "aria-pressed": String(!off.has(line.id)), title: "Show or hide this line", on: {
      click: ({ currentTarget }) => {
        if (!off.delete(line.id)) off.add(line.id);
        currentTarget.setAttribute("aria-pressed", String(!off.has(line.id)));
        redraw();
      },
      pointerenter: () => lift(canvas, line.id),
      pointerleave: () => lift(canvas, null),
    } }, key(place % 8), make("bdi", {}, line.name)))),
  bound ? make("li", { class: "words", title: "What a student could earn at most by repeating its training corpus; see Method" },
    make("span", { "aria-hidden": "true" }, "┄ "), "novelty bound") : null);
  box.replaceChildren(...(title ? [make("h4", {}, title)] : []), canvas, legend);
  box.watch?.disconnect();
  let width = 0;
  box.watch = new ResizeObserver(([entry]) => {
    if (Math.round(entry.contentRect.width) === width) return;
    width = Math.round(entry.contentRect.width);
    redraw();
  });
  box.watch.observe(canvas);
  redraw();
}

const key = (style) => make("svg", { class: `key c${style + 1}`, viewBox: "-6 -6 12 12", width: 12, height: 12, "aria-hidden": "true" }, make("path", { d: SHAPES[style] }));

function lift(canvas, id) {
  for (const line of canvas.querySelectorAll("g[data-line]")) line.classList.toggle("dim", id !== null && line.dataset.line !== id);
}

function paint(canvas, tip, lines, bound) {
  const width = canvas.clientWidth;
  if (!width) return;
  const height = innerWidth <= 760 ? 170 : canvas.closest(".first:has(.dense)") ? 180 : 270;
  const [left, right, top, bottom] = [30, 10, 10, 34];
  const ks = [...new Set(lines.flatMap((line) => Object.keys(line.cells).map(Number)))].sort((a, b) => a - b);
  const [low, high] = [(ks[0] ?? 1) - 0.4, (ks.at(-1) ?? 1) + 0.4];
  const x = (k) => left + ((k - low) / (high - low)) * (width - left - right);
  const y = (value) => top + (1 - value) * (height - top - bottom);
  const shift = Math.min(7, 30 / Math.max(1, lines.length));
  const parts = [];
  for (const value of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
    parts.push(make("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }));
    parts.push(make("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(1)));
  }
  for (const k of ks) parts.push(make("text", { x: x(k), y: height - bottom + 15, "text-anchor": "middle" }, `${k}`));
  parts.push(make("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, "k, number of skills"));
  const inside = ks.filter((k) => bound?.[k] !== undefined);
  if (inside.length > 1) parts.push(make("path", { class: "bound", d: inside.map((k, place) => `${place ? "L" : "M"}${x(k)} ${y(bound[k])}`).join("") }));
  lines.forEach((line, place) => {
    const points = Object.entries(line.cells).map(([k, cell]) => [x(Number(k)) + (place - (lines.length - 1) / 2) * shift, cell]);
    parts.push(make("g", { class: `c${line.style + 1}`, "data-line": line.id },
      make("path", { class: "course", d: points.map(([at, [value]], number) => `${number ? "L" : "M"}${at} ${y(value)}`).join("") }),
      ...points.filter(([, cell]) => cell[1] !== null).map(([at, [, from, to]]) => make("line", { class: "error", x1: at, x2: at, y1: y(from), y2: y(to) })),
      ...points.map(([at, [value]]) => make("path", { class: "point", d: SHAPES[line.style], transform: `translate(${at} ${y(value)})` }))));
  });
  // The table beside the plot says the same in text.
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, ...parts);
  svg.addEventListener("pointermove", (event) => {
    const at = event.clientX - svg.getBoundingClientRect().left;
    const k = ks.toSorted((a, b) => Math.abs(x(a) - at) - Math.abs(x(b) - at))[0];
    const here = lines.filter((line) => line.cells[k]).sort((a, b) => b.cells[k][0] - a.cells[k][0]);
    tip.hidden = !here.length;
    tip.replaceChildren(make("b", {}, `k = ${k}`), ...here.map((line) => make("div", {}, key(line.style), make("bdi", {}, line.name),
      ` ${share(line.cells[k][0])}`, line.cells[k][1] === null ? "" : make("small", {}, ` ${share(line.cells[k][1])}–${share(line.cells[k][2])}`))));
    tip.style.left = `${Math.max(0, Math.min(x(k) + 12, width - tip.offsetWidth - 4))}px`;
  });
  svg.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.replaceChildren(svg, tip);
}

function drawStudent(box, about) {
  box.replaceChildren(...Object.entries(data.metrics).filter(([metric]) => about.cells[metric]).map(([metric, name]) => {
    const plot = make("div", { class: "plot" });
    const lines = Object.entries(about.cells[metric]).map(([split, cells]) => ({ id: split, name: data.splits[split], cells }));
    const title = titled(name);
    requestAnimationFrame(() => drawPlot(plot, `student ${about.id} ${metric}`, lines, { title, bound: metric === "full_marks" && about.cells[metric].all ? data.bound : null }));
    return plot;
  }));
}
