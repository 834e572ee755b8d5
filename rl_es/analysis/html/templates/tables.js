// Tables: sorted by a click or a key on a head, searched by a text box.
(() => {
  "use strict";
  const compare = new Intl.Collator("en", { numeric: true }).compare;

  function key(row, column) {
    const cell = row.cells[column];
    if (!("key" in cell.dataset)) return cell.textContent.trim();
    return cell.dataset.key === "" ? null : Number(cell.dataset.key);
  }

  // What is not known stays last in both directions.
  function order(a, b, sign) {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : compare(a, b));
  }

  function sort(table, column) {
    const head = table.tHead.rows[0].cells[column];
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => order(key(a, column), key(b, column), up ? 1 : -1));
    table.tBodies[0].append(...rows);
    table.classList.toggle("mixed", column !== 0);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    if (table.tBodies[0].rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, column));
      head.append(button);
    });
  }

  for (const box of document.querySelectorAll("input[data-table]")) {
    const rows = [...document.getElementById(box.dataset.table).tBodies[0].rows];
    const output = box.closest(".find").querySelector("output");
    box.addEventListener("input", () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        count += !row.hidden;
      }
      output.textContent = words.length ? `${count} of ${rows.length} rows` : "";
    });
  }
})();
