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
  if (!table || table.tBodies.length < 12) return;
  const label = document.createElement("label");
  const input = document.createElement("input");
  label.textContent = "Show layers whose name, class or variables contain";
  label.htmlFor = input.id = "filter-" + place.dataset.filter;
  input.type = "search";
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const body of table.tBodies) {
      const names = [...body.querySelectorAll("th")].map((cell) => cell.textContent).join(" ");
      body.hidden = !names.toLowerCase().includes(wanted);
    }
  });
  place.append(label, input);
}

addEventListener("hashchange", reveal);
document.querySelectorAll("[data-filter]").forEach(addFilter);
reveal();
