"use strict";
// Text from results and answers reaches the page through textContent, or escaped in the HTML of a student's report.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const views = [...document.querySelectorAll("main > section")];
const row = (id) => data.rows.find((one) => one.id === id);

function make(tag, attributes = {}, ...children) {
  const drawn = ["svg", "g", "line", "path", "text"].includes(tag);
  const element = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, call] of Object.entries(value)) element.addEventListener(event, call);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function fill(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(([value, name]) => make("option", { value }, name)));
  if (options.some(([value]) => String(value) === before)) select.value = before;
}

const several = (name) => new Set(data.rows.filter((one) => one.source === "measured").map((one) => one[name])).size > 1;
const titled = (text) => text[0].toUpperCase() + text.slice(1);
const share = (value) => value.toFixed(2);
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
const many = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

// The address holds what is shown: #samples?student=ID&k=3&answer=12. Every state is the value of a control.
const controlsOf = (view) => [...(view.querySelector("form")?.elements ?? [])].filter((one) => one.name);
const read = (control) => (control.type === "checkbox" ? (control.checked ? "1" : "") : control.value);
let chosenTheme = "";

function setUsual(view) {
  for (const control of controlsOf(view)) control.dataset.usual ??= read(control);
}

function address(view, changes = {}) {
  const found = new URLSearchParams();
  for (const control of controlsOf(view)) {
    const value = changes[control.name] ?? read(control);
    if (value !== (control.dataset.usual ?? "")) found.set(control.name, value);
  }
  if (chosenTheme) found.set("theme", chosenTheme);
  return `#${view.id}${found.size ? `?${found}` : ""}`;
}

// A link to a view with just these controls changed from what is usual.
function linkTo(view, values) {
  const found = new URLSearchParams(values);
  if (chosenTheme) found.set("theme", chosenTheme);
  return `#${view}?${found}`;
}

const current = () => views.find((one) => one.classList.contains("shown")) ?? views[0];
function keepAddress() { history.replaceState(null, "", address(current())); }

function show() {
  const [wanted, text = ""] = location.hash.slice(1).split("?");
  const values = new URLSearchParams(text);
  const view = views.find((one) => one.id === wanted) ?? $(data.usual.view);
  if (["light", "dark"].includes(values.get("theme"))) showTheme(chosenTheme = values.get("theme"));
  for (const control of controlsOf(view)) {
    const usual = control.dataset.usual ?? "";
    const value = values.get(control.name) ?? usual;
    if (control.type === "checkbox") control.checked = value === "1";
    else {
      control.value = value;
      if (control.value !== value) control.value = usual;
    }
  }
  for (const one of views) one.classList.toggle("shown", one === view);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === "#" + view.id) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.documentElement.dataset.view = view.id;
  view.dispatchEvent(new CustomEvent("shown"));
}

function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "dark" ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", `Switch to ${theme === "dark" ? "light" : "dark"} colours`);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
showTheme(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => showTheme(dark.matches ? "dark" : "light"));
$("theme").addEventListener("click", () => {
  showTheme(chosenTheme = document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  keepAddress();
});

// A mark beside what it concerns; its text opens by a click or a key.
function caveat(text) {
  const open = (event) => {
    const box = $("caveat");
    const place = event.currentTarget.getBoundingClientRect();
    box.textContent = text;
    box.style.left = `${Math.max(8, Math.min(place.left, innerWidth - 328))}px`;
    box.style.top = `${place.bottom + 4}px`;
    box.showPopover();
  };
  return make("button", { type: "button", class: "caveat", "aria-label": `Note: ${text}`, title: text, on: { click: open } }, "!");
}
for (const mark of document.querySelectorAll("[data-caveat]")) mark.replaceWith(caveat(mark.dataset.caveat));

// What is packed stands behind this script: the first view does not wait for it.
const whole = new Promise((done) => addEventListener("DOMContentLoaded", done));
async function inflate(id) {
  await whole;
  const bytes = Uint8Array.from(atob($(id).textContent), (one) => one.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
}

$("student-controls").addEventListener("change", () => { showStudent(); keepAddress(); });
async function showStudent() {
  const id = $("student-controls").elements.student.value;
  if (!id) return;
  const text = await inflate("student-" + id);
  if ($("student-controls").elements.student.value !== id) return;
  $("student").innerHTML = text;
  for (const link of $("student").querySelectorAll("a[data-student]")) {
    link.href = linkTo("samples", { student: link.dataset.student, ...(link.dataset.outcome ? { outcome: link.dataset.outcome } : {}) });
  }
  for (const link of $("student").querySelectorAll("a[data-answer]")) link.href = linkTo("samples", { student: id, answer: link.dataset.answer });
  drawStudent($("student").querySelector(".plots"), row(id));
}
$("students").addEventListener("shown", showStudent);

document.querySelector("nav").addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link) return;
  event.preventDefault();
  location.hash = address($(link.getAttribute("href").slice(1)));
  show();
});
for (const form of document.querySelectorAll("form")) form.addEventListener("submit", (event) => event.preventDefault());
document.documentElement.classList.add("scripted");
addEventListener("hashchange", () => { show(); scrollTo(0, Math.min(scrollY, document.querySelector("nav").offsetTop)); });
