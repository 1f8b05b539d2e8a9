// Paired comparisons: [first row, second row, metric, split, k, items, first, second, low, high, better, worse, p, Holm].
function turned(pair) {
  const [one, other, metric, split, k, items, first, second, low, high, better, worse, p, holm] = pair;
  const flip = (value) => (value === null ? null : -value);
  return [other, one, metric, split, k, items, second, first, flip(high), flip(low), worse, better, p, holm];
}

let pairWanted = ""; // the second student of an address, before its choices are there

function drawPairs() {
  const { first, second, metric } = $("pair-controls").elements;
  const both = [...data.pairs, ...data.pairs.map(turned)];
  const partners = new Set(both.filter((pair) => pair[0] === first.value).map((pair) => pair[1]));
  fill(second, data.rows.filter((one) => partners.has(one.id)).map((one) => [one.id, one.student]));
  if (pairWanted && partners.has(pairWanted)) second.value = pairWanted;
  pairWanted = "";
  const wanted = both.filter((pair) =>
    pair[0] === first.value && pair[1] === second.value && pair[2] === metric.value);
  const cell = (text) => make("td", {}, text);
  const p = (value) => (value < 0.001 ? "< 0.001" : value.toFixed(3));
  const lines = wanted.map(([, , , split, k, items, one, other, low, high, better, worse, single, holm]) =>
    make("tr", {}, make("th", { scope: "row" }, `${data.splits[split]}, k = ${k}`), cell(items), cell(share(one)),
      cell(share(other)),
      make("td", {}, make("span", { class: "value" }, signed(other - one)),
        low === null ? "" : make("small", {}, ` ${signed(low)} to ${signed(high)}`)),
      cell(`${better} / ${worse}`), cell(p(single)), cell(p(holm))));
  const nameOf = (control) => control.selectedOptions[0]?.textContent ?? "";
  const names = ["task", "items", nameOf(first), nameOf(second), "difference", "better / worse", "p", "p (Holm)"];
  $("pairs").replaceChildren(
    make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...(lines.length ? lines
      : [make("tr", {}, make("td", { colspan: names.length, class: "text" }, "Not compared on this metric."))])));
}

function drawTraining() {
  for (const box of document.querySelectorAll(".plot[data-rows]")) {
    const rows = box.dataset.rows.split(" ").map(row);
    const { split } = box.dataset;
    drawPlot(box, `training ${box.dataset.rows} ${split}`, rows.map((one) => ({ id: one.id, name: one.student, cells: one.cells.full_marks[split] })),
      { title: `Full marks, ${data.splits[split]}` });
  }
}
$("comparisons").addEventListener("shown", drawTraining);

if ($("pair-controls")) {
  const { first, second, metric } = $("pair-controls").elements;
  const compared = new Set(data.pairs.flatMap((pair) => pair.slice(0, 2)));
  fill(first, data.rows.filter((one) => compared.has(one.id)).map((one) => [one.id, several("judge") ? `${one.student} · ${one.judge}` : one.student]));
  fill(metric, Object.entries(data.metrics));
  if (data.usual.first) first.value = data.usual.first;
  pairWanted = data.usual.second ?? "";
  drawPairs();
  setUsual($("comparisons"));
  $("pair-controls").addEventListener("change", () => { drawPairs(); keepAddress(); });
  $("comparisons").addEventListener("shown", () => {
    pairWanted = new URLSearchParams(location.hash.split("?")[1] ?? "").get("second") ?? (first.value === first.dataset.usual ? second.dataset.usual : "");
    drawPairs();
  });
}
