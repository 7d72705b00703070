// Click on a heading, or Enter on it, sorts its table by that column; empty fields stay last either way.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const key = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
  heads.forEach((head, column) => {
    if (!head.hasAttribute("aria-sort")) head.setAttribute("aria-sort", "none");
    head.tabIndex = 0;
    const sort = () => {
      const before = head.getAttribute("aria-sort");
      const first = head.dataset.first ?? "ascending";
      const now = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
      const sign = now === "ascending" ? 1 : -1;
      const rows = [...body.rows];
      const numeric = rows.every((row) => !isNaN(key(row, column)));
      rows.sort((a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        if (x === "" || y === "") return (x === "") - (y === "");
        return sign * (numeric ? x - y : x.localeCompare(y));
      });
      body.append(...rows);
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", now);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(); }
    });
  });
}
