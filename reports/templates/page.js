"use strict";
// The page is complete without this: it only adds sorting, filters, a choice of columns, and two rows side by side.
const FILTER_FROM = 9;

function valueOf(row, column) {
  const cell = row.cells[column];
  const text = "value" in cell.dataset ? cell.dataset.value : cell.textContent.trim();
  if (text === "") return null;
  const number = Number(text.replaceAll(",", "").replace("\u2212", "-"));
  return Number.isNaN(number) ? text : number;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortBy(table, header, column) {
  const descending = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row, column), row]);
  rows.sort(([a], [b]) => {
    // What has no value stays last, whichever way one sorts.
    if (a === null || b === null) return (a === null) - (b === null);
    return descending ? compare(b, a) : compare(a, b);
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

function addSorting(table) {
  [...table.tHead.rows[table.tHead.rows.length - 1].cells].forEach((header, column) => {
    const button = element("button", "", { type: "button", class: "sort" });
    button.append(...header.childNodes);
    button.addEventListener("click", () => sortBy(table, header, column));
    header.append(button);
  });
}

function addFilter(table) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length < FILTER_FROM) return;
  const box = element("p", "", { class: "filter" });
  const label = element("label", "Filter rows ");
  const input = element("input", "", { type: "search" });
  const count = element("span", `${rows.length} rows`, { role: "status" });
  label.append(input);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = words.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
  });
  box.append(label, count);
  toolsOf(table).append(box);
}

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  return made;
}

function toolsOf(table) {
  const scroll = table.closest(".scroll");
  const before = scroll.previousElementSibling;
  if (before && before.classList.contains("tools")) return before;
  const tools = element("div", "", { class: "tools" });
  scroll.before(tools);
  return tools;
}

// Which columns are hidden stands in the address, so that a link shows them as they were: #hide=board-1:latency,MACs
function hiddenInAddress() {
  const found = new Map();
  for (const part of location.hash.replace(/^#/, "").split("&")) {
    if (!part.startsWith("hide=")) continue;
    for (const board of part.slice(5).split(";")) {
      const [anchor, names = ""] = board.split(":");
      found.set(anchor, new Set(names.split(",").filter(Boolean).map(decoded)));
    }
  }
  return found;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function writeAddress(hidden) {
  const boards = [...hidden].filter(([, names]) => names.size);
  const text = boards.map(([anchor, names]) => `${anchor}:${[...names].map(encodeURIComponent).join(",")}`).join(";");
  history.replaceState(null, "", text ? `#hide=${text}` : "#");
}

const hidden = hiddenInAddress();

function addColumnMenu(table) {
  const anchor = table.closest("section").id;
  const headers = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const groups = [];
  let first = 0;
  for (const cell of table.tHead.rows[0].cells) {
    groups.push([cell, first, first + cell.colSpan]);
    first += cell.colSpan;
  }
  const isHidden = (column) => hidden.get(anchor)?.has(headers[column].dataset.column) ?? false;
  const show = () => {
    for (const row of [table.tHead.rows[1], ...table.tBodies[0].rows]) {
      headers.forEach((header, column) => {
        if ("column" in header.dataset) row.cells[column].hidden = isHidden(column);
      });
    }
    for (const [cell, from, to] of groups) {
      let width = 0;
      for (let column = from; column < to; column += 1) width += isHidden(column) ? 0 : 1;
      cell.hidden = width === 0;
      cell.colSpan = Math.max(1, width);
    }
  };
  const menu = element("details", "", { class: "columns" });
  const set = element("fieldset");
  set.append(element("legend", "Columns shown", { class: "unseen" }));
  headers.forEach((header, column) => {
    if (!("column" in header.dataset)) return;
    const label = element("label");
    const box = element("input", "", { type: "checkbox" });
    box.checked = !isHidden(column);
    box.addEventListener("change", () => {
      const names = hidden.get(anchor) ?? new Set();
      if (box.checked) names.delete(header.dataset.column);
      else names.add(header.dataset.column);
      hidden.set(anchor, names);
      writeAddress(hidden);
      show();
    });
    label.append(box, ` ${header.dataset.column}`);
    set.append(label);
  });
  menu.append(element("summary", "Columns"), set);
  toolsOf(table).append(menu);
  show();
}

function addComparison(table) {
  const data = table.closest("section").querySelector("script.pairs");
  if (!data) return;
  const { columns, rows, pairs } = JSON.parse(data.textContent);
  const place = element("div", "", { class: "comparison", role: "status" });
  table.closest(".scroll").after(place);
  const picked = [];
  const show = () => {
    const [upper, lower] = [...picked].sort((a, b) => a.value - b.value).map((box) => Number(box.value));
    place.replaceChildren(
      picked.length < 2 ? element("p", "Tick two methods to see their differences.") : comparison(upper, lower)
    );
  };
  const comparison = (upper, lower) => {
    const [a, b] = [rows[upper], rows[lower]];
    const made = element("table");
    made.append(element("caption", `${a.label} minus ${b.label}, paired by seed`));
    const head = made.createTHead().insertRow();
    for (const title of ["", a.label, b.label, "difference", "95 % interval", "pairs", "p, uncorrected"]) {
      head.append(title ? element("th", title, { scope: "col", class: "number" }) : element("td"));
    }
    const body = made.createTBody();
    columns.forEach((title, column) => {
      const [difference = "", interval = "", n = "0", p = ""] = pairs[`${upper}-${lower}`][column];
      const row = body.insertRow();
      row.append(element("th", title, { scope: "row" }));
      for (const text of [a.cells[column], b.cells[column], difference, interval, n, p]) {
        row.append(element("td", text, { class: "number" }));
      }
    });
    const name = `Comparison: ${table.closest("section").querySelector("h2").textContent}`;
    const scroll = element("div", "", { class: "scroll", role: "region", "aria-label": name, tabindex: "0" });
    scroll.append(made);
    return scroll;
  };
  for (const row of table.tBodies[0].querySelectorAll("tr[data-pick]")) {
    const name = row.querySelector(".name");
    const box = element("input", "", { type: "checkbox", value: row.dataset.pick, class: "pick" });
    box.setAttribute("aria-label", `Compare ${rows[Number(row.dataset.pick)].label}`);
    box.addEventListener("change", () => {
      if (box.checked) picked.push(box);
      else picked.splice(picked.indexOf(box), 1);
      // A third one takes the place of the first.
      if (picked.length > 2) picked.shift().checked = false;
      show();
    });
    name.prepend(box);
  }
  show();
}

for (const table of document.querySelectorAll("table.sortable")) {
  addSorting(table);
  addFilter(table);
}
for (const table of document.querySelectorAll("table.leaderboard")) {
  addColumnMenu(table);
  addComparison(table);
}
