/* Images of 28 x 28 cells on a canvas, and new elements, all of it in `made.paper`. Colours are those of book.css and
   follow the theme. */
"use strict";

{
  const SIDE = 28;
  const D = SIDE * SIDE;
  const CELL = 20; // dots of a canvas per pixel of the image

  // ---- words -------------------------------------------------------------------------------------------------------

  const short = (value) => value.toFixed(1).replace("-", "\u2212");
  const nats = (value) => `${short(value)} nats`;
  const place = (i) => `row ${Math.floor(i / SIDE) + 1}, column ${(i % SIDE) + 1}`;

  // ---- colours and cells -------------------------------------------------------------------------------------------

  /** Red, green and blue of the names in book.css. */
  function coloursOf(widget) {
    const style = getComputedStyle(widget);
    const colours = {};
    for (const name of ["blue", "orange", "purple", "ink", "paper", "panel", "line"]) {
      const hex = style.getPropertyValue(`--made-${name}`).trim();
      colours[name] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    }
    return colours;
  }

  const mix = (a, b, share) => `rgb(${a.map((v, k) => Math.round(v + (b[k] - v) * share)).join(" ")})`;
  const solid = (colour) => `rgb(${colour.join(" ")})`;

  const looks = new WeakMap(); // how the cells of a canvas look

  /** Paint the cells that look otherwise than before: look(i) is a colour or, with a dot in the middle, "colour/dot". */
  function eachCell(canvas, look, size = CELL) {
    const pen = canvas.getContext("2d");
    if (!looks.has(canvas)) looks.set(canvas, []);
    const before = looks.get(canvas);
    for (let i = 0; i < D; i++) {
      const now = look(i);
      if (now === before[i]) continue;
      before[i] = now;
      paintCell(pen, i, size, ...now.split("/"));
    }
    return pen;
  }

  function paintCell(pen, i, size, fill, dot) {
    const [x, y] = [(i % SIDE) * size, Math.floor(i / SIDE) * size];
    pen.fillStyle = fill;
    pen.fillRect(x, y, size, size);
    if (!dot) return;
    pen.fillStyle = dot;
    pen.fillRect(x + size / 2 - 1.5, y + size / 2 - 1.5, 3, 3);
  }

  /** A frame inside a cell, until the cells are painted again. */
  function outline(pen, i, colour, width = 3) {
    looks.get(pen.canvas)[i] = null;
    const inset = width / 2;
    pen.strokeStyle = solid(colour);
    pen.lineWidth = width;
    pen.strokeRect((i % SIDE) * CELL + inset, Math.floor(i / SIDE) * CELL + inset, CELL - width, CELL - width);
  }
  /** The cell under the pointer, or null beside the picture. */
  function cellAt(picture, event) {
    const box = picture.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * SIDE);
    const column = Math.floor(((event.clientX - box.left) / box.width) * SIDE);
    const isOn = row >= 0 && row < SIDE && column >= 0 && column < SIDE;
    return isOn ? row * SIDE + column : null;
  }

  /** Paint with the colours of the theme, now and whenever it changes. */
  function inColours(widget, paint) {
    const repaint = () => paint(coloursOf(widget));
    new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    repaint();
  }

  /** Do something once, as soon as an element is in view. */
  function whenSeen(node, action) {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      observer.disconnect();
      action();
    });
    observer.observe(node);
  }

  // ---- elements ----------------------------------------------------------------------------------------------------

  /** A new element: element("button", { type: "button", onclick }, "text", child, ...). */
  function element(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in node) node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  /** Set a property. What has not changed is left alone: it may be read aloud, or the reader may be typing there. */
  function put(node, property, value) {
    if (node[property] !== String(value)) node[property] = value;
  }

  const button = (text, onclick, more = {}, ...children) =>
    element("button", { type: "button", onclick, ...more }, text, ...children);
  const slider = (min, max, step, oninput) =>
    element("input", { type: "range", min, max, step, oninput: ({ target }) => oninput(target.valueAsNumber) });
  const canvas = (width, height, label) => element("canvas", { width, height, role: "img", "aria-label": label });
  const readout = () => element("b", { className: "value" });
  const group = (label, ...children) =>
    element("div", { className: "group", role: "group", "aria-label": label }, ...children);
  const field = (text, value, control) =>
    element("label", { className: "field" }, element("span", {}, text, " ", value), control);
  const figure = (picture, ...caption) =>
    element("div", {}, picture, element("div", { className: "caption" }, ...caption));
  const legend = (className, from, to) => element("span", { className }, from, element("i"), to);
  made.paper = {
    SIDE,
    D,
    CELL,
    short,
    nats,
    place,
    mix,
    solid,
    eachCell,
    outline,
    cellAt,
    inColours,
    whenSeen,
    put,
    element,
    button,
    slider,
    canvas,
    readout,
    group,
    field,
    figure,
    legend,
  };
}
