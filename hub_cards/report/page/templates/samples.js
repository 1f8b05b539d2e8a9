// Samples: rows to filter by stand in data.answers, the answers themselves in packed chunks.
const PAGE = 25;
const samples = { controls: $("sample-controls").elements, found: [], page: 0, chosen: null, chunks: new Map() };
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/u;

async function unpack(number) {
  if (!samples.chunks.has(number)) {
    const bytes = Uint8Array.from(atob($("chunk-" + number).textContent), (one) => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    samples.chunks.set(number, new Response(stream).json());
  }
  return samples.chunks.get(number);
}

function matches([run, , skills, , full, , disputed, lost]) {
  const { student, task, k, skill, outcome } = samples.controls;
  const about = data.runs[run];
  return (!student.value || about.row === student.value) && (!task.value || about.task === task.value)
    && (!k.value || about.k === Number(k.value)) && (!skill.value || skills.includes(Number(skill.value)))
    && (!outcome.value || { full: full === 1, not: full === 0, disputed: disputed > 0, none: lost > 0 }[outcome.value]);
}

const outcomeOf = ([, , , , full, fraction]) =>
  full === null ? "no verdict" : full ? "full marks" : `skill fraction ${share(fraction)}`;

function findSamples() {
  samples.found = [];
  data.answers.forEach((answer, number) => { if (matches(answer)) samples.found.push(number); });
  samples.page = 0;
  listSamples();
}

function listSamples() {
  const { found, page } = samples;
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  $("place").textContent = `${found.length.toLocaleString("en")} of ${data.answers.length.toLocaleString("en")} items, `
    + `page ${page + 1} of ${pages}`;
  $("previous").disabled = page === 0;
  $("next").disabled = page + 1 >= pages;
  $("sample-list").replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map((number) => {
    const answer = data.answers[number];
    const about = data.runs[answer[0]];
    const skills = answer[2].map((one) => data.skills[one]).join(", ");
    return make("li", {}, make("button", {
      type: "button", "data-answer": number, "aria-current": number === samples.chosen ? "true" : null, on: { click: () => open(number, true) },
    }, skills || `item ${answer[1]}`, answer[3] ? make("small", {}, answer[3]) : null,
    make("small", {}, make("bdi", {}, about.student), ` · ${about.task} · ${outcomeOf(answer)}`
      + (answer[6] ? ` · votes differ on ${answer[6]}` : ""))));
  }));
}

// Text whose unseen and turning characters are shown by their number, with passages marked.
function shown(text, passages = []) {
  const parts = document.createDocumentFragment();
  let open = null;
  let plain = "";
  const flush = () => { if (plain) (open ?? parts).append(plain); plain = ""; };
  for (let place = 0; place < text.length; place++) {
    const marked = passages.some(([from, to]) => from <= place && place < to);
    if (marked !== Boolean(open)) {
      flush();
      open = marked ? parts.appendChild(make("mark")) : null;
    }
    if (UNSEEN.test(text[place])) {
      flush();
      const code = text.charCodeAt(place).toString(16).toUpperCase().padStart(4, "0");
      (open ?? parts).append(make("span", { class: "unseen" }, `U+${code}`));
    } else plain += text[place];
  }
  flush();
  return parts;
}

// A quote counts whatever its case, spaces and quotation marks, and in parts around an ellipsis; so it is found.
function folded(text) {
  const places = [];
  let plain = "";
  for (let place = 0; place < text.length; place++) {
    let one = text[place].toLowerCase().replace(/[‘’‚‛]/g, "'").replace(/[“”„‟«»]/g, '"');
    if (UNSEEN.test(one) && !/\s/.test(one)) continue;
    if (/\s/.test(one)) {
      if (plain.endsWith(" ")) continue;
      one = " ";
    }
    for (const letter of one) { plain += letter; places.push(place); }
  }
  return { plain, places };
}

function passagesOf(text, quote) {
  const { plain, places } = folded(text);
  const found = [];
  let from = 0;
  for (const part of folded(quote).plain.split(/\.\.\.|…/).map((one) => one.trim()).filter(Boolean)) {
    const at = plain.indexOf(part, from);
    if (at < 0) continue;
    from = at + part.length;
    found.push([places[at], places[from - 1] + 1]);
  }
  return found;
}

const pointName = (point, body) =>
  (/^s\d+$/.test(point) && body.skills[Number(point.slice(1)) - 1]?.[0]) || point;

function generationView(body, generation, number) {
  const answer = make("div", { class: "answer", dir: "auto" }, shown(generation.answer));
  const light = (quotes, line) => {
    answer.replaceChildren(shown(generation.answer, quotes.flatMap((quote) => passagesOf(generation.answer, quote))));
    for (const one of table.querySelectorAll("tr")) one.classList.toggle("chosen", one === line);
  };
  const judges = generation.votes.map((vote) => `${vote.judge} ${vote.number + 1}`);
  const table = make("table", { class: "points" });
  const lines = Object.entries(generation.points).map(([point, earned]) => {
    const marks = generation.votes.map((vote) => vote.marks[point]).filter(Boolean);
    const quotes = [...new Set(marks.map(([, evidence]) => evidence).filter(Boolean))];
    const code = generation.code[point];
    const verdict = earned === null ? `no verdict: ${generation.states[point] ?? ""}` : earned ? "earned" : "lost";
    const name = quotes.length
      ? make("button", { type: "button", on: { click: () => light(quotes, line) } }, pointName(point, body))
      : pointName(point, body);
    const line = make("tr", {}, make("th", { scope: "row" }, name),
      make("td", { class: earned ? "yes" : "no" }, verdict),
      make("td", { class: "votes" }, code ? "code" : marks.map(([mark]) => (mark === null ? "?" : mark ? "+" : "−")).join(" ")),
      make("td", { class: "quote" }, ...(code ? [shown(code)]
        : quotes.map((quote) => make("div", {}, "“", shown(quote), "”")))));
    return line;
  });
  table.append(make("thead", {}, make("tr", {}, ...["point", "verdict", "votes", "evidence"].map((name) =>
    make("th", { scope: "col" }, name)))), make("tbody", {}, ...lines));
  const lost = generation.votes.filter((vote) => vote.state).map((vote) =>
    make("p", { class: "words" }, `Vote of ${vote.judge} ${vote.number + 1}: ${vote.state}. `, shown(vote.detail)));
  const turns = make("details", {}, make("summary", {}, "What the student wrote, turn by turn"),
    ...generation.turns.map((turn) => make("div", { class: "answer turn", dir: "auto" }, shown(turn))));
  return [make("h4", {}, `Generation ${number + 1}`), answer,
    make("p", { class: "words" }, generation.void ? `Void: ${generation.void}. ` : "",
      `${generation.sentences} sentence${generation.sentences === 1 ? "" : "s"}. `,
      judges.length ? `Votes in this order: ${[...new Set(judges)].join(", ")}.` : ""),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Points of generation ${number + 1}` }, table),
    ...lost, turns];
}

async function open(number, focus) {
  samples.chosen = number;
  for (const button of $("sample-list").querySelectorAll("button")) {
    if (Number(button.dataset.answer) === number) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  const answer = data.answers[number];
  const about = data.runs[answer[0]];
  const body = (await unpack(Math.floor(number / data.chunk)))[number % data.chunk];
  if (samples.chosen !== number) return;
  const skills = body.skills.map(([name, category, definition]) =>
    make("li", {}, make("b", {}, name), ` (${category}). `, make("span", { class: "muted" }, definition)));
  $("sample").replaceChildren(
    make("h3", {}, body.topic ?? `Item ${answer[1]}`),
    make("p", { class: "words" }, make("bdi", {}, about.student), ` · ${about.judge} · ${about.task}, item ${answer[1]} · ${outcomeOf(answer)}`),
    skills.length ? make("ul", { class: "skills" }, ...skills) : make("p", { class: "words" }, "The skills of a private pack are not shown."),
    make("p", { class: "words" }, "Press a point to see in the answer what the votes quoted for it."),
    ...body.generations.flatMap((generation, place) => generationView(body, generation, place)));
  if (focus) $("sample").focus({ preventScroll: innerWidth > 760 });
}

{
  const { student, task, k, skill } = samples.controls;
  const distinct = (values) => [...new Set(values)];
  const row = (id) => data.rows.find((one) => one.id === id);
  const used = distinct(data.answers.map(([run]) => run)).map((run) => data.runs[run]);
  fill(student, [["", "all"], ...distinct(used.map((run) => run.row)).filter(row).map((id) => [id, `${row(id).student} · ${row(id).judge}`])]);
  fill(task, [["", "all"], ...distinct(used.map((run) => run.task)).sort().map((one) => [one, one])]);
  fill(k, [["", "all"], ...distinct(used.map((run) => run.k)).sort((a, b) => a - b).map((one) => [one, one])]);
  fill(skill, [["", "all"], ...data.skills.map((name, number) => [number, name]).sort((a, b) => (a[1] < b[1] ? -1 : 1))]);
  $("sample-controls").addEventListener("change", findSamples);
  $("sample-controls").addEventListener("submit", (event) => event.preventDefault());
  $("previous").addEventListener("click", () => { samples.page--; listSamples(); });
  $("next").addEventListener("click", () => { samples.page++; listSamples(); });
  $("samples").addEventListener("shown", () => {
    if (!$("sample-list").firstChild) findSamples();
    if (samples.chosen === null && samples.found.length) open(samples.found[0], false);
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-answer]");
    if (link) open(Number(link.dataset.answer), false);
  });
  show();
}
