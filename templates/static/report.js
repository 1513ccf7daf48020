// Comfort only: everything on the page can be read without this file.
"use strict";

// A link to something folded away opens what holds it.
function reveal() {
  const id = decodeURIComponent(location.hash.slice(1));
  const target = id && document.getElementById(id);
  if (!target) return;
  for (let at = target; at; at = at.parentElement) {
    if (at instanceof HTMLDetailsElement) at.open = true;
  }
  target.scrollIntoView();
}

// A field above a long table that keeps the rows whose text holds what is typed.
function addFilter(place) {
  const table = document.querySelector("table." + place.dataset.filter);
  const grouped = table && table.tBodies.length > 1;
  const units = table ? [...(grouped ? table.tBodies : table.tBodies[0].rows)] : [];
  if (units.length < 12) return;
  const label = document.createElement("label");
  const input = document.createElement("input");
  label.textContent = "Show layers whose name or class contains";
  label.htmlFor = input.id = "filter-" + place.dataset.filter;
  input.type = "search";
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const unit of units) {
      const cells = grouped ? unit.querySelectorAll("th") : [...unit.cells].slice(0, 2);
      const names = [...cells].map((cell) => cell.title + " " + cell.textContent).join(" ");
      unit.hidden = !names.toLowerCase().includes(wanted);
    }
  });
  place.append(label, input);
}

// Headings of a table become buttons that sort its rows; a third click restores the order.
function addSorting(table) {
  const rows = [...table.tBodies[0].rows];
  const value = (row, column) => {
    const cell = row.cells[column];
    const exact = cell.dataset.value;
    return exact === undefined ? cell.textContent.trim().toLowerCase() : exact === "None" ? -Infinity : +exact;
  };
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const next = { descending: "ascending", ascending: "" }[before] ?? "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      const sorted = [...rows];
      if (next) {
        heading.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        sorted.sort((a, b) => {
          const x = value(a, column);
          const y = value(b, column);
          return sign * (x < y ? -1 : x > y ? 1 : 0);
        });
      }
      table.tBodies[0].append(...sorted);
    });
  });
}

addEventListener("hashchange", reveal);
document.querySelectorAll("table[data-sort]").forEach(addSorting);
document.querySelectorAll("[data-filter]").forEach(addFilter);
reveal();
