// Start reveal.js once the formulas are typeset, and let every slide fit when it is shown.
"use strict";

const SMALLEST = 0.6;
const STEP = 0.04;

// Boxes of text and formulas are asked for, since MathJax draws beyond the boxes that scrollWidth counts.
const BOXES = "p, li, pre, table, img, mjx-container, mjx-math";

function overflows(content) {
  const room = content.getBoundingClientRect();
  const beyond = (box) => box.right > room.right + 1 || box.bottom > room.bottom + 1 || box.left < room.left - 1;
  return [...content.querySelectorAll(BOXES)].some((element) => beyond(element.getBoundingClientRect()));
}

function fit(slide) {
  const content = slide?.querySelector(".content");
  if (!content || content.dataset.fits) return;
  let size = 1;
  while (overflows(content) && size > SMALLEST) {
    size -= STEP;
    content.style.setProperty("--size", `${size}em`);
  }
  content.dataset.fits = size.toFixed(2);
}

function start() {
  const options = {
    width: 1280,
    height: 720,
    margin: 0,
    center: false,
    hash: true,
    slideNumber: "c/t",
    transition: "none",
    pdfMaxPagesPerSlide: 1,
    plugins: [window.RevealNotes, window.RevealZoom],
  };
  document.querySelectorAll("mjx-container[tabindex]").forEach((formula) => formula.removeAttribute("tabindex"));
  window.Reveal.on("slidechanged", (event) => fit(event.currentSlide));
  window.Reveal.on("pdf-ready", () => document.querySelectorAll("section.slide").forEach(fit));
  return window.Reveal.initialize(options).then(() => fit(window.Reveal.getCurrentSlide()));
}

window.MathJax = {
  chtml: { matchFontHeight: false },
  options: { skipHtmlTags: ["script", "style", "pre", "code", "aside"] },
};
window.addEventListener("load", async () => {
  await window.MathJax.startup.promise;
  await window.MathJax.typesetPromise(); // what the promise left for later
  await start();
});
