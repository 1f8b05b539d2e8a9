// The leaderboard. Rows are ranked within their group: the same judge, protocol and pack.
const board = { controls: $("board-controls").elements, sort: null, down: true };

function boardRows() {
  const { metric, split, judge, protocol, source, together } = board.controls;
  const rows = data.rows.filter((row) =>
    row.cells[metric.value]?.[split.value]
    && (!judge.value || row.judge === judge.value)
    && (!protocol.value || row.protocol === protocol.value)
    && (!source.value || (row.source === "measured") === (source.value === "measured")));
  return { rows, cells: (row) => row.cells[metric.value][split.value], together: together.checked };
}

function usualSort(rows, cells) {
  // The k that most rows measured here have; of these the largest, which tells students apart best.
  const counts = new Map();
  const own = rows.filter((row) => row.source === "measured");
  for (const row of own.length ? own : rows) for (const k of Object.keys(cells(row))) counts.set(k, (counts.get(k) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1] || b[0] - a[0])[0]?.[0] ?? "student";
}

function boardCell(cell) {
  if (!cell) return make("td", {}, make("span", { class: "muted" }, "–"));
  const [value, low, high, items, asked, coverage, boundLow, boundHigh] = cell;
  const parts = [make("span", { class: "value" }, share(value))];
  if (low !== null) {
    parts.push(make("small", {}, `${share(low)}–${share(high)}, n ${items}`));
    const range = make("span", { class: "range", "aria-hidden": "true" }, make("i"), make("b"));
    range.firstChild.style.cssText = `left:${low * 100}%;width:${(high - low) * 100}%`;
    range.lastChild.style.left = `${value * 100}%`;
    parts.push(range);
  } else if (items !== null) parts.push(make("small", {}, `n ${items}`));
  if (coverage !== null && coverage < 1) {
    let words = `${items} of ${asked} judged`;
    if (boundLow !== null) words += `, bounds ${share(boundLow)}–${share(boundHigh)}`;
    parts.push(make("small", { class: "coverage" }, words));
  }
  return make("td", {}, ...parts);
}

function boardLine(row, rank, cells, ks, mark) {
  const name = make("th", { scope: "row", class: "name" },
    make("span", { class: "rank" }, rank ? `${rank}` : ""), make("bdi", {}, row.student));
  if (mark) name.append(make("span", { class: "badge", title: "group; see Method" }, row.letter));
  if (mark && row.source !== "measured") name.append(make("small", {}, "published"));
  return make("tr", { "data-row": row.id }, name, ...ks.map((k) => boardCell(cells(row)[k])));
}

function drawBoard() {
  const { rows, cells, together } = boardRows();
  const ks = [...new Set(rows.flatMap((row) => Object.keys(cells(row))))].sort((a, b) => a - b);
  if (board.sort !== "student" && !ks.includes(board.sort)) [board.sort, board.down] = [usualSort(rows, cells), true];
  const value = (row) => cells(row)[board.sort]?.[0] ?? -1;
  const names = new Intl.Collator("en", { numeric: true });
  rows.sort(board.sort === "student"
    ? (a, b) => names.compare(a.student, b.student) * (board.down ? 1 : -1)
    : (a, b) => (value(b) - value(a)) * (board.down ? 1 : -1) || names.compare(a.student, b.student));
  const head = (key, words) => {
    const sorted = board.sort === key;
    const direction = (key === "student") === board.down ? "ascending" : "descending";
    const turn = () => {
      board.down = sorted ? !board.down : true;
      board.sort = key;
      drawBoard();
      $("board").querySelector(`button[data-sort="${key}"]`).focus();
    };
    return make("th", { scope: "col", "aria-sort": sorted ? direction : null },
      make("button", { type: "button", "data-sort": key, on: { click: turn } },
        words + (sorted ? (direction === "ascending" ? " ↑" : " ↓") : "")));
  };
  const groups = together ? [rows] : Object.values(Object.groupBy(rows, (row) => row.letter))
    .sort((a, b) => names.compare(a[0].letter, b[0].letter));
  const bodies = groups.map((members) => {
    const body = make("tbody");
    if (!together) {
      const { letter, judge, protocol, pack, controls, calibration, source } = members[0];
      body.append(make("tr", { class: "group" }, make("th", { scope: "rowgroup", colspan: ks.length + 1 }, make("div", {},
        `${letter} · ${judge}${controls ? ` · ${controls}` : ""}${source === "measured" ? "" : " · published"}`,
        make("small", {}, `${protocol}; pack ${pack}${source === "measured" ? "" : `; ${source}`}`),
        ...(calibration ? [make("small", {}, calibration)] : [])))));
    }
    for (const row of members) {
      const better = members.filter((other) => value(other) > value(row)).length;
      const rank = board.sort !== "student" && cells(row)[board.sort] ? better + 1 : null;
      body.append(boardLine(row, rank, cells, ks, together));
    }
    return body;
  });
  $("board").replaceChildren(
    make("thead", {}, make("tr", {}, head("student", "student"), ...ks.map((k) => head(k, `k = ${k}`)))), ...bodies);
  const mixed = together && new Set(rows.map((row) => row.letter)).size > 1;
  $("board-words").textContent = !rows.length ? "No row has this metric and split: choose others."
    : mixed ? "Ranked together although judge, protocol or pack differ (letters: see Method): this order is no finding."
      : `Shown are ${data.metrics[board.controls.metric.value]}: ${data.meanings[board.controls.metric.value]}. `
        + "Rows are ranked within a group: the same judge, protocol and pack.";
  $("board-words").classList.toggle("no", mixed);
}

{
  const distinct = (name) => [...new Set(data.rows.map((row) => row[name]))].map((one) => [one, one]);
  fill(board.controls.metric, Object.entries(data.metrics));
  fill(board.controls.split, Object.entries(data.splits)
    .filter(([split]) => data.rows.some((row) => Object.values(row.cells).some((cells) => cells[split]))));
  fill(board.controls.judge, [["", "all"], ...distinct("judge")]);
  fill(board.controls.protocol, [["", "all"], ...distinct("protocol")]);
  $("board-controls").addEventListener("change", drawBoard);
  $("board-controls").addEventListener("submit", (event) => event.preventDefault());
  drawBoard();
}
