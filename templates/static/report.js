// Comfort only: everything on the page can be read without this file.
"use strict";

// A page that is one file may stand in a frame whose address is no page: its links are followed here.
const single = "single" in document.documentElement.dataset;

const all = (selector, within = document) => [...within.querySelectorAll(selector)];

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// ---- Links --------------------------------------------------------------------------------------

// The id that the address names; none where it is no text.
function wantedId() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

// A link to something folded away opens what holds it, and the row of a layer itself.
function reveal(id = wantedId()) {
  const target = id && document.getElementById(id);
  if (!target) return;
  for (let at = target; at; at = at.parentElement) {
    if (at instanceof HTMLDetailsElement) at.open = true;
  }
  const menu = document.querySelector(".menu");
  if (menu) menu.open = false;
  if (single) {
    for (const other of all(".target")) other.classList.remove("target");
    target.classList.add("target");
  }
  target.scrollIntoView();
}

function go(id) {
  if (single || location.hash === "#" + id) reveal(id);
  else location.hash = id;
}

function followWithin(event) {
  const link = event.target.closest?.('a[href^="#"]');
  if (!link || event.defaultPrevented || event.button) return;
  event.preventDefault();
  const id = decodeURIComponent(link.getAttribute("href").slice(1));
  reveal(id);
  const target = document.getElementById(id);
  if (!target) return;
  target.tabIndex = -1;
  target.focus({ preventScroll: true });
}

// The contents mark the chapter that is being read: the one at a third of the window's height.
function watchChapters() {
  const mark = (entries) => {
    const reached = entries.filter((entry) => entry.isIntersecting).pop();
    if (!reached) return;
    const id = reached.target.id === "findings" ? "summary" : reached.target.id;
    for (const link of all(".contents a")) {
      if (link.getAttribute("href") === "#" + id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  const observer = new IntersectionObserver(mark, { rootMargin: "-33% 0px -66% 0px" });
  all("#summary, #findings, .chapter").forEach((chapter) => observer.observe(chapter));
}

// ---- Lists --------------------------------------------------------------------------------------

// A field above a long list that keeps what matches; of a shortened list it looks at everything.
function addFilter(place) {
  const kind = place.dataset.filter;
  const list = place.parentElement;
  const entries = all(":scope > .layer, tbody > tr", list);
  if (entries.length < 12) return;
  const input = make("input", { type: "search", id: "filter-" + kind });
  const label = make("label", {
    htmlFor: input.id,
    textContent: kind === "layers" ? "Filter by name or class" : "Filter by name",
  });
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    list.classList.toggle("filtering", wanted !== "");
    for (const entry of entries) {
      const cells = entry.matches("tr") ? [entry.cells[0]] : [...entry.firstElementChild.children].slice(0, 2);
      const names = cells.map((cell) => cell.textContent).join(" ") + " " + (entry.dataset.find ?? "");
      entry.hidden = !names.toLowerCase().includes(wanted);
    }
  });
  place.append(label, " ", input);
}

// Headings become buttons that sort what is below; a third click restores the order.
function addSorting(headings, entries, cellsOf) {
  const value = (entry, column) => {
    const cell = cellsOf(entry)[column];
    const exact = cell.dataset.value;
    if (exact === undefined) return cell.textContent.trim().toLowerCase();
    return exact === "None" ? -Infinity : +exact;
  };
  headings.forEach((heading, column) => {
    const button = make("button", { type: "button" }, ...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const next = { descending: "ascending", ascending: "" }[before] ?? "descending";
      for (const other of headings) other.removeAttribute("aria-sort");
      const sorted = [...entries];
      if (next) {
        heading.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        sorted.sort((a, b) => {
          const x = value(a, column);
          const y = value(b, column);
          return sign * (x < y ? -1 : x > y ? 1 : 0);
        });
      }
      entries[0].parentElement.append(...sorted);
    });
  });
}

function sortTable(table) {
  if (!table.tBodies[0].rows.length) return;
  addSorting([...table.tHead.rows[0].cells], [...table.tBodies[0].rows], (row) => row.cells);
}

function sortLayers(list) {
  const head = list.querySelector(".layer-row.head");
  head.removeAttribute("aria-hidden");
  addSorting([...head.children], all(":scope > .layer", list), (layer) => layer.firstElementChild.children);
}

// ---- Pictures -----------------------------------------------------------------------------------

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// One map of a sheet, which lie side by side with a pixel between them; the inner box cuts the others off.
function cropped(picture, at, count) {
  const [width, height] = ["width", "height"].map((name) => +picture.getAttribute(name));
  const each = (width - 1) / count;
  const box = { width: each - 1, height: height - 2 };
  const sheet =
    picture.localName === "svg"
      ? picture.firstElementChild.cloneNode(true)
      : svg("image", { href: picture.src, width, height });
  const inner = svg("svg", { ...box, viewBox: [1 + at * each, 1, box.width, box.height].join(" ") }, sheet);
  const viewBox = [0, 0, box.width, box.height].join(" ");
  return svg("svg", { ...box, viewBox, class: "picture pixelated", role: "img" }, inner);
}

// One dialog shows any picture large; the arrow keys go on, "c" keeps one beside the next.
const viewer = {
  dialog: null,
  links: [],
  at: 0,
  kept: null,
  channel: -1,
  row: null,
  channels: null,
  compare: null,

  open(link) {
    const holder = link.closest(".chapter, section") ?? document;
    this.links = all(".zoom", holder);
    this.at = this.links.indexOf(link);
    this.kept = null;
    this.channel = -1;
    this.dialog ??= this.build();
    this.show();
    this.dialog.showModal();
  },

  build() {
    const dialog = make("dialog", { className: "viewer" });
    const button = (text, act) => {
      const made = make("button", { type: "button", textContent: text });
      made.addEventListener("click", act);
      return made;
    };
    this.compare = button("", () => this.keep());
    this.channels = make("span", {}, button("↑ Channel", () => this.pick(-1)), " ", button("↓ Channel", () => this.pick(1)));
    const tools = make(
      "nav",
      {},
      button("← Previous", () => this.step(-1)),
      this.channels,
      this.compare,
      button("Next →", () => this.step(1)),
      button("Close", () => dialog.close()),
    );
    tools.setAttribute("aria-label", "Pictures");
    this.row = make("div", { className: "side-by-side" });
    dialog.append(this.row, tools);
    dialog.setAttribute("aria-label", "Enlarged picture");
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowRight") this.step(1);
      else if (event.key === "ArrowLeft") this.step(-1);
      else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        if (!this.sheet().length) return;
        event.preventDefault();
        this.pick(event.key === "ArrowDown" ? 1 : -1);
      } else if (event.key === "c") this.keep();
    });
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
    document.body.append(dialog);
    return dialog;
  },

  step(by) {
    this.at = (this.at + by + this.links.length) % this.links.length;
    this.show();
  },

  // The channels of a sheet of maps; none of another picture.
  sheet(link = this.links[this.at]) {
    const row = link.closest("[data-ranges]");
    const numbers = row?.closest("[data-channels]")?.dataset.channels.split(" ") ?? [];
    const ranges = row?.dataset.ranges.split("|") ?? [];
    return numbers.map((number, k) => `channel ${number}: ${ranges[k]}`);
  },

  // One channel after the other, and after the last the whole sheet again.
  pick(by) {
    const count = this.sheet().length + 1;
    if (count > 1) this.channel = ((this.channel + 1 + by + count) % count) - 1;
    this.show();
  },

  keep() {
    this.kept = this.kept ? null : this.links[this.at];
    this.show();
  },

  figure(link) {
    const picture = link.querySelector("img, .picture");
    const maps = this.sheet(link);
    const one = maps[this.channel];
    const large = one ? cropped(picture, this.channel, maps.length) : picture.cloneNode(true);
    if (one) large.setAttribute("aria-label", one);
    const alt = large.getAttribute("alt") ?? large.getAttribute("aria-label");
    for (const name of ["plot", "kernels", "series", "triple", "contrast"]) large.classList.remove(name);
    const name = link.closest("[data-find]")?.dataset.find ?? "";
    const caption = link.closest("figure")?.querySelector("figcaption")?.innerText ?? "";
    const row = link.closest("li")?.querySelector(".name")?.textContent ?? "";
    const text = [name, one && row, one || caption || alt].filter(Boolean).join(" · ");
    return make("figure", {}, large, make("figcaption", { textContent: text }));
  },

  show() {
    const shown = (this.kept ? [this.kept] : []).concat(this.links[this.at]);
    this.channels.hidden = !this.sheet().length;
    this.row.replaceChildren(...shown.map((link) => this.figure(link)));
    this.compare.textContent = this.kept ? "Show one only" : "Compare with another";
  },
};

document.addEventListener("click", (event) => {
  const link = event.target.closest?.(".zoom");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  viewer.open(link);
});

// ---- Search, keys, theme ------------------------------------------------------------------------

// Layers, probes, units, classes and findings by name.
function searchable() {
  const named = all("[data-find]").map((element) => {
    const id = element.id || element.querySelector("[id]")?.id;
    return { text: element.dataset.find, element, id };
  });
  const findings = all(".findings > li[id]").map((element) => {
    return { text: element.querySelector("strong").textContent + " " + element.id.split("/")[1], element, id: element.id };
  });
  return [...findings, ...named];
}

// The field and the list of what it finds.
function searchField() {
  const input = make("input", { type: "search", id: "search", placeholder: "Search   /" });
  input.setAttribute("aria-label", "Search layers, images, classes, units and findings");
  const list = make("ul", { className: "found-list", hidden: true });
  let index = null;
  const lead = (entry) => {
    if (entry.id) return go(entry.id);
    entry.element.closest(".cut")?.classList.add("filtering");
    entry.element.scrollIntoView({ block: "center" });
  };
  input.addEventListener("input", () => {
    index ??= searchable();
    const wanted = input.value.trim().toLowerCase();
    const found = wanted ? index.filter((entry) => entry.text.toLowerCase().includes(wanted)).slice(0, 20) : [];
    list.replaceChildren(
      ...found.map((entry) => {
        const link = make("a", { href: "#" + (entry.id ?? ""), textContent: entry.text });
        link.addEventListener("click", (event) => {
          event.preventDefault();
          lead(entry);
        });
        return make("li", {}, link);
      }),
    );
    list.hidden = !found.length;
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") list.querySelector("a")?.click();
    else if (event.key === "ArrowDown") list.querySelector("a")?.focus();
    else if (event.key === "Escape") input.blur();
  });
  return [input, list];
}

const THEMES = ["", "light", "dark"];
const THEME_NAMES = { "": "as the system", light: "light", dark: "dark" };

// A page in a frame of another origin may store nothing: the choice then lasts as long as the page.
function stored(theme) {
  try {
    if (theme === undefined) return localStorage.getItem("reportgen-theme") ?? "";
    localStorage.setItem("reportgen-theme", theme);
  } catch {
    return "";
  }
  return theme;
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  const button = document.getElementById("theme");
  if (button) button.textContent = "Theme: " + THEME_NAMES[theme];
}

function nextTheme() {
  const now = document.documentElement.dataset.theme ?? "";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  stored(next);
  setTheme(next);
}

// The next or the previous of some elements, seen from the top of the window.
function move(elements, by) {
  const shown = elements.filter((element) => element.offsetParent !== null);
  const bar = document.querySelector(".topbar");
  const top = (bar?.offsetHeight ?? 0) + 20;
  const places = shown.map((element) => element.getBoundingClientRect().top);
  const next = by > 0 ? places.findIndex((place) => place > top) : places.findLastIndex((place) => place < top - 24);
  const element = shown[next];
  if (!element) return;
  scrollBy({ top: places[next] - top + 8 });
  const held = element.querySelector("summary, a") ?? element;
  held.focus({ preventScroll: true });
}

const KEYS = [
  ["/", "search layers, images, classes, units and findings"],
  ["j, k", "next and previous card"],
  ["[, ]", "previous and next section"],
  ["←, →", "in an enlarged picture: the previous and the next one"],
  ["↑, ↓", "in an enlarged row of maps: one channel after the other, with its range"],
  ["c", "in an enlarged picture: compare with the next one"],
  ["t", "theme: as the system, light, dark"],
  ["?", "this list"],
];

let help = null;

function showHelp() {
  if (!help) {
    const rows = KEYS.map(([key, text]) => make("tr", {}, make("th", { scope: "row" }, make("kbd", { textContent: key })), make("td", { textContent: text })));
    const close = make("button", { type: "button", textContent: "Close" });
    help = make("dialog", { className: "viewer" }, make("h2", { textContent: "Keys" }), make("table", { className: "data" }, make("tbody", {}, ...rows)), make("p", {}, close));
    close.addEventListener("click", () => help.close());
    help.setAttribute("aria-label", "Keys");
    document.body.append(help);
  }
  help.showModal();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, dialog")) return;
  const cards = () => all(".findings > li, .card, .layer");
  const sections = () => all("#summary, #findings, .chapter");
  const search = document.getElementById("search");
  const acts = {
    "/": () => {
      const folded = search?.closest("details");
      if (folded) folded.open = true;
      search?.focus();
    },
    j: () => move(cards(), 1),
    k: () => move(cards(), -1),
    "]": () => move(sections(), 1),
    "[": () => move(sections(), -1),
    t: nextTheme,
    "?": showHelp,
  };
  const act = acts[event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

// Search, theme and keys stand beside the page where there is room, else in the menu of its bar.
function addTools() {
  const search = searchField();
  const theme = make("button", { type: "button", id: "theme", className: "small" });
  theme.addEventListener("click", nextTheme);
  const keys = make("button", { type: "button", className: "small", textContent: "Keys: ?" });
  keys.addEventListener("click", showHelp);
  const buttons = make("span", { className: "tools" }, theme, keys);
  const side = document.querySelector(".side");
  const menu = make("li", { className: "tools" });
  document.querySelector(".menu .contents").prepend(menu);
  const place = (beside) => {
    const held = search[0] === document.activeElement;
    (beside ? side.querySelector("div.tools") : menu).append(...search);
    if (held) {
      if (!beside) menu.closest("details").open = true;
      search[0].focus();
    }
    if (beside) side.querySelector(".foot").prepend(buttons);
    else menu.append(buttons);
  };
  let beside = matchMedia("(min-width: 900px)").matches;
  place(beside);
  new ResizeObserver(() => {
    if (beside !== side.offsetWidth > 0) place((beside = !beside));
  }).observe(document.querySelector(".page"));
}

function start() {
  addTools();
  setTheme(THEMES.includes(stored()) ? stored() : "");
  all("table[data-sort]").forEach(sortTable);
  all(".layers").forEach(sortLayers);
  all("[data-filter]").forEach(addFilter);
  watchChapters();
  reveal();
}

addEventListener("hashchange", () => reveal());
if (single) document.addEventListener("click", followWithin);
addEventListener("keydown", onKey);
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
