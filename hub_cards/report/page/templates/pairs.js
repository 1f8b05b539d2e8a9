// Paired comparisons: [first row, second row, metric, split, k, items, first, second, low, high, better, worse, p, Holm].
function turned(pair) {
  const [one, other, metric, split, k, items, first, second, low, high, better, worse, p, holm] = pair;
  const flip = (value) => (value === null ? null : -value);
  return [other, one, metric, split, k, items, second, first, flip(high), flip(low), worse, better, p, holm];
}

function drawPairs() {
  const { first, second, metric } = $("pair-controls").elements;
  const both = [...data.pairs, ...data.pairs.map(turned)];
  const partners = new Set(both.filter((pair) => pair[0] === first.value).map((pair) => pair[1]));
  fill(second, data.rows.filter((row) => partners.has(row.id)).map((row) => [row.id, row.student]));
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
  const names = ["task", "n", "first", "second", "difference", "better / worse", "p", "p (Holm)"];
  $("pairs").replaceChildren(
    make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, ...(lines.length ? lines
      : [make("tr", {}, make("td", { colspan: names.length, class: "text" }, "Not compared on this metric."))])));
}

if ($("pair-controls")) {
  const { first, metric } = $("pair-controls").elements;
  const compared = new Set(data.pairs.flatMap((pair) => pair.slice(0, 2)));
  fill(first, data.rows.filter((row) => compared.has(row.id)).map((row) => [row.id, `${row.student} · ${row.judge}`]));
  fill(metric, Object.entries(data.metrics));
  $("pair-controls").addEventListener("change", drawPairs);
  $("pair-controls").addEventListener("submit", (event) => event.preventDefault());
  drawPairs();
}
