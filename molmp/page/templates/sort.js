function makeSortable(table) {
  table.querySelectorAll("th").forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const compare = (a, b) => {
        const x = key(a), y = key(b), m = parseFloat(x.replaceAll(",", "")), n = parseFloat(y.replaceAll(",", ""));
        if (isNaN(m) || isNaN(n)) return isNaN(m) === isNaN(n) ? x.localeCompare(y) : isNaN(m) ? 1 : -1;
        return m - n;
      };
      const rows = [...table.tBodies[0].rows].sort((a, b) => up ? compare(a, b) : compare(b, a));
      table.tBodies[0].append(...rows);
    });
  });
}
for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
