/* Live MADE: the shipped networks draw digits inside the page, pixel by pixel.

   First the lesson: masks, one image drawn with one pass of work, and the networks' weights. Then the page: it replaces
   the picture live_made.png, where there is one, by something to play with. */
(() => {
  "use strict";

  // ---- masks: who may see whom -------------------------------------------------------------------------------------
  // A hidden unit uses units of a degree that is at most its own. An output uses only what has a smaller degree.

  /** Input degrees: the variable that is generated first has degree 1. */
  function degreesFromOrder(order) {
    const degrees = new Int32Array(order.length);
    order.forEach((variable, t) => { degrees[variable] = t + 1; });
    return degrees;
  }

  /** Hidden degrees spread evenly over 1..D-1, one array per layer. */
  function evenDegrees(nFeatures, hidden) {
    const lowest = nFeatures === 1 ? 0 : 1;
    const distinct = Math.min(nFeatures - lowest, ...hidden);
    const cut = (c) => Math.floor(((c + lowest) * nFeatures) / (distinct + lowest));
    return hidden.map((width) => Int32Array.from({ length: width }, (_, k) => cut(Math.floor((k * distinct) / width))));
  }

  // ---- one image, each unit computed once --------------------------------------------------------------------------

  /** A walk through the variables in their order, before its first step. */
  function begin(network, order) {
    const sums = network.biases.map((bias) => Float64Array.from(bias));
    return {
      network,
      order,
      degrees: [degreesFromOrder(order), ...evenDegrees(network.features, network.hidden)],
      t: 0, // how many variables are known
      x: new Uint8Array(network.features),
      units: network.hidden.map((width) => new Float64Array(width)),
      sums, // what every unit has received so far, layer by layer; the last layer are the outputs
      logits: sums[sums.length - 1],
    };
  }

  /** A unit sends its value to all units of the next layer that may hear it: those of at least the given degree. */
  function send(weights, unit, value, sums, degrees, least) {
    const column = unit * sums.length;
    for (let k = 0; k < sums.length; k++) {
      if (degrees[k] >= least) sums[k] += weights[column + k] * value;
    }
  }

  /** The next variable in the order takes this value. Afterwards the logit of the one that follows is complete. */
  function advance(walk, value) {
    const { network, degrees, sums, units, logits } = walk;
    const variable = walk.order[walk.t];
    const degree = walk.t + 1;
    const last = units.length - 1;
    walk.x[variable] = value;
    if (value === 1) { // a 0 sends nothing
      send(network.weights[0], variable, 1, sums[0], degrees[1], degree);
      send(network.direct, variable, 1, logits, degrees[0], degree + 1); // outputs: strictly later ones
    }
    // Hidden units of this degree have now received all they ever will: compute each once, and send it on.
    for (let l = 0; l <= last; l++) {
      for (let k = 0; k < units[l].length; k++) {
        if (degrees[l + 1][k] !== degree) continue;
        let h = Math.max(0, sums[l][k]);
        if (network.residual && l > 0) h += units[l - 1][k];
        units[l][k] = h;
        if (l < last) send(network.weights[l + 1], k, h, sums[l + 1], degrees[l + 2], degree);
        else send(network.weights[l + 1], k, h, logits, degrees[0], degree + 1);
      }
    }
    walk.t += 1;
  }

  const sigmoid = (a) => 1 / (1 + Math.exp(-a));
  /** log p(x) of one value, from the logit: log sigmoid(a) for a 1, log sigmoid(-a) for a 0. */
  function logBernoulli(logit, value) {
    const a = value === 1 ? logit : -logit;
    return Math.min(a, 0) - Math.log1p(Math.exp(-Math.abs(a)));
  }

  /** Draw the next variable: 1 if its uniform number is below the probability. A given value is taken as it is. */
  function drawNext(walk, uniforms, given = null, temperature = 1) {
    const variable = walk.order[walk.t];
    const logit = walk.logits[variable];
    const p = sigmoid(logit / temperature);
    const known = given !== null && given[variable] >= 0;
    const value = known ? given[variable] : Number(uniforms[variable] < p);
    advance(walk, value);
    return { variable, value, known, p, logit, logProb: logBernoulli(logit, value) };
  }

  /** A whole image. `given` holds 0, 1, or -1 where a value is to be drawn; the given ones come first in the order. */
  function sample(network, { order = naturalOrder(network.features), uniforms, given = null, temperature = 1 }) {
    const walk = begin(network, order);
    while (walk.t < order.length) drawNext(walk, uniforms, given, temperature);
    return walk.x;
  }

  /** The logits of all conditionals of x, by the same walk. Each is read when its turn comes. */
  function logits(network, x, order = naturalOrder(network.features)) {
    const walk = begin(network, order);
    for (const variable of order) advance(walk, x[variable]);
    return walk.logits; // later variables send nothing to earlier ones, so none has changed since
  }

  /** log p(x) in nats: the chain rule. */
  function logProb(network, x, order = naturalOrder(network.features)) {
    return logits(network, x, order).reduce((sum, logit, i) => sum + logBernoulli(logit, x[i]), 0);
  }

  // ---- orders and random numbers -----------------------------------------------------------------------------------

  const naturalOrder = (n) => Int32Array.from({ length: n }, (_, i) => i);

  /** A small random generator (mulberry32): a function that returns numbers strictly between 0 and 1. */
  function generator(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let z = Math.imul(state ^ (state >>> 15), state | 1);
      z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
      return (((z ^ (z >>> 14)) >>> 0) + 0.5) / 4294967296;
    };
  }

  const uniformNumbers = (n, random) => Float64Array.from({ length: n }, random);

  function randomOrder(n, random) {
    const order = naturalOrder(n);
    for (let i = n - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  /** The same order, but what is given comes first. */
  function knownFirst(order, given) {
    return Int32Array.from([...order.filter((i) => given[i] >= 0), ...order.filter((i) => given[i] < 0)]);
  }

  // ---- the networks: scripts with base64 text, written by book/live_weights.py -------------------------------------

  const FOLDER = new URL("live_weights/", document.currentScript.src);
  const SIZES = { natural: "1.9 MB", any_order: "4.1 MB" };
  const arriving = {}; // a promise per network
  const arrived = {};

  /** Load a network, once. A script is the one kind of file that a page opened from disk may load. */
  function load(name) {
    arriving[name] ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL(`${name}.js`, FOLDER);
      script.onload = () => resolve(arrived[name]);
      script.onerror = () => { delete arriving[name]; reject(new Error(`The file ${name}.js could not be loaded.`)); };
      document.head.append(script);
    });
    return arriving[name];
  }

  /** The value of a 16-bit floating-point number: sign, 5 bits of exponent, 10 bits of fraction. */
  function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = (bits & 1023) / 1024;
    return sign * (exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15));
  }

  /** Called by a weights file. The file holds only weights that some mask keeps, column by column, then the biases. */
  function receive(name, file) {
    const { features, hidden, anyOrder } = file;
    const value = Float32Array.from({ length: 65536 }, (_, bits) => half(bits));
    const bytes = atob(file.weights);
    let at = 0;
    const next = () => value[bytes.charCodeAt(at++) | (bytes.charCodeAt(at++) << 8)];
    const matrix = (before, after, strict, always) => { // masks as everywhere: degree(out) >= or > degree(in)
      const weights = new Float32Array(before.length * after.length);
      for (let j = 0; j < before.length; j++) {
        for (let k = 0; k < after.length; k++) {
          const kept = always || (strict ? after[k] > before[j] : after[k] >= before[j]);
          if (kept) weights[j * after.length + k] = next();
        }
      }
      return weights;
    };
    const inputs = degreesFromOrder(naturalOrder(features));
    const layers = [inputs, ...evenDegrees(features, hidden)];
    const weights = hidden.map((_, l) => matrix(layers[l], layers[l + 1], false, anyOrder && l === 0));
    weights.push(matrix(layers[hidden.length], inputs, true, anyOrder));
    const direct = matrix(inputs, inputs, true, anyOrder);
    const biases = [...hidden, features].map((n) => Float32Array.from({ length: n }, next));
    if (at !== bytes.length) throw new Error(`${name}: ${bytes.length} bytes of weights, expected ${at}`);
    const starters = file.starters.map((text) => Int8Array.from(text, Number));
    arrived[name] = { ...file, weights, direct, biases, starters };
  }

  window.liveMade = {
    load, receive, begin, advance, sample, logits, logProb, degreesFromOrder, evenDegrees, naturalOrder, knownFirst,
    generator, uniformNumbers, randomOrder,
  };

  // ---- the page ----------------------------------------------------------------------------------------------------

  const SIDE = 28, D = SIDE * SIDE, CELL = 20; // CELL: screen dots per pixel
  const MODES = {
    rows: { label: "row by row", network: "natural", random: false },
    random: { label: "random, any-order network", network: "any_order", random: true },
    anyRows: { label: "row by row, any-order network", network: "any_order", random: false },
  };
  const TALLEST = 5; // nats, the height of the strip of surprises
  const AT_ONCE = 100; // the right end of the speed slider
  const pixelsPerSecond = (speed) => (speed >= AT_ONCE ? 1e9 : 2 * 1000 ** (speed / AT_ONCE));
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const short = (value) => value.toFixed(1).replace("-", "\u2212");
  const nats = (value) => `${short(value)} nats`;
  const place = (i) => `row ${Math.floor(i / SIDE) + 1}, column ${(i % SIDE) + 1}`;

  /** A new element: element("button", { type: "button", onclick }, "text", child, ...). */
  function element(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in node && name !== "list") node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  function mount(picture) {
    // -- state: what is given, the walk so far, and the settings
    const given = new Int8Array(D).fill(-1); // 0 or 1 where the reader decides, -1 where the network does
    let walk = null; // null until a network has been loaded
    let steps = []; // what drawNext said at each step
    let mode = "rows", temperature = 1, tool = "ink";
    let seed = 13, nextSeed = seed; // 13 begins with a good one
    let uniforms, baseOrder;
    let playing = false, owed = 0, before = 0; // pixels owed to the reader, time of the last frame
    let cursor = 14 * SIDE + 14;
    let stroke = null; // the cell under the pointer while it is pressed

    const knownCount = () => given.reduce((n, value) => n + (value >= 0), 0);
    const finished = () => walk !== null && walk.t === D;
    const anyOrder = () => MODES[mode].network === "any_order";

    // -- controls
    const button = (text, onclick, more = {}) => element("button", { type: "button", onclick, ...more }, text);
    const slider = (min, max, step, value, oninput) =>
      element("input", { type: "range", min, max, step, value, oninput });
    const canvas = (width, height, label) => element("canvas", { width, height, role: "img", "aria-label": label });

    const drawButton = button("Draw a digit", () => draw(true), { className: "primary" });
    const completeButton = button("Complete", () => draw(false), { title: "keep what is given, draw the rest" });
    const playButton = button("Play", () => (playing ? pause() : play()));
    const stepButton = button("Step", () => withNetwork(() => { pause(); goTo(walk.t + 1); }));
    const again = () => withNetwork(() => { goTo(0); play(); });
    const againButton = button("Again", again, { title: "the same seed once more" });

    const paper = element("canvas", {
      width: SIDE * CELL, height: SIDE * CELL, tabIndex: 0, role: "application", className: "paper",
      "aria-label": "The drawing, 28 by 28 pixels. Arrow keys move the cursor, space uses the chosen tool.",
    });
    const heat = canvas(SIDE * CELL, SIDE * CELL, "Heat map: how probable ink is at each pixel");
    const orderMap = canvas(SIDE * 4, SIDE * 4, "Which pixels come early and which late");
    const strip = canvas(D * 2, 112, "The surprise of each pixel, in the order of drawing");

    const timeline = slider(0, D, 1, 0, () => { pause(); withNetwork(() => goTo(timeline.valueAsNumber)); });
    const timeText = element("b", { className: "value" });
    const coinFill = element("i"), coinMark = element("b");
    const coinText = element("span");
    const total = element("strong"), parts = element("span");
    const status = element("p", { className: "status", role: "status" });
    const whereabouts = element("p", { className: "unseen", "aria-live": "polite" });

    const tools = ["ink", "no ink", "erase"].map((name) => element("label", {},
      element("input", { type: "radio", name: "live-made-tool", value: name, checked: name === tool,
        onchange: () => { tool = name; } }), element("span", {}, name)));
    const clearButton = button("Clear", () => { given.fill(-1); restart(); say("The paper is empty."); });
    const rows = slider(0, SIDE, 1, 0, () => keepRows(rows.valueAsNumber));
    const rowsText = element("b", { className: "value" });
    const rowsControl = element("label", { className: "field" }, element("span", {}, "Rows given ", rowsText), rows);
    const scattered = uniformNumbers(D, generator(0));
    const hide = (text, hidden) => button(text, () => eraseWhere(hidden));
    const hideControls = element("div", { className: "group", role: "group", "aria-label": "Erase a part" },
      element("span", {}, "Erase"),
      hide("left half", (i) => i % SIDE < SIDE / 2),
      hide("upper half", (i) => i < D / 2),
      hide("middle", (i) => [Math.floor(i / SIDE), i % SIDE].every((v) => v >= 8 && v < 20)),
      hide("nine in ten", (i) => scattered[i] < 0.9));
    const starters = element("div",
      { className: "group starters", role: "group", "aria-label": "Start from a drawing of the network" });

    const orderSelect = element("select", { onchange: () => changeMode(orderSelect.value) },
      ...Object.entries(MODES).map(([value, { label }]) => element("option", { value }, label)));
    const speed = slider(0, AT_ONCE, 1, 70, () => showSettings());
    const speedText = element("b", { className: "value" });
    const warmth = slider(0.5, 1.5, 0.05, 1, () => { temperature = warmth.valueAsNumber; showSettings(); replay(); });
    const warmthText = element("b", { className: "value" });
    const seedInput = element("input", { type: "number", min: 0, max: 999999, step: 1, inputMode: "numeric",
      onchange: () => {
        seed = Math.max(0, Math.floor(seedInput.valueAsNumber || 0));
        newNumbers();
        again();
      } });

    const field = (text, value, control) =>
      element("label", { className: "field" }, element("span", {}, text, " ", value), control);
    const view = (picture, ...caption) =>
      element("div", {}, picture, element("div", { className: "caption" }, ...caption));
    const widget = element("section", { className: "live-made", "aria-label": "Live MADE" },
      element("div", { className: "bar" }, drawButton, completeButton,
        element("div", { className: "group", role: "group", "aria-label": "Playback" },
          playButton, stepButton, againButton)),
      status, whereabouts,
      element("div", { className: "views" },
        view(paper,
          element("div", { className: "group", role: "radiogroup", "aria-label": "Tool" }, ...tools, clearButton)),
        view(heat, "probability of ink, given what came before: ",
          element("span", { className: "legend" }, "0", element("i"), "1"))),
      element("div", { className: "coin" }, coinText,
        element("div", { className: "track", "aria-hidden": "true" }, coinFill, coinMark)),
      element("p", {}, total, " ", parts),
      strip,
      element("p", { className: "note" },
        `Surprise of each pixel, \u2212log p, up to ${TALLEST} nats. All bars together make \u2212log p(x).`),
      field("Pixel", timeText, timeline),
      element("div", { className: "settings" },
        view(orderMap, element("span", { className: "legend order" }, "first", element("i"), "last")),
        element("div", {}, field("Order", "", orderSelect), field("Seed", "", seedInput)),
        element("div", {}, field("Speed", speedText, speed), field("Temperature", warmthText, warmth))),
      element("div", { className: "hand" }, rowsControl, hideControls, starters));

    // -- the network
    const say = (text) => { if (status.textContent !== text) status.textContent = text; }; // a change is read aloud

    /** Do something as soon as the network of the current mode is there. */
    async function withNetwork(action) {
      const { network: name } = MODES[mode];
      if (walk === null || walk.network !== arrived[name]) {
        if (!arrived[name]) say(`Loading the network (${SIZES[name]}) \u2026`);
        widget.classList.add("loading");
        try {
          await load(name);
        } catch (error) {
          say(error.message);
          return;
        } finally {
          widget.classList.remove("loading");
        }
        if (name !== MODES[mode].network) return; // the reader has changed the mode meanwhile
        say("");
        showStarters();
        restart();
      }
      action();
    }

    /** New random numbers for the seed: one per pixel, and a random order. */
    function newNumbers() {
      const random = generator(seed);
      uniforms = uniformNumbers(D, random);
      baseOrder = MODES[mode].random ? randomOrder(D, random) : naturalOrder(D);
      seedInput.value = seed;
      restart();
    }

    /** Start the walk again; what is given is in place at once. */
    function restart() {
      const { network: name } = MODES[mode];
      steps = [];
      walk = arrived[name] ? begin(arrived[name], knownFirst(baseOrder, given)) : null;
      if (walk) goTo(0);
      else render();
    }

    /** Show the drawing after t pixels. The walk goes forward only: to go back, begin again. */
    function goTo(t) {
      if (t < walk.t) {
        walk = begin(walk.network, walk.order);
        steps = [];
      }
      const stop = Math.min(D, Math.max(t, knownCount()));
      while (walk.t < stop) steps.push(drawNext(walk, uniforms, given, temperature));
      if (walk.t > knownCount()) nextSeed = seed + 1;
      if (finished()) pause();
      render();
    }

    /** The same moment with another temperature. */
    function replay() {
      if (!walk) return;
      const t = walk.t;
      walk = begin(walk.network, walk.order);
      steps = [];
      goTo(t);
    }

    function draw(fresh) {
      if (fresh) given.fill(-1);
      withNetwork(() => {
        if (knownCount() === D) return say("Nothing is missing. Erase something first.");
        seed = nextSeed;
        newNumbers();
        play();
      });
    }

    function changeMode(next) {
      const some = walk !== null && walk.t > 0 && knownCount() === 0;
      mode = next;
      if (!anyOrder()) { // this network can be given the first pixels only
        const gap = given.indexOf(-1);
        if (gap >= 0) given.fill(-1, gap);
      }
      newNumbers();
      showSettings();
      withNetwork(() => { if (some) play(); });
    }

    // -- playing
    function play() {
      if (!walk) return withNetwork(play);
      if (finished()) goTo(0);
      if (finished()) return say("Nothing is missing. Erase something first.");
      if (still.matches || speed.valueAsNumber >= AT_ONCE) {
        goTo(D);
        return sayResult();
      }
      say("Drawing \u2026");
      playing = true;
      owed = 1;
      before = performance.now();
      requestAnimationFrame(tick);
      render();
    }

    function pause() {
      if (playing) say("Paused.");
      playing = false;
      playButton.textContent = "Play";
    }

    function tick(now) {
      if (!playing) return;
      owed += Math.max(0, now - before) / 1000 * pixelsPerSecond(speed.valueAsNumber);
      before = now;
      if (owed >= 1) {
        const pixels = Math.floor(Math.min(owed, D));
        owed -= pixels;
        goTo(walk.t + pixels);
        if (finished()) sayResult();
      }
      requestAnimationFrame(tick);
    }

    const score = (known) => steps.reduce((sum, step) => sum + (step.known === known ? step.logProb : 0), 0);
    function sayResult() {
      const drawn = D - knownCount();
      const what = drawn === D ? `${D} pixels` : `${drawn} missing pixels`;
      say(`Finished: ${what} drawn, log p(x) = ${nats(score(true) + score(false))}.`);
    }

    // -- drawing by hand: what is on the paper when it is touched counts as given
    function adopt() {
      pause();
      steps.forEach(({ variable, value }) => { given[variable] = value; });
    }

    /** Use the tool on a cell and, with a pointer, on its neighbours: a stroke is about two pixels wide. */
    function touch(cell, width) {
      const row = Math.floor(cell / SIDE), column = cell % SIDE;
      const value = { ink: 1, "no ink": 0, erase: -1 }[tool];
      for (let r = row; r < Math.min(SIDE, row + width); r++) {
        for (let c = column; c < Math.min(SIDE, column + width); c++) given[r * SIDE + c] = value;
      }
      if (anyOrder()) return;
      // The network for one order can only be given what comes first.
      if (tool === "erase") given.fill(-1, row * SIDE);
      else given.forEach((v, i) => { if (v < 0 && i < Math.min(SIDE, row + width) * SIDE) given[i] = 0; });
    }

    function touched() {
      const rest = knownCount() === D ? "Nothing is missing." : "\u201cComplete\u201d draws the rest.";
      const hint = () => say(`Blue is given. ${rest}`);
      hint();
      withNetwork(hint);
      restart();
    }

    function keepRows(count) {
      adopt();
      given.fill(-1, count * SIDE);
      given.forEach((v, i) => { if (v < 0 && i < count * SIDE) given[i] = 0; });
      touched();
    }

    function eraseWhere(hidden) {
      adopt();
      if (knownCount() === 0) return say("The paper is empty: draw a digit first, or start from one below.");
      given.forEach((_, i) => { if (hidden(i)) given[i] = -1; });
      touched();
      say("The heat map shows what the network expects. Now complete it.");
    }

    function showStarters() {
      if (starters.childElementCount) return;
      starters.append(element("span", {}, "Start from"), ...Object.values(arrived)[0].starters.map((x, k) => {
        const small = element("canvas", { width: SIDE * 2, height: SIDE * 2 });
        small.digit = x;
        const onclick = () => {
          pause();
          given.set(x);
          if (!anyOrder()) given.fill(-1, D / 2); // keep the upper half
          touched();
          if (anyOrder()) say("Erase any part, then complete it.");
        };
        return element("button", { type: "button", "aria-label": `drawing ${k + 1}`, onclick }, small);
      }));
    }

    function cellAt(event) {
      const box = paper.getBoundingClientRect();
      const clip = (v) => Math.min(SIDE - 1, Math.max(0, Math.floor(v * SIDE)));
      return clip((event.clientY - box.top) / box.height) * SIDE + clip((event.clientX - box.left) / box.width);
    }

    paper.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      paper.setPointerCapture(event.pointerId);
      adopt();
      stroke = cursor = cellAt(event);
      touch(stroke, tool === "erase" ? 3 : 2);
      touched();
    });
    paper.addEventListener("pointermove", (event) => {
      if (stroke === null) return;
      const end = cellAt(event);
      const [r0, c0, r1, c1] = [Math.floor(stroke / SIDE), stroke % SIDE, Math.floor(end / SIDE), end % SIDE];
      const length = Math.max(Math.abs(r1 - r0), Math.abs(c1 - c0));
      for (let k = 1; k <= length; k++) { // every cell on the way, also when the pointer is fast
        const cell = Math.round(r0 + (r1 - r0) * k / length) * SIDE + Math.round(c0 + (c1 - c0) * k / length);
        touch(cell, tool === "erase" ? 3 : 2);
      }
      stroke = cursor = end;
      if (length) touched();
    });
    for (const end of ["pointerup", "pointercancel"]) paper.addEventListener(end, () => { stroke = null; });
    paper.addEventListener("keydown", (event) => {
      const row = Math.floor(cursor / SIDE), column = cursor % SIDE;
      const moves = {
        ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
        ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      };
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (moves[event.key]) {
        const [r, c] = moves[event.key].map((v) => Math.min(SIDE - 1, Math.max(0, v)));
        cursor = r * SIDE + c;
        render();
      } else if (event.key === " ") {
        adopt();
        // the ink tool toggles
        if (tool === "ink" && given[cursor] === 1) given[cursor] = 0;
        else touch(cursor, 1);
        touched();
      } else return;
      event.preventDefault();
      whereabouts.textContent = `${place(cursor)}: ${["unknown", "no ink", "ink"][given[cursor] + 1]}`;
    });
    for (const change of ["focus", "blur"]) paper.addEventListener(change, () => render());

    // -- showing
    const colours = {}; // red, green and blue of the names in book.css
    function readColours() {
      const style = getComputedStyle(widget);
      const parse = (name) => {
        const hex = style.getPropertyValue(name).trim();
        return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
      };
      for (const name of ["blue", "orange", "ink", "paper", "panel", "line"]) colours[name] = parse(`--made-${name}`);
    }
    const mix = (a, b, share) => `rgb(${a.map((v, k) => Math.round(v + (b[k] - v) * share)).join(" ")})`;

    function eachCell(target, colour, size = CELL) {
      const pen = target.getContext("2d");
      for (let i = 0; i < D; i++) {
        pen.fillStyle = colour(i);
        pen.fillRect((i % SIDE) * size, Math.floor(i / SIDE) * size, size, size);
      }
      return pen;
    }

    function dot(pen, i, colour) {
      pen.fillStyle = colour;
      pen.fillRect((i % SIDE + 0.5) * CELL - 1.5, (Math.floor(i / SIDE) + 0.5) * CELL - 1.5, 3, 3);
    }

    function outline(pen, i, colour, width = 3) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      const inset = width / 2;
      pen.strokeRect((i % SIDE) * CELL + inset, Math.floor(i / SIDE) * CELL + inset, CELL - width, CELL - width);
    }

    function render() {
      const { blue, orange, ink, paper: white, panel, line } = colours;
      const solid = (colour) => mix(colour, colour, 0);
      const shown = Int8Array.from(given); // what is on the paper: given, or drawn so far
      steps.forEach(({ variable, value }) => { shown[variable] = value; });
      const clear = (i) => shown[i] < 0;
      const latest = steps.length > knownCount() && !finished() ? steps[steps.length - 1] : null;

      const pen = eachCell(paper, (i) => {
        if (clear(i)) return solid(panel);
        if (given[i] < 0) return solid(shown[i] ? ink : white);
        return shown[i] ? solid(blue) : mix(white, blue, 0.12);
      });
      for (let i = 0; i < D; i++) if (clear(i)) dot(pen, i, solid(line));
      if (latest) outline(pen, latest.variable, solid(orange));
      if (document.activeElement === paper) outline(pen, cursor, solid(orange), 4);

      // Probabilities: of the pixels on the paper as they were drawn, and of others where the network has an answer.
      // While it walks, an any-order network has one for each: that of the order in which this pixel comes next.
      const p = new Float64Array(D).fill(-1);
      if (walk && !finished()) {
        const open = anyOrder() ? walk.order.slice(walk.t) : [walk.order[walk.t]];
        for (const i of open) p[i] = sigmoid(walk.logits[i] / temperature);
      }
      steps.forEach((step) => { p[step.variable] = step.p; });
      const hot = eachCell(heat, (i) => (p[i] < 0 ? solid(panel) : mix(white, orange, p[i])));
      for (let i = 0; i < D; i++) if (clear(i)) dot(hot, i, solid(line));
      if (latest) outline(hot, latest.variable, solid(ink));

      const degrees = degreesFromOrder(walk ? walk.order : baseOrder);
      eachCell(orderMap, (i) => mix(white, blue, 0.08 + 0.92 * degrees[i] / D), 4);

      const bars = strip.getContext("2d");
      bars.clearRect(0, 0, strip.width, strip.height);
      steps.forEach((step, t) => {
        const height = Math.min(1, -step.logProb / TALLEST) * strip.height;
        bars.fillStyle = solid(step.known ? blue : orange);
        bars.fillRect(2 * t, strip.height - height, 2, height);
      });

      for (const small of starters.querySelectorAll("canvas")) {
        eachCell(small, (i) => solid(small.digit[i] ? ink : white), 2);
      }
      showNumbers();
    }

    function showNumbers() {
      const t = walk ? walk.t : 0;
      timeline.value = t;
      timeText.textContent = `${t} of ${D}`;
      playButton.textContent = playing ? "Pause" : "Play";
      completeButton.disabled = knownCount() === 0;
      const step = steps[t - 1];
      coinFill.style.width = `${100 * (step ? step.p : 0)}%`;
      coinMark.style.left = `${100 * (step ? uniforms[step.variable] : 0)}%`;
      coinMark.hidden = !step || step.known;
      if (!step) coinText.textContent = "A random number u decides: ink if u < p.";
      else {
        const chance = `p = ${step.p.toFixed(2)}`;
        const u = uniforms[step.variable].toFixed(2);
        const verdict = step.known ? `given: ${step.value ? "ink" : "no ink"}`
          : `u = ${u} ${step.value ? "< p: ink" : "\u2265 p: no ink"}`;
        coinText.textContent = `${place(step.variable)}: ${chance}, ${verdict}`;
      }
      const yours = score(true), drawn = score(false);
      total.textContent = `log p(${t === D ? "x" : `first ${t} pixels`}) = ${nats(yours + drawn)}`;
      parts.textContent = `(at temperature 1${knownCount() ? `; given ${short(yours)}, drawn ${short(drawn)}` : ""})`;
      const row = Math.floor(given.indexOf(-1) / SIDE);
      rows.value = knownCount() === D ? SIDE : row;
      rowsText.textContent = rows.value;
    }

    function showSettings() {
      const rate = pixelsPerSecond(speed.valueAsNumber);
      const rounded = rate < 10 ? Math.round(rate) : 10 * Math.round(rate / 10);
      speedText.textContent = speed.valueAsNumber >= AT_ONCE ? "at once" : `${rounded} pixels/s`;
      speed.setAttribute("aria-valuetext", speedText.textContent);
      warmthText.textContent = temperature.toFixed(2);
      rowsControl.hidden = anyOrder();
      hideControls.hidden = !anyOrder();
    }

    (picture.closest("a") ?? picture).replaceWith(widget);
    readColours();
    newNumbers();
    showSettings();
    say("Press \u201cDraw a digit\u201d, or begin one on the paper.");
    new MutationObserver(() => { readColours(); render(); })
      .observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  document.querySelectorAll('.bd-article img[src$="live_made.png"]').forEach(mount);
})();
