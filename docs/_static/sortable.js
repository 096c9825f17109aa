// A click on the head of a column sorts a table of eight rows or more by that column; a second click reverses it.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table")) {
    const body = table.tBodies[0];
    if (!body || !table.tHead || body.rows.length < 8) continue;
    for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
      const sort = () => {
        const sign = head.ariaSort === "ascending" ? -1 : 1;
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
        const text = (row) => row.cells[column].innerText.trim();
        const rows = [...body.rows].sort(
          (a, b) => sign * text(a).localeCompare(text(b), "en", { numeric: true, sensitivity: "base" }));
        body.append(...rows);
      };
      head.tabIndex = 0;
      head.title = "sort by this column";
      head.classList.add("sortable");
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
    }
  }
});
