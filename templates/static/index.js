// Comfort only: the table is whole, and sorted by name, without this file.
"use strict";

(() => {
  const table = document.querySelector("table.index");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  function make(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  // What a column is sorted by: a number, a text, or null where there is nothing.
  function valueOf(row, column) {
    const cell = row.cells[column];
    const text = cell.dataset.value ?? cell.textContent.trim();
    if (text === "" || text === "None") return null;
    const number = +(cell.className === "n" ? text.replaceAll(",", "") : text);
    return Number.isFinite(number) ? number : text;
  }

  function compare(a, b) {
    const numbers = (typeof a === "number") + (typeof b === "number");
    return numbers === 2 ? a - b : numbers === 1 ? (typeof a === "number" ? -1 : 1) : order.compare(a, b);
  }

  // What is not known comes last in both directions; what is alike stays as it stood, sorted by name.
  function sortBy(column, direction) {
    const sign = direction === "ascending" ? 1 : -1;
    const known = rows.map((row) => [valueOf(row, column), row]);
    const some = known.filter(([value]) => value !== null).sort(([a], [b]) => sign * compare(a, b));
    const none = known.filter(([value]) => value === null);
    body.append(...[...some, ...none].map(([, row]) => row));
    for (const heading of headings) heading.removeAttribute("aria-sort");
    headings[column].setAttribute("aria-sort", direction);
  }

  table.tHead.className = "sorts"; // as cards, rows have headings only to be sorted by
  headings.forEach((heading, column) => {
    if (!column) return; // pictures
    const button = make("button", { type: "button" }, ...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const first = heading.dataset.first ?? (heading.classList.contains("n") ? "descending" : "ascending");
      const other = first === "ascending" ? "descending" : "ascending";
      sortBy(column, heading.getAttribute("aria-sort") === first ? other : first);
    });
  });

  // ---- Filter -----------------------------------------------------------------------------------

  const kinds = [
    ["", "All"],
    ["of-failed", "Not made"],
    ["of-bad", "With errors"],
    ["of-warn", "With warnings only"],
    ["of-good", "Without problems"],
    ["of-newer", "Of a newer reportgen"],
    ["of-broken", "That cannot be read"],
  ];
  const there = new Set(rows.map((row) => row.className));
  const input = make("input", { type: "search", id: "filter-text" });
  const select = make("select", { id: "filter-verdict" });
  for (const [value, textContent] of kinds) {
    if (!value || there.has(value)) select.append(make("option", { value, textContent }));
  }
  const shown = make("output", { className: "soft small" });
  shown.setAttribute("aria-live", "polite");
  let texts = null;

  function filter() {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    texts ??= rows.map((row) => row.textContent.toLowerCase());
    let count = 0;
    rows.forEach((row, k) => {
      const fits = (!select.value || row.className === select.value) && wanted.every((word) => texts[k].includes(word));
      row.hidden = !fits;
      count += fits;
    });
    shown.value = count === rows.length ? "" : `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
  }

  input.addEventListener("input", filter);
  select.addEventListener("change", filter);
  document
    .getElementById("tools")
    .append(
      make("label", {}, "Filter ", input),
      " ",
      make("label", {}, "Verdict ", select),
      " ",
      shown,
    );
})();
