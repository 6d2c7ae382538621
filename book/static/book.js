// A table or a formula that is wider than the screen scrolls in its own box. It can be scrolled with the keyboard, too.
(() => {
  "use strict";
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  document.addEventListener("DOMContentLoaded", () => {
    for (const box of document.querySelectorAll(".bd-article table, .bd-article div.math")) sizes.observe(box);
  });
})();

// On a narrow screen a Markdown table that does not fit becomes a list: its rows one below the other, every cell with the
// title of its column.
(() => {
  "use strict";
  const narrow = matchMedia("(max-width: 600px)");
  function stack() {
    for (const table of document.querySelectorAll(".bd-article table:not(.results)")) {
      table.classList.remove("stacked");
      table.classList.toggle("stacked", narrow.matches && table.scrollWidth > table.clientWidth);
    }
  }
  document.addEventListener("DOMContentLoaded", () => {
    for (const table of document.querySelectorAll(".bd-article table:not(.results)")) {
      const titles = [...table.querySelectorAll("thead th")].map((title) => title.textContent.trim());
      for (const row of table.querySelectorAll("tbody tr")) {
        [...row.cells].forEach((cell, k) => {
          if (cell.textContent.trim()) cell.dataset.title = titles[k] ?? "";
        });
      }
    }
    stack();
    narrow.addEventListener("change", stack);
  });
})();
