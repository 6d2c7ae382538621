/* Live MADE: the shipped networks draw digits inside the page, pixel by pixel.

   Orders, degrees and random numbers are those of made.js; the networks and one image drawn are in networks.js; canvases
   and elements in paper.js. In this file: the state, plain values that JSON can hold, and what changes it; what the
   reader does; render(state, view), which draws everything from the state; and the elements, which take the place of the
   picture live_made.png. A `view` is what is on the page: its parts, the state they show, and the drawing, which may go
   on from where it is. */
"use strict";

{
  const { naturalOrder, randomOrder, degreesFromOrder, generator, calm } = made;
  const { arrived, load, begin, drawNext, knownFirst, sigmoid, uniformNumbers } = made.networks;
  const { SIDE, D, CELL, short, nats, place, coloursOf, mix, solid, eachCell, dots, outline } = made.paper;
  const { element, button, slider, canvas, readout, group, field, figure, legend } = made.paper;

  // ---- the state of the page, and what changes it ------------------------------------------------------------------

  const SIZES = { pixelcnn: "0.2 MB", natural: "1.9 MB", any_order: "4.1 MB" };
  const MODES = {
    rows: { label: "row by row, PixelCNN", network: "pixelcnn", random: false },
    made: { label: "row by row, MADE", network: "natural", random: false },
    random: { label: "random, any-order MADE", network: "any_order", random: true },
    anyRows: { label: "row by row, any-order MADE", network: "any_order", random: false },
  };
  const TOOLS = { look: null, ink: 1, "no ink": 0, erase: -1 }; // with "look" nothing on the paper is changed
  const TALLEST = 5; // nats, the height of the strip of surprises
  const AT_ONCE = 100; // the right end of the speed slider
  const pixelsPerSecond = (speed) => (speed >= AT_ONCE ? 1e9 : 2 * 1000 ** (speed / AT_ONCE));
  const NOTHING = Array(D).fill(-1);

  const START = {
    given: NOTHING, // 0 or 1 where the reader decides, -1 where the network does
    aside: null, // what was given before an order came that cannot be given it: {given, cut}
    t: 0, // how many pixels are on the paper, in the order of drawing
    mode: "rows",
    temperature: 1,
    speed: calm.matches ? AT_ONCE : 70, // who wants calm sees no motion that was not asked for
    tool: "look",
    seed: 13, // a good one to begin with
    nextSeed: 13,
    draft: null, // the text of a seed that the reader is typing
    cursor: 14 * SIDE + 14, // the pixel that the keys have reached
    playing: false,
    loading: false,
    message: "Press \u201cDraw a digit\u201d, or begin one on the paper.",
    whereabouts: "", // said about the cursor
  };

  const knownCount = (given) => given.reduce((n, value) => n + (value >= 0), 0);
  const isAnyOrder = (state) => MODES[state.mode].network === "any_order";
  const networkOf = (state) => arrived[MODES[state.mode].network]; // undefined until it has been loaded

  /** A new state: what is given is in place at once, and a finished drawing does not play. */
  function changed(state, changes) {
    const next = { ...state, ...changes };
    const known = knownCount(next.given);
    next.t = Math.min(D, Math.max(next.t, known));
    if (next.t > known) next.nextSeed = next.seed + 1;
    if (next.t === D) next.playing = false;
    return next;
  }

  function update(view, changes) {
    view.state = changed(view.state, changes);
    view.trail?.follow();
    render(view.state, view);
  }

  /** Something the reader does: it can be undone. */
  function act(view, action) {
    if (view.trail) view.trail.step(action);
    else action();
    render(view.state, view);
  }

  // ---- a state as an address ---------------------------------------------------------------------------------------

  const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZa";

  /** Three pixels to a letter: each is unknown, no ink or ink. */
  function packed(given) {
    const letters = made.range(Math.ceil(D / 3)).map((k) => {
      const [a, b, c] = [0, 1, 2].map((n) => (given[3 * k + n] ?? -1) + 1);
      return LETTERS[9 * a + 3 * b + c];
    });
    return letters.join("");
  }

  function unpacked(text) {
    const given = [...text].flatMap((letter) => {
      const number = LETTERS.indexOf(letter);
      return [Math.floor(number / 9), Math.floor(number / 3) % 3, number % 3].map((value) => value - 1);
    });
    return given.slice(0, D);
  }

  /** What a link must hold, so that it restores a state. */
  function addressOf({ mode, seed, t, temperature, speed, tool, given }) {
    const address = new URLSearchParams({ mode, seed, t, temperature, speed, tool });
    if (knownCount(given)) address.set("given", packed(given));
    return address.toString();
  }

  /** The changes that an address asks for; of what it does not hold, or holds wrongly, the beginning. */
  function changesOf(text) {
    const address = new URLSearchParams(text);
    const number = (name, least, most) => {
      const value = Number(address.get(name) || NaN);
      return value >= least && value <= most ? value : START[name];
    };
    const option = (name, options) => (Object.hasOwn(options, address.get(name)) ? address.get(name) : START[name]);
    const seed = Math.floor(number("seed", 0, 999999));
    const mode = option("mode", MODES);
    const drawn = address.get("given") ?? "";
    const given = /^[A-Za]{262}$/.test(drawn) ? unpacked(drawn) : NOTHING;
    return {
      mode,
      seed,
      nextSeed: address.has("seed") ? seed + 1 : START.nextSeed,
      t: Math.floor(number("t", 0, D)),
      temperature: number("temperature", 0.5, 1.5),
      speed: number("speed", 0, AT_ONCE),
      tool: option("tool", TOOLS),
      given: isAnyOrder({ mode }) ? given : prefix(given),
      aside: null,
      draft: null,
      playing: false,
      message: "",
    };
  }

  /** Show the state of an address. */
  function restore(view, text) {
    const { t, ...changes } = changesOf(text);
    update(view, { ...changes, t: networkOf(changes) ? t : 0 });
    if (t === 0 && knownCount(changes.given) === 0) return;
    withNetwork(view, () => {
      update(view, { t });
      if (view.state.t === D) sayResult(view);
    });
  }

  /** The random numbers of a seed: one per pixel, and a random order. */
  function numbersOf({ seed, mode }) {
    const random = generator(seed);
    const uniforms = uniformNumbers(D, random);
    return { uniforms, order: MODES[mode].random ? randomOrder(D, random) : naturalOrder(D) };
  }

  /** The drawing of a state: {uniforms, order, walk, steps}, where walk is null until the network has been loaded.

      A walk goes forward only. If it is past the state, or the state has changed otherwise, it begins again. */
  function drawingOf(state, view) {
    const network = networkOf(state);
    const { seed, mode, temperature, given, t } = state;
    const key = [network, seed, mode, temperature, given];
    const goesOn = view.drawing?.key.every((part, k) => part === key[k]) && !(view.drawing.walk?.t > t);
    if (!goesOn) {
      const { uniforms, order } = numbersOf(state);
      const walk = network ? begin(network, knownFirst(order, given)) : null;
      view.drawing = { key, uniforms, order: walk ? walk.order : order, walk, steps: [] };
    }
    const { drawing } = view;
    while (drawing.walk?.t < t) drawing.steps.push(drawNext(drawing.walk, drawing.uniforms, given, temperature));
    return drawing;
  }

  // ---- what the reader does: drawing -------------------------------------------------------------------------------

  /** Do something as soon as the network of the current mode is there. */
  async function withNetwork(view, action) {
    const name = MODES[view.state.mode].network;
    if (!arrived[name]) {
      update(view, { loading: true, message: `Loading the network (${SIZES[name]}) \u2026` });
      try {
        await load(name);
      } catch (error) {
        return update(view, { loading: false, message: error.message });
      }
      update(view, { loading: false });
      if (name !== MODES[view.state.mode].network) return; // the reader has changed the mode meanwhile
      update(view, { t: 0, message: "" });
    }
    action();
  }

  /** Draw what is missing, with the next random numbers. */
  function complete(view) {
    withNetwork(view, () => {
      if (knownCount(view.state.given) === D) return sayNothingIsMissing(view);
      update(view, { seed: view.state.nextSeed, draft: null, t: 0 });
      play(view);
    });
  }

  /** What the network for one order can be given: the first pixels, up to a gap. */
  function prefix(given) {
    const gap = given.indexOf(-1);
    return gap < 0 ? given : [...given].fill(-1, gap);
  }

  /** What is given when another order is chosen. What one order must put aside is there again in the next. */
  function givenIn(mode, { given, aside }) {
    const all = aside?.cut.every((value, i) => value === given[i]) ? aside.given : given;
    if (isAnyOrder({ mode })) return { given: all, aside: null };
    const cut = prefix(all);
    return { given: cut, aside: cut.every((value, i) => value === all[i]) ? null : { given: all, cut } };
  }

  function changeMode(view, mode) {
    const { state } = view;
    const goOn = networkOf(state) && state.t > 0 && knownCount(state.given) === 0;
    update(view, { mode, ...givenIn(mode, state), t: 0 });
    withNetwork(view, () => {
      if (goOn) play(view);
    });
  }

  function again(view) {
    withNetwork(view, () => {
      update(view, { t: 0 });
      play(view);
    });
  }

  function play(view) {
    if (!networkOf(view.state)) return withNetwork(view, () => play(view));
    if (view.state.t === D) update(view, { t: 0 });
    if (view.state.t === D) return sayNothingIsMissing(view);
    if (view.state.speed >= AT_ONCE) {
      update(view, { t: D });
      return sayResult(view);
    }
    view.owed = 1; // pixels owed to the reader
    view.before = performance.now(); // the time of the last frame
    cancelAnimationFrame(view.frame);
    view.frame = requestAnimationFrame((now) => tick(view, now));
    update(view, { playing: true, message: "Drawing \u2026" });
  }

  function tick(view, now) {
    if (!view.state.playing) return;
    view.frame = requestAnimationFrame((later) => tick(view, later));
    view.owed += (Math.max(0, now - view.before) / 1000) * pixelsPerSecond(view.state.speed);
    view.before = now;
    const pixels = Math.floor(Math.min(view.owed, D));
    if (pixels === 0) return;
    view.owed -= pixels;
    update(view, { t: view.state.t + pixels });
    if (view.state.t === D) sayResult(view);
  }

  function pause(view) {
    if (view.state.playing) update(view, { playing: false, message: "Paused." });
  }

  function clear(view) {
    update(view, { given: NOTHING, aside: null, t: 0, playing: false, message: "The paper is empty." });
  }

  function goTo(view, t) {
    pause(view);
    withNetwork(view, () => update(view, { t }));
  }

  function sayNothingIsMissing(view) {
    update(view, { message: "Nothing is missing. Erase something first." });
  }

  function sayResult(view) {
    const drawn = D - knownCount(view.state.given);
    const what = drawn === D ? `${D} pixels` : `${drawn} missing pixels`;
    const { yours, networks } = scores(drawingOf(view.state, view).steps);
    update(view, { message: `Finished: ${what} drawn, log p(x) = ${nats(yours + networks)}.` });
  }

  /** log p of what the reader gave and of what the network drew. */
  function scores(steps) {
    const score = (known) => steps.reduce((sum, step) => sum + (step.known === known ? step.logProb : 0), 0);
    return { yours: score(true), networks: score(false) };
  }

  // ---- what the reader does: giving pixels -------------------------------------------------------------------------

  /** What is on the paper when it is touched counts as given. Returns a copy to be changed. */
  function adopted(view) {
    const given = [...view.state.given];
    for (const { variable, value } of drawingOf(view.state, view).steps) given[variable] = value;
    return given;
  }

  /** The network for one order can only be given what comes first: rows, all of their pixels. */
  function fillRows(given, count) {
    for (let i = 0; i < count * SIDE; i++) given[i] = Math.max(0, given[i]);
  }

  /** Use the tool on a cell and, with a pointer, on its neighbours: a stroke is about two pixels wide. */
  function touch(given, cell, width, state) {
    const row = Math.floor(cell / SIDE);
    const column = cell % SIDE;
    const bottom = Math.min(SIDE, row + width);
    for (let r = row; r < bottom; r++) {
      given.fill(TOOLS[state.tool], r * SIDE + column, r * SIDE + Math.min(SIDE, column + width));
    }
    if (isAnyOrder(state)) return;
    if (state.tool === "erase") given.fill(-1, row * SIDE);
    else fillRows(given, bottom);
  }

  function give(view, given, more = {}) {
    const hint = () => {
      const rest = knownCount(view.state.given) === D ? "Nothing is missing." : "\u201cComplete\u201d draws the rest.";
      const how = isAnyOrder(view.state) ? "Blue is given" : "Blue is given, in whole rows";
      update(view, { message: `${how}. ${rest}` });
    };
    update(view, { ...more, given, t: 0, playing: false });
    hint();
    withNetwork(view, hint);
  }

  /** Give the first rows of what was on the paper before rows were given; rows that it lacks cannot be. */
  function keepRows(view, count) {
    const goesOn = view.cut?.given === view.state.given;
    const paper = goesOn ? view.cut.paper : adopted(view);
    const gap = paper.indexOf(-1);
    const most = gap < 0 ? SIDE : Math.floor(gap / SIDE);
    view.cut = { paper, given: [...paper].fill(-1, Math.min(count, most) * SIDE) };
    give(view, view.cut.given);
    if (count > most) update(view, { message: `Whole rows on the paper: ${most}. Draw more, then give them.` });
  }

  function eraseWhere(view, hidden) {
    pause(view);
    const given = adopted(view);
    if (knownCount(given) === 0) {
      return update(view, { message: "The paper is empty: draw a digit first, or start from one below." });
    }
    give(
      view,
      given.map((value, i) => (hidden(i) ? -1 : value)),
    );
    update(view, { message: "The heat map shows what the network expects. Now complete it." });
  }

  function startFrom(view, digit) {
    const given = [...digit];
    if (isAnyOrder(view.state)) {
      give(view, given);
      update(view, { message: "Erase any part, then complete it." });
    } else {
      give(view, given.fill(-1, D / 2)); // keep the upper half
    }
  }

  /** The cell under the pointer, or null beside the paper. */
  function cellAt(paper, event) {
    const box = paper.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * SIDE);
    const column = Math.floor(((event.clientX - box.left) / box.width) * SIDE);
    const isOn = row >= 0 && row < SIDE && column >= 0 && column < SIDE;
    return isOn ? row * SIDE + column : null;
  }

  /** The cells from one to another, the first left out: all of them, also when the pointer is fast. */
  function cellsBetween(from, to) {
    const [r0, c0, r1, c1] = [Math.floor(from / SIDE), from % SIDE, Math.floor(to / SIDE), to % SIDE];
    const length = Math.max(Math.abs(r1 - r0), Math.abs(c1 - c0));
    return Array.from({ length }, (_, k) => {
      const share = (k + 1) / length;
      return Math.round(r0 + (r1 - r0) * share) * SIDE + Math.round(c0 + (c1 - c0) * share);
    });
  }

  /** Paint while the pointer is pressed on the paper, if the reader has chosen a tool to paint with. */
  function listenToPointer(view, paper) {
    let stroke = null; // {cell, given}: the last cell, null beside the paper, and what the stroke makes
    const paint = (cells) => {
      for (const cell of cells) touch(stroke.given, cell, view.state.tool === "erase" ? 3 : 2, view.state);
      give(view, [...stroke.given], { cursor: cells.at(-1) });
    };
    paper.addEventListener("pointerdown", (event) => {
      const cell = cellAt(paper, event);
      if (event.button !== 0 || view.state.tool === "look" || cell === null) return;
      paper.setPointerCapture(event.pointerId);
      stroke = { cell, given: adopted(view) };
      act(view, () => paint([cell]));
    });
    paper.addEventListener("pointermove", (event) => {
      if (stroke === null) return;
      const cell = cellAt(paper, event);
      const from = stroke.cell;
      stroke.cell = cell;
      if (cell === null || cell === from) return;
      paint(from === null ? [cell] : cellsBetween(from, cell));
    });
    const lift = () => {
      stroke = null;
    };
    paper.addEventListener("pointerup", lift);
    paper.addEventListener("pointercancel", lift);
  }

  const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  function listenToKeys(view, paper) {
    paper.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.key in ARROWS) update(view, { cursor: moved(view.state.cursor, ...ARROWS[event.key]) });
      else if (event.key === " ") act(view, () => pressSpace(view));
      else return;
      event.preventDefault();
      const { cursor, given } = view.state;
      update(view, { whereabouts: `${place(cursor)}: ${["unknown", "no ink", "ink"][given[cursor] + 1]}` });
    });
    for (const change of ["focus", "blur"]) paper.addEventListener(change, () => update(view, {}));
  }

  function moved(cursor, down, right) {
    const clip = (v) => Math.min(SIDE - 1, Math.max(0, v));
    return clip(Math.floor(cursor / SIDE) + down) * SIDE + clip((cursor % SIDE) + right);
  }

  function pressSpace(view) {
    const { cursor, tool } = view.state;
    if (tool === "look") return update(view, { message: "Choose ink, no ink or erase to paint." });
    const given = adopted(view);
    if (tool === "ink" && given[cursor] === 1) given[cursor] = 0; // the ink tool toggles
    else touch(given, cursor, 1, view.state);
    give(view, given);
  }

  // ---- everything on the page, from a state ------------------------------------------------------------------------

  function render(state, view) {
    const drawing = drawingOf(state, view);
    const { steps } = drawing;
    const isFinished = drawing.walk !== null && drawing.walk.t === D;
    const shown = [...state.given]; // what is on the paper: given, or drawn so far
    for (const { variable, value } of steps) shown[variable] = value;
    const latest = steps.length > knownCount(state.given) && !isFinished ? steps.at(-1).variable : null;
    renderPaper(state, view, shown, latest);
    renderHeat(state, view, shown, latest);
    renderOrder(view);
    renderSurprises(view);
    renderStarters(view);
    renderCoin(view);
    renderNumbers(state, view);
    renderControls(state, view);
    put(view.parts.status, "textContent", state.message);
    put(view.parts.whereabouts, "textContent", state.whereabouts);
    view.widget.classList.toggle("loading", state.loading);
  }

  /** Set a property. What has not changed is left alone: it may be read aloud, or the reader may be typing there. */
  function put(node, property, value) {
    if (node[property] !== String(value)) node[property] = value;
  }

  function renderPaper(state, view, shown, latest) {
    const { blue, orange, ink, paper: white, panel, line } = view.colours;
    const { paper } = view.parts;
    const pen = eachCell(paper, (i) => {
      if (shown[i] < 0) return solid(panel);
      if (state.given[i] < 0) return solid(shown[i] ? ink : white);
      return shown[i] ? solid(blue) : mix(white, blue, 0.12);
    });
    dots(pen, shown, line);
    if (latest !== null) outline(pen, latest, orange);
    if (document.activeElement === paper) outline(pen, state.cursor, orange, 4);
  }

  function renderHeat(state, view, shown, latest) {
    const { orange, ink, paper: white, panel, line } = view.colours;
    const p = probabilities(state, view.drawing);
    const pen = eachCell(view.parts.heat, (i) => (p[i] < 0 ? solid(panel) : mix(white, orange, p[i])));
    dots(pen, shown, line);
    if (latest !== null) outline(pen, latest, ink);
  }

  /** Probabilities of ink: of pixels on the paper as they were drawn, and of others where the network has an answer.

      While it walks, an any-order network has one for each: that of the order in which this pixel comes next. */
  function probabilities(state, { walk, steps }) {
    const p = new Float64Array(D).fill(-1);
    if (walk && walk.t < D) {
      const open = isAnyOrder(state) ? walk.order.slice(walk.t) : [walk.order[walk.t]];
      for (const i of open) p[i] = sigmoid(walk.logits[i] / state.temperature);
    }
    for (const step of steps) p[step.variable] = step.p;
    return p;
  }

  function renderOrder(view) {
    const { ink, paper: white } = view.colours;
    const degrees = degreesFromOrder(view.drawing.order);
    eachCell(view.parts.orderMap, (i) => mix(white, ink, 0.08 + (0.92 * degrees[i]) / D), 4);
  }

  function renderSurprises(view) {
    const { strip } = view.parts;
    const { blue, purple } = view.colours;
    const pen = strip.getContext("2d");
    pen.clearRect(0, 0, strip.width, strip.height);
    view.drawing.steps.forEach((step, t) => {
      const height = Math.min(1, -step.logProb / TALLEST) * strip.height;
      pen.fillStyle = solid(step.known ? blue : purple);
      pen.fillRect(2 * t, strip.height - height, 2, height);
    });
  }

  /** Drawings to start from. They come with the first network that has been loaded. */
  function renderStarters(view) {
    const { starters } = view.parts;
    const [network] = Object.values(arrived);
    if (!network) return;
    if (!starters.childElementCount) {
      const small = () => element("canvas", { width: SIDE * 2, height: SIDE * 2 });
      const start = (digit, k) =>
        button("", () => act(view, () => startFrom(view, digit)), { "aria-label": `drawing ${k + 1}` }, small());
      starters.append(element("span", {}, "Start from"), ...network.starters.map(start));
    }
    const { ink, paper: white } = view.colours;
    starters.querySelectorAll("canvas").forEach((small, k) => {
      eachCell(small, (i) => solid(network.starters[k][i] ? ink : white), 2);
    });
  }

  function renderCoin(view) {
    const { steps, uniforms } = view.drawing;
    const { coinFill, coinMark, coinText } = view.parts;
    const step = steps.at(-1);
    coinFill.style.width = `${100 * (step ? step.p : 0)}%`;
    coinMark.style.left = `${100 * (step ? uniforms[step.variable] : 0)}%`;
    coinMark.hidden = !step || step.known;
    put(coinText, "textContent", step ? tossed(step, uniforms) : "A random number u decides: ink if u < p.");
  }

  function tossed({ variable, value, known, p }, uniforms) {
    const u = uniforms[variable];
    // as many digits as it takes to see which is the smaller
    const digits = [2, 3, 4, 5, 6, 7].find((n) => known || p.toFixed(n) !== u.toFixed(n)) ?? 8;
    const drawn = `u = ${u.toFixed(digits)} ${value ? "< p: ink" : "\u2265 p: no ink"}`;
    const verdict = known ? `given: ${value ? "ink" : "no ink"}` : drawn;
    return `${place(variable)}: p = ${p.toFixed(digits)}, ${verdict}`;
  }

  function renderNumbers(state, view) {
    const { timeline, timeText, total, shares } = view.parts;
    const { steps } = view.drawing;
    const t = steps.length;
    const { yours, networks } = scores(steps);
    const given = knownCount(state.given) ? `; given ${short(yours)}, drawn ${short(networks)}` : "";
    put(timeline, "value", t);
    put(timeText, "textContent", `${t} of ${D}`);
    put(total, "textContent", `log p(${t === D ? "x" : `first ${t} pixels`}) = ${nats(yours + networks)}`);
    put(shares, "textContent", `(at temperature 1${given})`);
  }

  function renderControls(state, view) {
    const { parts } = view;
    const known = knownCount(state.given);
    const isOpen = isAnyOrder(state);
    put(parts.play, "textContent", state.playing ? "Pause" : "Play");
    parts.complete.disabled = known === 0;
    parts.undo.disabled = !view.trail?.canUndo();
    parts.redo.disabled = !view.trail?.canRedo();
    parts.paper.classList.toggle("paints", state.tool !== "look");
    for (const [name, radio] of Object.entries(parts.tools)) radio.checked = name === state.tool;
    put(parts.rows, "value", known === D ? SIDE : Math.floor(state.given.indexOf(-1) / SIDE));
    put(parts.rowsText, "textContent", parts.rows.value);
    parts.rowsControl.hidden = isOpen;
    parts.hideControls.hidden = !isOpen;
    put(parts.order, "value", state.mode);
    put(parts.seed, "value", state.draft ?? state.seed);
    put(parts.speed, "value", state.speed);
    put(parts.speedText, "textContent", speedName(state.speed));
    parts.speed.setAttribute("aria-valuetext", speedName(state.speed));
    put(parts.warmth, "value", state.temperature);
    put(parts.warmthText, "textContent", state.temperature.toFixed(2));
  }

  function speedName(speed) {
    const rate = pixelsPerSecond(speed);
    const rounded = rate < 10 ? Math.round(rate) : 10 * Math.round(rate / 10);
    return speed >= AT_ONCE ? "at once" : `${rounded} pixels/s`;
  }

  // ---- the elements ------------------------------------------------------------------------------------------------

  /** All elements that a state fills, by name. */
  function partsOf(view) {
    return {
      ...pictures(),
      ...playback(view),
      ...settings(view),
      ...hand(view),
      status: element("p", { className: "status", role: "status" }),
      whereabouts: element("p", { className: "unseen", "aria-live": "polite" }),
      coinFill: element("i"),
      coinMark: element("b"),
      coinText: element("span"),
      total: element("strong"),
      shares: element("span"),
    };
  }

  function pictures() {
    return {
      paper: element("canvas", {
        width: SIDE * CELL,
        height: SIDE * CELL,
        tabIndex: 0,
        role: "application",
        className: "paper",
        "aria-label": "The drawing, 28 by 28 pixels. Arrow keys move the cursor, space uses the chosen tool.",
      }),
      heat: canvas(SIDE * CELL, SIDE * CELL, "Heat map: how probable ink is at each pixel"),
      orderMap: canvas(SIDE * 4, SIDE * 4, "Which pixels come early and which late"),
      strip: canvas(D * 2, 112, "The surprise of each pixel, in the order of drawing"),
    };
  }

  function playback(view) {
    const draw = () => {
      update(view, { given: NOTHING, aside: null, t: 0 });
      complete(view);
    };
    const reset = () => {
      const { speed, tool } = view.state;
      update(view, { ...START, speed, tool });
    };
    return {
      draw: button("Draw a digit", () => act(view, draw), { className: "primary" }),
      complete: button("Complete", () => act(view, () => complete(view)), {
        title: "keep what is given, draw the rest",
      }),
      undo: button("Undo", () => view.trail?.undo(), { title: "Ctrl+Z" }),
      redo: button("Redo", () => view.trail?.redo(), { title: "Ctrl+Shift+Z" }),
      reset: button("Reset", () => act(view, reset), { title: "as it was in the beginning" }),
      play: button("Play", () => (view.state.playing ? pause(view) : play(view))),
      step: button("Step", () => goTo(view, view.state.t + 1)),
      again: button("Again", () => again(view), { title: "the same seed once more" }),
      timeline: slider(0, D, 1, (t) => goTo(view, t)),
      timeText: readout(),
    };
  }

  function settings(view) {
    const modes = Object.entries(MODES).map(([value, { label }]) => element("option", { value }, label));
    const setSeed = ({ target }) =>
      act(view, () => {
        const seed = Math.min(999999, Math.max(0, Math.floor(target.valueAsNumber || 0)));
        update(view, { seed, draft: null, t: 0 });
        again(view);
      });
    return {
      order: element("select", { onchange: ({ target }) => act(view, () => changeMode(view, target.value)) }, ...modes),
      seed: element("input", {
        type: "number",
        min: 0,
        max: 999999,
        step: 1,
        inputMode: "numeric",
        oninput: ({ target }) => update(view, { draft: target.value }),
        onchange: setSeed,
      }),
      speed: slider(0, AT_ONCE, 1, (speed) => update(view, { speed })),
      speedText: readout(),
      warmth: slider(0.5, 1.5, 0.05, (temperature) => update(view, { temperature })),
      warmthText: readout(),
    };
  }

  /** What the slider does until it is let go is undone together. */
  function rowsSlider(view) {
    let isHeld = false;
    const rows = slider(0, SIDE, 1, (count) => {
      if (isHeld) keepRows(view, count);
      else act(view, () => keepRows(view, count));
      isHeld = true;
    });
    rows.addEventListener("change", () => {
      isHeld = false;
      update(view, {}); // it goes back to what is given
    });
    return rows;
  }

  /** What the reader draws and erases with. */
  function hand(view) {
    const rows = rowsSlider(view);
    const rowsText = readout();
    const radio = (name) =>
      element("input", {
        type: "radio",
        name: `${view.id}-tool`,
        value: name,
        onchange: () => update(view, { tool: name }),
      });
    const scattered = uniformNumbers(D, generator(0));
    const erase = (text, hidden) => button(text, () => act(view, () => eraseWhere(view, hidden)));
    const isMiddle = (v) => v >= 8 && v < 20;
    return {
      tools: Object.fromEntries(Object.keys(TOOLS).map((name) => [name, radio(name)])),
      clear: button("Clear", () => act(view, () => clear(view))),
      rows,
      rowsText,
      rowsControl: field("Rows given", rowsText, rows),
      hideControls: group(
        "Erase a part",
        element("span", {}, "Erase"),
        erase("left half", (i) => i % SIDE < SIDE / 2),
        erase("upper half", (i) => i < D / 2),
        erase("middle", (i) => isMiddle(Math.floor(i / SIDE)) && isMiddle(i % SIDE)),
        erase("nine in ten", (i) => scattered[i] < 0.9),
      ),
      starters: element("div", {
        className: "group starters",
        role: "group",
        "aria-label": "Start from a drawing of the network",
      }),
    };
  }

  /** The widget: all parts in their places. */
  function widgetOf(parts) {
    const div = (className, ...children) => element("div", { className }, ...children);
    const keys = Object.entries(parts.tools).map(([name, radio]) =>
      element("label", {}, radio, element("span", {}, name)),
    );
    const tools = element(
      "div",
      { className: "group", role: "radiogroup", "aria-label": "Tool" },
      ...keys,
      parts.clear,
    );
    const track = element("div", { className: "track", "aria-hidden": "true" }, parts.coinFill, parts.coinMark);
    const note = `Surprise of each pixel, \u2212log p, up to ${TALLEST} nats. All bars together make \u2212log p(x).`;
    return element(
      "section",
      { className: "live-made", "aria-label": "Live MADE" },
      div("bar", parts.draw, parts.complete, group("Playback", parts.play, parts.step, parts.again)),
      group("Back and forth", parts.undo, parts.redo, parts.reset),
      parts.status,
      parts.whereabouts,
      div(
        "views",
        figure(parts.paper, tools),
        figure(parts.heat, "probability of ink, given what came before: ", legend("legend", "0", "1")),
      ),
      div("coin", parts.coinText, track),
      element("p", {}, parts.total, " ", parts.shares),
      parts.strip,
      element("p", { className: "note" }, note),
      field("Pixel", parts.timeText, parts.timeline),
      div(
        "settings",
        figure(parts.orderMap, legend("legend order", "first", "last")),
        div("", field("Order", "", parts.order), field("Seed", "", parts.seed)),
        div("", field("Speed", parts.speedText, parts.speed), field("Temperature", parts.warmthText, parts.warmth)),
      ),
      div("hand", parts.rowsControl, parts.hideControls, parts.starters),
    );
  }

  let mounts = 0;

  function mount(paragraph) {
    const view = { id: `live-made${mounts++}`, state: START };
    if (made.isPageOf(paragraph)) {
      view.trail = made.trail({ write: () => addressOf(view.state), restore: (text) => restore(view, text) });
    }
    view.parts = partsOf(view);
    view.widget = widgetOf(view.parts);
    listenToPointer(view, view.parts.paper);
    listenToKeys(view, view.parts.paper);
    paragraph.replaceWith(view.widget);
    const repaint = () => {
      view.colours = coloursOf(view.widget);
      render(view.state, view);
    };
    new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    repaint();
    if (view.trail) {
      made.listenToUndo(view.trail);
      view.trail.begin();
      if (view.trail.address()) restore(view, view.trail.address());
    }
    return view;
  }

  window.liveMade = { mount, update, addressOf, changesOf };

  made.replacePicture("live_made", mount);
}
