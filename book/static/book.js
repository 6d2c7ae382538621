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
