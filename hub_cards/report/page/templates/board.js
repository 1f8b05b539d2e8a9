// The leaderboard. Rows are ranked within their group: the same judge, protocol and pack.
const board = $("board-controls").elements;

function boardRows() {
  const { metric, split, judge, protocol, source } = board;
  return data.rows.filter((one) =>
    one.cells[metric.value]?.[split.value]
    && (!judge.value || one.judge === judge.value)
    && (!protocol.value || one.protocol === protocol.value)
    && (!source.value || (one.source === "measured") === (source.value === "measured")));
}

function usualSort(rows, cells) {
  // The k that most rows measured here have; of these the largest, which tells students apart best.
  const counts = new Map();
  const own = rows.filter((one) => one.source === "measured");
  for (const one of own.length ? own : rows) for (const k of Object.keys(cells(one))) counts.set(k, (counts.get(k) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || b[0] - a[0])[0]?.[0] ?? "student";
}

function boardCell(one, k, cell) {
  if (!cell) return make("td", {}, make("span", { class: "muted" }, "–"));
  const [value, low, high, items, asked, coverage, boundLow, boundHigh] = cell;
  const there = data.runs.find((run) => run.row === one.id && run.k === Number(k) && run.split === board.split.value && run.answers);
  const words = [low === null ? "" : `95 % interval ${share(low)} to ${share(high)}`, items === null ? "" : many(items, "item")].filter(Boolean).join(", ");
  const number = there
    ? make("a", { class: "value", href: linkTo("samples", { student: one.id, task: there.task }), title: `${words}; see the answers` }, share(value))
    : make("span", { class: "value", title: words }, share(value));
  const parts = [number];
  if (coverage !== null && coverage < 1) {
    const bounds = boundLow === null ? "" : `; full marks lie between ${share(boundLow)} and ${share(boundHigh)}, whatever the missing verdicts are`;
    parts.push(caveat(`${items} of ${asked} items have a verdict${bounds}.`));
  }
  if (low !== null) {
    const range = make("span", { class: "range", "aria-hidden": "true" }, make("i"), make("b"));
    range.firstChild.style.cssText = `left:${low * 100}%;width:${(high - low) * 100}%`;
    range.lastChild.style.left = `${value * 100}%`;
    parts.push(range, make("small", {}, `${share(low)}–${share(high)}`));
  }
  return make("td", {}, ...parts);
}

function boardLine(one, rank, cells, ks, mark) {
  const student = one.source === "measured"
    ? make("a", { href: linkTo("students", { student: one.id }) }, make("bdi", {}, one.student)) : make("bdi", {}, one.student);
  const name = make("th", { scope: "row", class: "name" }, make("span", { class: "rank" }, rank ? `${rank}` : ""), student);
  if (mark) name.append(make("span", { class: "badge", title: "group; see Method" }, one.letter));
  if (mark && one.source !== "measured") name.append(make("small", {}, "published"));
  return make("tr", { "data-row": one.id, on: { pointerenter: () => lift($("board-plot"), one.id), pointerleave: () => lift($("board-plot"), null) } },
    name, ...ks.map((k) => boardCell(one, k, cells(one)[k])));
}

function groupHead(first, columns) {
  const { letter, judge, protocol, pack, controls, controls_failed: failed, calibration, source } = first;
  const measured = source === "measured";
  const marks = [
    failed ? caveat(`${controls}. This judge is wrong about answers with known correct verdicts: do not trust its scores.`) : null,
    calibration ? caveat(calibration) : null,
    !measured ? caveat(`Published: ${source}. ${judge}. Not comparable with rows of another judge or pack.`) : null,
  ];
  return make("tr", { class: "group" }, make("th", { scope: "rowgroup", colspan: columns }, make("div", {},
    `${letter} · ${judge}${measured ? "" : " · published"} `, ...marks, make("small", {}, `${protocol}; pack ${pack}`))));
}

function drawBoard() {
  const rows = boardRows();
  const together = board.together.checked;
  const cells = (one) => one.cells[board.metric.value][board.split.value];
  const ks = [...new Set(rows.flatMap((one) => Object.keys(cells(one))))].sort((a, b) => a - b);
  let [sort, up] = board.sort.value.split(":");
  if (sort !== "student" && !ks.includes(sort)) [sort, up] = [usualSort(rows, cells), undefined];
  const value = (one) => cells(one)[sort]?.[0] ?? -1;
  const names = new Intl.Collator("en", { numeric: true });
  rows.sort(sort === "student"
    ? (a, b) => names.compare(a.student, b.student) * (up ? -1 : 1)
    : (a, b) => (value(b) - value(a)) * (up ? -1 : 1) || names.compare(a.student, b.student));
  const head = (name, words) => {
    const sorted = sort === name;
    const rising = (name === "student") === !up;
    const turn = () => {
      board.sort.value = sorted && !up ? `${name}:up` : name;
      drawBoard();
      keepAddress();
      $("board").querySelector(`button[data-sort="${name}"]`).focus();
    };
    return make("th", { scope: "col", "aria-sort": sorted ? (rising ? "ascending" : "descending") : null },
      make("button", { type: "button", "data-sort": name, on: { click: turn } }, words + (sorted ? (rising ? " ↑" : " ↓") : "")));
  };
  $("board").classList.toggle("dense", ks.length > 6);
  const groups = together ? [rows] : Object.values(Object.groupBy(rows, (one) => one.letter))
    .sort((a, b) => names.compare(a[0].letter, b[0].letter));
  const bodies = groups.map((members) => make("tbody", {}, ...(together ? [] : [groupHead(members[0], ks.length + 1)]),
    ...members.map((one) => {
      const better = members.filter((other) => value(other) > value(one)).length;
      return boardLine(one, sort !== "student" && cells(one)[sort] ? better + 1 : null, cells, ks, together);
    })));
  $("board").replaceChildren(
    make("thead", {}, make("tr", {}, head("student", "student"), ...ks.map((k) => head(k, `k = ${k}`)))), ...bodies);
  const mixed = together && new Set(rows.map((one) => one.letter)).size > 1;
  $("board-words").textContent = !rows.length ? "No row has this metric and split: choose others."
    : mixed ? "Ranked together although judge, protocol or pack differ (letters: see Method): this order is no finding." : "";
  const shown = groups.find((members) => members[0]?.source === "measured") ?? groups[0] ?? [];
  const level = (one) => Object.values(cells(one)).reduce((sum, [score]) => sum + score, 0) / Object.keys(cells(one)).length;
  const bounded = board.metric.value === "full_marks" && board.split.value === "all";
  drawPlot($("board-plot"), "board", shown.toSorted((a, b) => level(b) - level(a)).map((one) => ({ id: one.id, name: one.student, cells: cells(one) })),
    { bound: bounded ? data.bound : null });
  const metric = board.metric.value;
  $("board-caption").textContent = `${titled(data.metrics[metric])} (${data.meanings[metric]}) against k${groups.length > 1 && shown[0] ? `, ${shown[0].judge}` : ""}; bars are 95 % intervals.`;
}

{
  const distinct = (name) => [...new Set(data.rows.map((one) => one[name]))].map((one) => [one, one]);
  fill(board.metric, Object.entries(data.metrics));
  fill(board.split, Object.entries(data.splits)
    .filter(([split]) => data.rows.some((one) => Object.values(one.cells).some((cells) => cells[split]))));
  fill(board.judge, [["", "all"], ...distinct("judge")]);
  fill(board.protocol, [["", "all"], ...distinct("protocol")]);
  board.split.value = data.usual.split;
  $("board-controls").addEventListener("change", () => { drawBoard(); keepAddress(); });
  setUsual($("leaderboard"));
  setUsual($("students"));
  $("leaderboard").addEventListener("shown", drawBoard);
}
