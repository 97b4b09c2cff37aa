// Sort a table by the head that was clicked; empty cells stay last. The page is whole without it.
for (const table of document.querySelectorAll("table.results")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, index) => head.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[index].dataset.value;
    const compare = (a, b) => (isNaN(a) || isNaN(b) ? a.localeCompare(b) : parseFloat(a) - parseFloat(b));
    const number = (text) => (text === "inf" ? "Infinity" : text);
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [number(value(a)), number(value(b))];
      return x === "" || y === "" ? (x === "") - (y === "") : (up ? 1 : -1) * compare(x, y);
    });
    table.tBodies[0].append(...rows);
  }));
}
