// Samples: rows to filter by stand in data.answers, the answers themselves in packed chunks.
const PAGE = 25;
const samples = { controls: $("sample-controls").elements, found: [], page: 0, chosen: null, chunks: new Map(), words: "", hits: new Set(), asked: false };
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/u;

async function unpack(number) {
  if (!samples.chunks.has(number)) samples.chunks.set(number, inflate("chunk-" + number).then(JSON.parse));
  return samples.chunks.get(number);
}

function matches([run, , skills, topic, full, , disputed, lost], number) {
  const { student, task, k, skill, outcome } = samples.controls;
  const about = data.runs[run];
  return (!student.value || about.row === student.value) && (!task.value || about.task === task.value)
    && (!k.value || about.k === Number(k.value)) && (!skill.value || skills.includes(Number(skill.value)))
    && (!outcome.value || { full: full === 1, not: full === 0, disputed: disputed > 0, none: lost > 0 }[outcome.value])
    && (!samples.words || holds(`${topic} ${skills.map((one) => data.skills[one]).join(" ")}`) || samples.hits.has(number));
}

const holds = (text) => text.toLowerCase().includes(samples.words);

// Topics and skills are searched at once, answers as their chunks are unpacked.
async function search() {
  const words = samples.controls.text.value.trim().toLowerCase();
  if (words === samples.words) return;
  Object.assign(samples, { words, hits: new Set() });
  findSamples();
  for (let chunk = 0; words && chunk * data.chunk < data.answers.length; chunk++) {
    const bodies = await unpack(chunk);
    if (samples.words !== words) return;
    bodies.forEach((body, place) => {
      if (body.generations.some((one) => holds(one.answer))) samples.hits.add(chunk * data.chunk + place);
    });
  }
  if (words) findSamples();
  follow();
}

// An item that the filters leave out gives way to the first that they leave in.
function follow() {
  const { found, chosen } = samples;
  if (!found.length || found.includes(chosen)) return;
  samples.controls.answer.value = "";
  open(found[0], false);
}

const outcomeOf = ([, , , , full, fraction]) =>
  full === null ? "no verdict" : full ? "full marks" : `skill fraction ${share(fraction)}`;

function findSamples() {
  samples.found = [];
  data.answers.forEach((answer, number) => { if (matches(answer, number)) samples.found.push(number); });
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
      type: "button", "data-answer": number, "aria-current": number === samples.chosen ? "true" : null, on: { click: () => choose(number, true) },
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

// The generation that counted: the item has the score of its best.
function counted(body) {
  const worth = ({ points }) => {
    const skills = Object.entries(points).filter(([point]) => /^s\d+$/.test(point)).map(([, earned]) => earned === true);
    const rest = [points.topic, points.sense, points.length].every((earned) => earned === true);
    const right = skills.filter(Boolean).length / skills.length;
    return rest ? 1 + right : right / 2;
  };
  const all = body.generations.map(worth);
  return all.indexOf(Math.max(...all));
}

function generationView(body, generation, number, of) {
  const answer = make("div", { class: "answer", dir: "auto" }, shown(generation.answer));
  const light = (quotes, line) => {
    answer.replaceChildren(shown(generation.answer, quotes.flatMap((quote) => passagesOf(generation.answer, quote))));
    for (const one of table.querySelectorAll("tr")) one.classList.toggle("chosen", one === line);
  };
  const judges = [...new Set(generation.votes.map((vote) => vote.judge))]
    .map((judge) => `${judge} (${many(generation.votes.filter((vote) => vote.judge === judge).length, "vote")})`);
  const table = make("table", { class: "points" });
  const lines = Object.entries(generation.points).map(([point, earned]) => {
    const marks = generation.votes.map((vote) => vote.marks[point] ?? [null, ""]); // a lost vote keeps its place
    const quotes = [...new Set(marks.map(([, evidence]) => evidence).filter(Boolean))];
    const code = generation.code[point] ?? (point === "length" ? "" : undefined); // length is never asked of a judge
    const verdict = earned === null ? `no verdict: ${generation.states[point] ?? ""}` : earned ? "earned" : "lost";
    const name = quotes.length
      ? make("button", { type: "button", on: { click: () => light(quotes, line) } }, pointName(point, body))
      : pointName(point, body);
    const line = make("tr", {}, make("th", { scope: "row" }, name),
      make("td", { class: earned ? "yes" : "no" }, verdict),
      make("td", { class: "votes" }, code !== undefined ? "code" : marks.map(([mark]) => (mark === null ? "?" : mark ? "+" : "−")).join(" ")),
      make("td", { class: "quote" }, ...(code ? [shown(code)]
        : quotes.map((quote) => make("div", {}, "“", shown(quote), "”")))));
    return line;
  });
  table.append(make("thead", {}, make("tr", {}, ...["point", "verdict", "votes", "evidence"].map((name) =>
    make("th", { scope: "col" }, name)))), make("tbody", {}, ...lines));
  const lost = generation.votes.filter((vote) => vote.state).map((vote) =>
    make("p", { class: "words" }, `Vote ${vote.number + 1} of ${vote.judge}: ${vote.state.replaceAll("_", " ")}. `, shown(vote.detail)));
  const turns = make("details", {}, make("summary", {}, "What the student wrote, turn by turn"),
    ...generation.turns.map((turn) => make("div", { class: "answer turn", dir: "auto" }, shown(turn))));
  const best = body.generations.length > 1 && number === counted(body);
  return [make("h4", {}, `Generation ${number + 1}`, best ? make("span", { class: "badge" }, "counted: the best") : null), answer,
    make("p", { class: "words" }, generation.void ? `Void: ${generation.void}. ` : "",
      `${many(generation.sentences, "sentence")}. `,
      judges.length ? `Votes in this order: ${judges.join(", ")}.` : ""),
    make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Points of generation ${number + 1}${of ? ` of ${of}` : ""}` }, table),
    ...lost, turns];
}

// Answers of other students to the same item of the same pack.
function besides(number) {
  const [run, item] = data.answers[number];
  const { items, row: own } = data.runs[run];
  return data.answers.flatMap(([other, theirs], place) =>
    theirs === item && data.runs[other].items === items && data.runs[other].row && data.runs[other].row !== own ? [place] : []);
}

async function bodyOf(number) { return (await unpack(Math.floor(number / data.chunk)))[number % data.chunk]; }

function studentView(number, body, titled) {
  const about = data.runs[data.answers[number][0]];
  return make("div", {}, titled ? make("h3", {}, make("bdi", {}, about.student)) : null,
    make("p", { class: "words" }, make("bdi", {}, about.student), ` · ${about.judge} · ${about.task}, item ${data.answers[number][1]} · ${outcomeOf(data.answers[number])}`),
    ...body.generations.flatMap((generation, place) => generationView(body, generation, place, titled ? about.student : "")));
}

async function open(number, focus) {
  samples.chosen = number;
  for (const button of $("sample-list").querySelectorAll("button")) {
    if (Number(button.dataset.answer) === number) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  const answer = data.answers[number];
  const body = await bodyOf(number);
  const others = besides(number);
  const { beside } = samples.controls;
  const wanted = new URLSearchParams(location.hash.split("?")[1] ?? "").get("beside") ?? beside.value;
  fill(beside, [["", others.length ? "no other" : "no other has this item"], ...others.map((one) => [data.runs[data.answers[one][0]].row, data.runs[data.answers[one][0]].student])]);
  beside.value = wanted;
  if (beside.value !== wanted) beside.value = "";
  const other = others.find((one) => beside.value && data.runs[data.answers[one][0]].row === beside.value);
  const second = other === undefined ? null : await bodyOf(other);
  if (samples.chosen !== number) return;
  const skills = body.skills.map(([name, category, definition]) =>
    make("li", {}, make("b", {}, name), ` (${category}). `, make("span", { class: "muted" }, definition)));
  $("sample").replaceChildren(
    make("h3", {}, body.topic ?? `Item ${answer[1]}`),
    skills.length ? make("ul", { class: "skills" }, ...skills) : make("p", { class: "words" }, "The skills of a private pack are not shown."),
    body.prompt ? make("details", { open: samples.asked, on: { toggle: ({ target }) => { samples.asked = target.open; } } },
      make("summary", {}, "What the student was asked"), make("div", { class: "answer turn" }, shown(body.prompt))) : null,
    make("p", { class: "words hint" }, "Press a point to see in the answer what the votes quoted for it. ← and → go to the item before and after."),
    make("div", { class: second ? "both" : "" }, studentView(number, body, Boolean(second)), second ? studentView(other, second, true) : null));
  if (focus) $("sample").focus({ preventScroll: innerWidth > 760 });
}

// Show an item, with a place in the browser's history.
function choose(number, focus) {
  samples.controls.answer.value = number;
  history.pushState(null, "", address($("samples")));
  return open(number, focus);
}

function step(by) {
  const place = samples.found.indexOf(samples.chosen) + by;
  if (place < 0 || place >= samples.found.length) return;
  samples.page = Math.floor(place / PAGE);
  listSamples();
  choose(samples.found[place], false);
}

{
  const { student, task, k, skill, answer, text } = samples.controls;
  const distinct = (values) => [...new Set(values)];
  const used = distinct(data.answers.map(([run]) => run)).map((run) => data.runs[run]);
  fill(student, [["", "all"], ...distinct(used.map((run) => run.row)).filter(row).map((id) => [id, several("judge") ? `${row(id).student} · ${row(id).judge}` : row(id).student])]);
  fill(task, [["", "all"], ...distinct(used.map((run) => run.task)).sort().map((one) => [one, one])]);
  fill(k, [["", "all"], ...distinct(used.map((run) => run.k)).sort((a, b) => a - b).map((one) => [one, one])]);
  fill(skill, [["", "all"], ...data.skills.map((name, number) => [number, name]).sort((a, b) => (a[1] < b[1] ? -1 : 1))]);
  setUsual($("samples"));
  $("sample-controls").addEventListener("change", ({ target }) => {
    if (target.name === "beside") { history.replaceState(null, "", address($("samples"))); open(samples.chosen, false); return; }
    if (target.name === "text") search(); else { findSamples(); follow(); }
    keepAddress();
  });
  text.addEventListener("input", search);
  $("previous").addEventListener("click", () => { samples.page--; listSamples(); });
  $("next").addEventListener("click", () => { samples.page++; listSamples(); });
  $("samples").addEventListener("shown", () => {
    if (text.value.trim().toLowerCase() !== samples.words) search(); else findSamples();
    const wanted = Number(answer.value);
    const number = answer.value && data.answers[wanted] ? wanted : samples.found[0];
    if (number === undefined) return;
    const place = samples.found.indexOf(number);
    if (place >= PAGE) { samples.page = Math.floor(place / PAGE); listSamples(); }
    open(number, false);
  });
  document.addEventListener("keydown", (event) => {
    if (current().id !== "samples" || event.target.closest("input, select, textarea, summary") || event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowRight" || event.key === "j") step(1);
    else if (event.key === "ArrowLeft" || event.key === "k") step(-1);
  });
  show();
}
