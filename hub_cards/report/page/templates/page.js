"use strict";
// Text from results and answers reaches the page through textContent alone.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const views = [...document.querySelectorAll("main > section")];

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "on") for (const [event, call] of Object.entries(value)) element.addEventListener(event, call);
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

const share = (value) => value.toFixed(2);
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

function show() {
  const wanted = location.hash.slice(1);
  const view = views.find((one) => one.id === wanted) ?? views[0];
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
  showTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
});

function showStudent() {
  const template = $("student-" + $("student-choice").value);
  $("student").replaceChildren(...(template ? [template.content.cloneNode(true)] : []));
}
$("student-choice").addEventListener("change", showStudent);
$("students").addEventListener("shown", () => { if (!$("student").firstChild) showStudent(); });

document.documentElement.classList.add("scripted");
addEventListener("hashchange", () => { show(); scrollTo(0, Math.min(scrollY, document.querySelector("nav").offsetTop)); });
