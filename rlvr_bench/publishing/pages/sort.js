// Tables that sort by a click or a key on a column's head. Without it they stand in their default order.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.textContent = "";
    head.append(button);
    button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") !== "descending" && head.dataset.sort === "number"
        || head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const key = (row) => {
        const cell = row.cells[column];
        return head.dataset.sort === "number" ? (cell.dataset.value === "" ? NaN : Number(cell.dataset.value)) : cell.textContent.trim();
      };
      const rows = [...table.tBodies[0].rows].map((row, place) => ({ row, place, value: key(row) }));
      rows.sort((a, b) => {
        if (head.dataset.sort === "number") {
          if (Number.isNaN(a.value) || Number.isNaN(b.value)) return Number.isNaN(a.value) - Number.isNaN(b.value) || a.place - b.place;
          return (falling ? b.value - a.value : a.value - b.value) || a.place - b.place;
        }
        return (falling ? -1 : 1) * a.value.localeCompare(b.value) || a.place - b.place;
      });
      table.tBodies[0].append(...rows.map((entry) => entry.row));
    });
  });
}
