/* What the interactive pages share, all of it in `window.made`. This script runs before theirs.

   Orders, degrees and masks have the names and the values of made/masks.py: degrees are one array per layer, inputs
   first, and a mask is mask[out][in]. Random numbers that a seed determines follow, and what a page needs to begin. */
"use strict";

{
  const range = (n) => Array.from({ length: n }, (_, k) => k);

  // ---- orders: order[t] is the variable of step t ------------------------------------------------------------------

  const naturalOrder = range;

  function randomOrder(nFeatures, random) {
    const order = range(nFeatures);
    for (let t = nFeatures - 1; t > 0; t--) {
      const s = Math.floor(random() * (t + 1));
      [order[s], order[t]] = [order[t], order[s]];
    }
    return order;
  }

  // ---- degrees -----------------------------------------------------------------------------------------------------

  /** Number the variables by the step at which each one is generated: degrees[order[t]] = t + 1. */
  function degreesFromOrder(order) {
    const degrees = range(order.length);
    order.forEach((variable, t) => {
      degrees[variable] = t + 1;
    });
    return degrees;
  }

  /** Cut the D variables into equal groups, one more than the narrowest layer has units; each cut is a degree. */
  function evenDegrees(nFeatures, hidden) {
    const lowest = nFeatures === 1 ? 0 : 1; // a single variable has nothing to see: degree 0, a constant
    const distinct = Math.min(nFeatures - lowest, ...hidden);
    const cut = (c) => Math.floor(((c + lowest) * nFeatures) / (distinct + lowest));
    return hidden.map((width) => range(width).map((k) => cut(Math.floor((k * distinct) / width))));
  }

  /** Draw degrees uniformly from the smallest degree of the layer just before to D - 1. */
  function randomDegrees(nFeatures, hidden, random) {
    let low = Math.min(1, nFeatures - 1);
    return hidden.map((width) => {
      const layer = range(width).map(() => low + Math.floor(random() * (nFeatures - low)));
      low = Math.min(...layer);
      return layer;
    });
  }

  // ---- masks -------------------------------------------------------------------------------------------------------

  const KEEPS = { ">=": (out, inp) => out >= inp, ">": (out, inp) => out > inp };
  const mask = (outs, inputs, rule) => outs.map((out) => inputs.map((inp) => KEEPS[rule](out, inp)));

  /** One mask per layer. Hidden: degree(out) >= degree(in). Output: >, or the mistake >=. */
  function buildMasks(degrees, rule = ">") {
    const masks = degrees.slice(1).map((layer, l) => mask(layer, degrees[l], ">="));
    return [...masks, mask(degrees[0], degrees.at(-1), rule)];
  }

  /** Mask of a direct connection from inputs to outputs: the output rule, applied to the inputs. */
  function directMask(degrees, rule = ">") {
    return mask(degrees[0], degrees[0], rule);
  }

  /** For every layer, [unit][input]: true where a path leads from the input to the unit. A product of masks. */
  function views(masks) {
    const inputs = range(masks[0][0].length);
    const seen = [inputs.map((i) => inputs.map((j) => i === j))];
    for (const kept of masks) {
      const below = seen.at(-1);
      seen.push(kept.map((row) => inputs.map((j) => row.some((edge, k) => edge && below[k][j]))));
    }
    return seen;
  }

  /** [i][j] is true if output i can see input j through the layers. */
  function reachable(degrees, rule = ">") {
    return views(buildMasks(degrees, rule)).at(-1);
  }

  /** Fraction of the D(D-1)/2 allowed dependencies that have a path, 1 when there is nothing to reach. */
  function coverage(degrees, direct = false) {
    const D = degrees[0].length;
    const reach = direct ? directMask(degrees) : reachable(degrees); // a direct connection reaches all of them
    return D === 1 ? 1 : reach.flat().filter(Boolean).length / ((D * (D - 1)) / 2);
  }

  // ---- random numbers ----------------------------------------------------------------------------------------------

  /** A small random generator (mulberry32): a function that returns numbers strictly between 0 and 1. */
  function generator(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let z = Math.imul(state ^ (state >>> 15), state | 1);
      z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
      return (((z ^ (z >>> 14)) >>> 0) + 0.5) / 2 ** 32;
    };
  }

  // ---- pages -------------------------------------------------------------------------------------------------------

  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  /** Hand the paragraph of each linked picture `name`.png, which holds nothing else, to `mount`. */
  function replacePicture(name, mount) {
    const picture = new RegExp(`/${name}\\d*\\.png$`);
    for (const image of document.querySelectorAll("p > a img")) {
      if (picture.test(image.getAttribute("src"))) mount(image.closest("p"));
    }
  }

  /** Whether a linked picture stands on the very page that it leads to: there, the address belongs to what replaces it. */
  const isPageOf = (paragraph) => paragraph.querySelector("a")?.pathname === location.pathname;

  /** What is called before the reader changes a state, or goes back to another. */
  const listeners = [];
  const onChange = (listener) => listeners.push(listener);
  const tell = () => listeners.forEach((listener) => listener());

  /** An action that waits a moment: ask for it, do it at once if it was asked for, or forget it. */
  function later(action, milliseconds) {
    let timer = null;
    const forget = () => {
      clearTimeout(timer);
      timer = null;
    };
    const now = () => {
      if (timer !== null) action();
      forget();
    };
    const ask = () => {
      forget();
      timer = setTimeout(now, milliseconds);
    };
    return { ask, now, forget };
  }

  const found = history.state?.place ?? 0; // of this load: a script of Sphinx's that runs after this one overwrites it
  const address = () => (location.hash.includes("=") ? location.hash.slice(1) : ""); // an anchor is no state

  /** A trail of states that the reader can go back to. Each is an entry of the browser's history, and its address says
      it whole: `write()` is the text behind the #, `restore(text, isLink)` shows it. So Back is undo, and a link a state.
      `follow()`: the state has changed by itself, or by little, and the newest entry follows it. `step(action)`: the
      reader does something, and what was before stays an entry of its own. */
  function trail({ write, restore }) {
    let [here, furthest] = [found, found];
    history.replaceState({ place: here }, "");
    let shown = null; // the state that the reader found: it needs no address
    const written = later(() => {
      if (address() || write() !== shown) history.replaceState({ place: here }, "", `#${write()}`);
    }, 300);
    addEventListener("popstate", ({ state }) => {
      written.forget();
      tell();
      here = state?.place ?? here + 1; // a link within the page is a step, too, and an anchor keeps what is shown
      furthest = state ? Math.max(furthest, here) : here;
      if (!state) history.replaceState({ place: here, text: write() }, "");
      if (state || address()) restore(address() || (state.text ?? ""), !state);
    });
    const go = (by) => {
      if (here + by < 0 || here + by > furthest) return;
      written.now();
      here += by; // at once: a second undo may come before the browser is there
      history.go(by);
    };
    return {
      address,
      begin: () => (shown = write()),
      follow: written.ask,
      step(action) {
        tell();
        written.now();
        action();
        written.forget();
        shown = null;
        furthest = here += 1;
        history.pushState({ place: here }, "", `#${write()}`);
      },
      undo: () => go(-1),
      redo: () => go(1),
      canUndo: () => here > 0,
      canRedo: () => here < furthest,
    };
  }

  /** Ctrl+Z and Ctrl+Shift+Z, but not while the reader is typing. */
  function listenToUndo({ undo, redo }) {
    document.addEventListener("keydown", (event) => {
      const isTyping = event.target.matches("input:not([type=range], [type=radio], [type=checkbox])");
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || isTyping) return;
      event.preventDefault();
      if (event.shiftKey) redo();
      else undo();
    });
  }

  window.made = {
    range,
    naturalOrder,
    randomOrder,
    degreesFromOrder,
    evenDegrees,
    randomDegrees,
    buildMasks,
    directMask,
    views,
    reachable,
    coverage,
    generator,
    calm,
    trail,
    onChange,
    listenToUndo,
    isPageOf,
    replacePicture,
  };
}
