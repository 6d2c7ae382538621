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
  const { SIDE, D, CELL, short, nats, place, mix, solid, eachCell, outline, cellAt, inColours, whenSeen, put } =
    made.paper;
  const { element, button, slider, canvas, readout, group, field, figure, legend } = made.paper;

  // ---- the state of the page, and what changes it ------------------------------------------------------------------

  const SIZES = { pixelcnn: "0.1 MB", natural: "0.9 MB", any_order: "2.0 MB" };
  const MODES = {
    rows: {
      label: "row by row, PixelCNN",
      network: "pixelcnn",
      random: false,
      says: "Convolutions, trained for this order. Most of what it draws can be read.",
    },
    made: {
      label: "row by row, MADE",
      network: "natural",
      random: false,
      says: "One hidden layer, trained for this order. Rougher than the PixelCNN.",
    },
    random: {
      label: "random, any-order MADE",
      network: "any_order",
      random: true,
      says: "Trained for every order, so it can fill in any part: that is what it does best. From nothing, it draws few digits that can be read.",
    },
    anyRows: {
      label: "row by row, any-order MADE",
      network: "any_order",
      random: false,
      says: "Mostly specks. The network saw a fresh random order at every step of its training, and rows are no such order. Compare \u201crow by row, MADE\u201d.",
    },
  };
  const TOOLS = { look: null, ink: 1, "no ink": 0, erase: -1 }; // with "look" nothing on the paper is changed
  const TALLEST = 5; // nats, the height of the strip of surprises
  const AT_ONCE = 100; // the right end of the speed slider
  const pixelsPerSecond = (speed) => (speed >= AT_ONCE ? 1e9 : 2 * 1000 ** (speed / AT_ONCE));
  const NOTHING = Array(D).fill(-1);

  const START = {
    given: NOTHING, // 0 or 1 where the reader decides, -1 where the network does
    aside: null, // what was given before an order came that cannot be given it: {given, cut}
    before: null, // log p of the finished paper that the reader has changed
    t: 0, // how many pixels are on the paper, in the order of drawing
    mode: "rows",
    temperature: 1,
    speed: calm.matches ? AT_ONCE : 70, // who wants calm sees no motion that was not asked for
    tool: "look",
    seed: 13, // a good one to begin with
    nextSeed: 13,
    draft: null, // the text of a seed that the reader is typing
    cursor: 14 * SIDE + 14, // the pixel that the keys have reached
    pointed: null, // the pixel that the pointer is on, in a picture or as a bar
    gallery: "none",
    base: 13, // the seed before those of the six more
    playing: false,
    loading: null, // the share of a network that has arrived
    message: "Press \u201cDraw a digit\u201d, or begin one on the paper.",
    whereabouts: "", // said about the cursor
  };

  const knownCount = (given) => given.reduce((n, value) => n + (value >= 0), 0);
  const isAnyOrder = (state) => MODES[state.mode].network === "any_order";

  /** The first drawing is recorded: it needs no network. */
  function isRecorded({ mode, seed, temperature, given }) {
    return mode === START.mode && seed === START.seed && temperature === 1 && knownCount(given) === 0;
  }

  /** The network of a state, or what stands for it; undefined until it has been loaded. */
  const networkOf = (state) => (isRecorded(state) && made.recording) || arrived[MODES[state.mode].network];

  /** A new state: what is given is in place at once, and a finished drawing does not play. */
  function changed(state, changes) {
    const next = { ...state, ...changes };
    const known = knownCount(next.given);
    next.t = Math.min(D, Math.max(next.t, known));
    if (next.t > known) next.nextSeed = next.seed + 1;
    const isOther = ["given", "seed", "mode"].some((name) => name in changes);
    if (isOther && !("before" in changes)) next.before = null;
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
  function addressOf({ mode, seed, t, temperature, speed, tool, gallery, base, given }) {
    const address = new URLSearchParams({ mode, seed, t, temperature, speed, tool, gallery });
    if (gallery === "more") address.set("base", base);
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
      gallery: option("gallery", GALLERIES),
      base: Math.floor(number("base", 0, 999999)),
      given: isAnyOrder({ mode }) ? given : prefix(given),
      aside: null,
      before: null,
      draft: null,
      pointed: null,
      playing: false,
      message: "",
    };
  }

  /** Show the state of an address. */
  function restore(view, text) {
    const { t, ...changes } = changesOf(text);
    update(view, { ...changes, t: networkOf(changes) ? t : 0 });
    loadBehind(view);
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

  /** A drawing before its first pixel. */
  function freshDrawing(state) {
    const network = networkOf(state);
    const { uniforms, order } = numbersOf(state);
    const walk = network ? begin(network, knownFirst(order, state.given)) : null;
    return { uniforms, order: walk ? walk.order : order, walk };
  }

  /** The drawing of a state: {uniforms, order, walk, steps}, where walk is null until the network has been loaded.

      A walk goes forward only. If it is past the state, or the state has changed otherwise, it begins again. */
  function drawingOf(state, view) {
    const network = networkOf(state);
    const { seed, mode, temperature, given, t } = state;
    const key = [network, seed, mode, temperature, given];
    const goesOn = view.drawing?.key.every((part, k) => part === key[k]) && !(view.drawing.walk?.t > t);
    if (!goesOn) {
      view.drawing = { key, ...freshDrawing(state), steps: [] };
    }
    const { drawing } = view;
    while (drawing.walk?.t < t) drawing.steps.push(drawNext(drawing.walk, drawing.uniforms, given, temperature));
    return drawing;
  }

  // ---- what the reader does: drawing -------------------------------------------------------------------------------

  /** Do something as soon as the network of the current mode is there. */
  async function withNetwork(view, action) {
    const name = MODES[view.state.mode].network;
    if (!networkOf(view.state)) {
      update(view, { loading: 0, message: `Loading the network (${SIZES[name]}) \u2026` });
      try {
        await load(name, (loading) => update(view, { loading }));
      } catch (error) {
        return update(view, { loading: null, message: error.message });
      }
      update(view, { loading: null });
      if (name !== MODES[view.state.mode].network) return; // the reader has changed the mode meanwhile
      update(view, { t: 0, message: "" });
    }
    action();
  }

  /** Load the network of the current mode while what needs none goes on. A failure is told when the network is needed. */
  function loadBehind(view) {
    load(MODES[view.state.mode].network).then(
      () => render(view.state, view),
      () => {},
    );
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

  /** The best that the network for any order can do, in one step: half of what is on the paper, or of a starter. */
  function hideHalf(view) {
    const { given } = view.state;
    const paper = drawingOf(view.state, view).steps.length === D ? adopted(view) : null;
    update(view, { mode: "random", given: paper ?? given, aside: null, t: 0, playing: false });
    withNetwork(view, () => {
      if (!paper) update(view, { given: [...networkOf(view.state).starters[0]] });
      eraseWhere(view, (i) => i < D / 2);
    });
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

  /** log p of the paper, if it is full. */
  function scoreOf(view) {
    const { steps } = drawingOf(view.state, view);
    const { yours, networks } = scores(steps);
    return steps.length === D ? yours + networks : null;
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
    let stroke = null; // {cell, given, before}: the last cell, null beside the paper; what it makes, and of what score
    const paint = (cells, width) => {
      for (const cell of cells) touch(stroke.given, cell, view.state.tool === "erase" ? 3 : width, view.state);
      give(view, [...stroke.given], { cursor: cells.at(-1), before: stroke.before });
    };
    paper.addEventListener("pointerdown", (event) => {
      const cell = cellAt(paper, event);
      if (event.button !== 0 || cell === null) return;
      if (view.pick) return view.pick(cell);
      if (view.state.tool === "look") return;
      paper.setPointerCapture(event.pointerId);
      stroke = { cell, given: adopted(view), before: scoreOf(view) };
      act(view, () => paint([cell], 1)); // a dot is one pixel, a line two pixels wide
    });
    paper.addEventListener("pointermove", (event) => {
      if (stroke === null) return;
      const cell = cellAt(paper, event);
      const from = stroke.cell;
      stroke.cell = cell;
      if (cell === null || cell === from) return;
      paint(from === null ? [cell] : [from, ...cellsBetween(from, cell)], 2);
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
      else if (event.key === "Enter") view.pick?.(view.state.cursor);
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
    const [given, before] = [adopted(view), scoreOf(view)];
    if (tool === "ink" && given[cursor] === 1) given[cursor] = 0; // the ink tool toggles
    else touch(given, cursor, 1, view.state);
    give(view, given, { before });
  }

  // ---- what the reader does: pointing ------------------------------------------------------------------------------

  /** A pixel and its bar belong together: pointing at one shows the other. */
  function listenToPointing(view) {
    const point = (pointed) => {
      if (pointed !== view.state.pointed) update(view, { pointed });
    };
    const { paper, heat, strip } = view.parts;
    for (const picture of [paper, heat]) {
      picture.addEventListener("pointermove", (event) => point(cellAt(picture, event)));
    }
    strip.addEventListener("pointermove", (event) => {
      const box = strip.getBoundingClientRect();
      const t = Math.floor(((event.clientX - box.left) / box.width) * D);
      point(view.drawing.steps[t]?.variable ?? null);
    });
    for (const picture of [paper, heat, strip]) picture.addEventListener("pointerleave", () => point(null));
  }

  // ---- several drawings at once ------------------------------------------------------------------------------------

  /** What differs from the state on the paper, and its name. */
  const GALLERIES = {
    none: () => [],
    /** The same, with the next random numbers. */
    more: ({ base, given }) =>
      knownCount(given) === D ? [] : made.range(6).map((k) => [`seed ${base + k + 1}`, { seed: base + k + 1 }]),
    /** The same random numbers, in every order. */
    orders: (state) =>
      Object.keys(MODES).map((mode) => [MODES[mode].label, Object.assign({ mode }, givenIn(mode, state))]),
  };

  /** The drawing of a state, whole: its pixels and log p; null until the network has been loaded. */
  function finished(state) {
    const { uniforms, walk } = freshDrawing(state);
    if (!walk) return null;
    let logProb = 0;
    while (walk.t < D) logProb += drawNext(walk, uniforms, state.given, state.temperature).logProb;
    return { x: walk.x, logProb };
  }

  /** The same list, unless what it follows from has changed. */
  function galleryOf(view) {
    const { gallery, base, seed, mode, temperature, given } = view.state;
    const key = [gallery, gallery === "more" ? base : seed, gallery === "orders" || mode, temperature, given];
    if (!view.gallery?.key.every((part, k) => part === key[k])) {
      const items = GALLERIES[gallery](view.state).map(([label, changes]) => ({ label, changes, drawn: null }));
      view.gallery = { key, items };
    }
    return view.gallery.items;
  }

  /** Draw what is still missing, one picture a frame; where a network is missing, load it. */
  function fillGallery(view) {
    const item = galleryOf(view).find(({ drawn, failed }) => !drawn && !failed);
    if (view.filling || !item) return;
    view.filling = true;
    const state = { ...view.state, ...item.changes };
    const goOn = () => {
      view.filling = false;
      render(view.state, view);
    };
    if (networkOf(state)) {
      requestAnimationFrame(() => {
        item.drawn = finished(state);
        goOn();
      });
    } else {
      load(MODES[state.mode].network)
        .catch(() => (item.failed = true))
        .then(goOn);
    }
  }

  /** Put one of them on the paper. */
  function take(view, { changes }) {
    update(view, { ...changes, draft: null, t: D, playing: false });
    sayResult(view);
  }

  // ---- things to try ---------------------------------------------------------------------------------------------------

  /** What a step of the guide does once its state is there. */
  const DEEDS = {
    play,
    hide: hideHalf,
    half: (view) => withNetwork(view, () => keepRows(view, SIDE / 2)),
  };

  /** Draw to the end, and say log p. */
  function finish(view, changes = {}) {
    return new Promise((done) => {
      update(view, { ...changes, playing: false });
      withNetwork(view, () => {
        update(view, { t: D });
        sayResult(view);
        done(scoreOf(view));
      });
    });
  }

  const most = (items, value) => items.reduce((best, item) => (value(item) > value(best) ? item : best));

  /** Questions before the page answers: what it says is computed when it is asked. */
  const CORNER = 2 * SIDE + 2;

  const BETS = {
    total: (view) => ({
      ask: `What will all pixels cost together, \u2212log p(x)? ${D} fair coins would cost ${nats(D * Math.LN2)}.`,
      unit: "nats",
      covers: ["score", "status"],
      async reveal(bet) {
        const cost = -(await finish(view));
        const off = short(Math.abs(bet - cost));
        const how = off === short(0) ? "exactly right" : `${off} too ${bet > cost ? "much" : "little"}`;
        return `${nats(cost)}. You bet ${short(bet)}: ${how}.`;
      },
    }),
    surprise: (view) => ({
      ask: "Which pixel surprised the network most? Click it on the paper (keys: arrows, then Enter).",
      covers: ["heat", "strip", "coin"],
      pick: (settle) => (view.pick = settle),
      reveal(pixel) {
        const { steps } = view.drawing;
        const top = most(steps, ({ logProb }) => -logProb);
        update(view, { pointed: top.variable });
        const yours = steps.find(({ variable }) => variable === pixel);
        const bet = yours ? ` Yours, ${place(pixel)}, cost ${(-yours.logProb).toFixed(2)}.` : "";
        return `It was ${place(top.variable)}: p = ${top.p.toFixed(3)}, ${(-top.logProb).toFixed(2)} nats.${bet}`;
      },
    }),
    temperature: (view) => ({
      ask: "At temperature 0.5, with the same numbers u: will the network find its drawing more probable, or less?",
      options: ["more probable", "less probable"],
      async reveal(bet) {
        const [at1, at05] = [await finish(view), await finish(view, { temperature: 0.5 })];
        const answer = at05 > at1 ? "more probable" : "less probable";
        return `${answer === bet ? "Yes" : "No"}: ${answer}. log p(x) went from ${short(at1)} to ${nats(at05)}.`;
      },
    }),
    dot: (view) => ({
      ask: "One pixel of ink in the upper left corner: what will it cost?",
      unit: "nats",
      async reveal(bet) {
        const before = await finish(view);
        const given = adopted(view);
        given[CORNER] = 1;
        give(view, given, { before });
        const cost = before - scoreOf(view);
        const own = -view.drawing.steps.find(({ variable }) => variable === CORNER).logProb;
        const rest = cost > own ? `${short(cost - own)} more` : `${short(own - cost)} less`;
        return `${nats(cost)}; you bet ${short(bet)}. The dot itself costs ${short(own)}, and all the others ${rest} than before.`;
      },
    }),
    network: (view) => ({
      ask: "The same random numbers in every order: whose drawing will its own network find most probable?",
      options: Object.values(MODES).map(({ label }) => label),
      async reveal(bet) {
        await Promise.all(Object.values(MODES).map(({ network }) => load(network)));
        update(view, { gallery: "orders" });
        const scored = galleryOf(view).map(({ label, changes }) => [label, finished({ ...view.state, ...changes })]);
        const [label, { logProb }] = most(scored, ([, drawn]) => drawn.logProb);
        return `${label === bet ? "Yes" : "No"}: ${label}, ${nats(logProb)}. Is it the drawing that you like best?`;
      },
    }),
  };

  function guideOf(view) {
    const go = (text) =>
      act(view, () => {
        restore(view, text);
        DEEDS[new URLSearchParams(text).get("do")]?.(view);
      });
    const bets = Object.fromEntries(Object.entries(BETS).map(([name, bet]) => [name, bet(view)]));
    return made.guide({ go, parts: view.parts.lit, bets });
  }

  /** The paper as a file. */
  function save(view) {
    view.parts.paper.toBlob((blob) => {
      const link = element("a", { href: URL.createObjectURL(blob), download: `made-seed-${view.state.seed}.png` });
      link.click();
      URL.revokeObjectURL(link.href);
    });
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
    renderSurprises(state, view);
    renderStarters(view);
    renderGallery(state, view);
    renderCoin(state, view);
    renderNumbers(state, view);
    renderControls(state, view);
    put(view.parts.status, "textContent", state.message);
    put(view.parts.whereabouts, "textContent", state.whereabouts);
    const isLoading = state.loading !== null;
    view.widget.classList.toggle("loading", isLoading);
    view.parts.progress.style.visibility = isLoading ? "visible" : "hidden";
    view.parts.progress.value = state.loading ?? 0;
  }

  function renderPaper(state, view, shown, latest) {
    const { blue, orange, purple, ink, paper: white, panel, line } = view.colours;
    const { paper } = view.parts;
    const open = `${solid(panel)}/${solid(line)}`;
    const drawn = [white, ink].map(solid);
    const yours = [mix(white, blue, 0.12), solid(blue)];
    const pen = eachCell(paper, (i) => {
      if (shown[i] < 0) return open;
      return (state.given[i] < 0 ? drawn : yours)[shown[i]];
    });
    if (latest !== null) outline(pen, latest, orange);
    if (state.pointed !== null) outline(pen, state.pointed, purple);
    if (document.activeElement === paper) outline(pen, state.cursor, orange, 4);
  }

  function renderHeat(state, view, shown, latest) {
    const { orange, purple, ink, paper: white, panel, line } = view.colours;
    const p = probabilities(state, view.drawing);
    const [none, dot] = [solid(panel), `/${solid(line)}`];
    const pen = eachCell(view.parts.heat, (i) => {
      const fill = p[i] < 0 ? none : mix(white, orange, p[i]);
      return shown[i] < 0 ? fill + dot : fill;
    });
    if (latest !== null) outline(pen, latest, ink);
    if (state.pointed !== null) outline(pen, state.pointed, purple);
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
    const { order } = view.drawing;
    const { ink, paper: white } = view.colours;
    if (isShown(view.parts.orderMap, order, ink)) return;
    const degrees = degreesFromOrder(order);
    eachCell(view.parts.orderMap, (i) => mix(white, ink, 0.08 + (0.92 * degrees[i]) / D), 4);
  }

  const last = new WeakMap();

  /** Whether a picture was last drawn from the same things. */
  function isShown(picture, ...things) {
    const same = things.every((thing, k) => thing === last.get(picture)?.[k]);
    last.set(picture, things);
    return same;
  }

  /** The bars of what was drawn since the last frame; all of them if the drawing, or what is pointed at, has changed. */
  function renderSurprises({ pointed }, view) {
    const { strip } = view.parts;
    const { steps } = view.drawing;
    const goesOn = isShown(strip, steps, pointed, view.colours) && view.bars <= steps.length;
    const pen = strip.getContext("2d");
    if (!goesOn) pen.clearRect(0, 0, strip.width, strip.height);
    for (let t = goesOn ? view.bars : 0; t < steps.length; t++) bar(pen, view.colours, t, steps[t], pointed);
    view.bars = steps.length;
  }

  /** A bar that is cut off has a dark end. */
  function bar(pen, { blue, purple, ink, line }, t, { variable, known, logProb }, pointed) {
    const full = pen.canvas.height;
    const height = Math.min(1, -logProb / TALLEST) * full;
    if (variable === pointed) {
      pen.fillStyle = solid(line);
      pen.fillRect(2 * t - 4, 0, 10, full);
    }
    pen.fillStyle = solid(known ? blue : purple);
    pen.fillRect(2 * t, full - height, 2, height);
    if (-logProb <= TALLEST) return;
    pen.fillStyle = solid(ink);
    pen.fillRect(2 * t - 1, 0, 4, 8);
  }

  /** Small pictures of several drawings, each a button that puts it on the paper. */
  function renderGallery(state, view) {
    const items = galleryOf(view);
    const { gallery, galleries } = view.parts;
    for (const [name, key] of Object.entries(galleries)) key.setAttribute("aria-pressed", name === state.gallery);
    if (!isShown(gallery, items)) {
      const picture = () => element("canvas", { width: SIDE * 3, height: SIDE * 3, "aria-hidden": "true" });
      const one = (item) => button("", () => act(view, () => take(view, item)), {}, picture(), element("span"));
      gallery.replaceChildren(...items.map(one));
    }
    items.forEach((item, k) => {
      const isOnPaper = ["seed", "mode"].every((name) => (item.changes[name] ?? state[name]) === state[name]);
      gallery.children[k].setAttribute("aria-pressed", isOnPaper);
      renderSmall(gallery.children[k], item, view.colours);
    });
    fillGallery(view);
  }

  function renderSmall(one, { label, drawn, failed }, { ink, paper: white, panel }) {
    const [small, words] = one.children;
    if (isShown(small, drawn, failed, ink)) return;
    const colours = [white, ink, panel].map(solid);
    eachCell(small, (i) => colours[drawn ? drawn.x[i] : 2], 3);
    const missing = failed ? "could not be loaded" : "\u2026";
    put(words, "textContent", `${label}: ${drawn ? nats(drawn.logProb) : missing}`);
    one.disabled = !drawn;
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
    if (isShown(starters, view.colours)) return;
    const colours = [view.colours.paper, view.colours.ink].map(solid);
    starters.querySelectorAll("canvas").forEach((small, k) => {
      eachCell(small, (i) => colours[network.starters[k][i]], 2);
    });
  }

  /** The toss of the pixel that is pointed at, or else of the last one. */
  function renderCoin({ pointed }, view) {
    const { steps, uniforms } = view.drawing;
    const { coinFill, coinMark, coinText } = view.parts;
    const step = steps.find(({ variable }) => variable === pointed) ?? steps.at(-1);
    coinFill.style.transform = `scaleX(${step ? step.p : 0})`;
    coinMark.style.left = `${100 * (step ? uniforms[step.variable] : 0)}%`;
    coinMark.hidden = !step || step.known;
    put(coinText, "textContent", step ? tossed(step, uniforms) : "A random number u decides: ink if u < p.");
  }

  function tossed({ variable, value, known, p, logProb }, uniforms) {
    const u = uniforms[variable];
    // as many digits as it takes to see which is the smaller
    const digits = [2, 3, 4, 5, 6, 7].find((n) => known || p.toFixed(n) !== u.toFixed(n)) ?? 8;
    const drawn = `random u = ${u.toFixed(digits)} ${value ? "< p: ink" : "\u2265 p: no ink"}`;
    const verdict = known ? `given: ${value ? "ink" : "no ink"}` : drawn;
    return `${place(variable)}: p = ${p.toFixed(digits)}, ${verdict}. Surprise ${(-logProb).toFixed(2)} nats`;
  }

  function renderNumbers(state, view) {
    const { timeline, timeText, total, shares } = view.parts;
    const { steps } = view.drawing;
    const t = steps.length;
    const { yours, networks } = scores(steps);
    put(timeline, "value", t);
    put(timeText, "textContent", `${t} of ${D}`);
    put(total, "textContent", `log p(${t === D ? "x" : `first ${t} pixels`}) = ${nats(yours + networks)}`);
    put(shares, "textContent", `(at temperature 1${comparison(state, t, yours, networks)})`);
  }

  /** What the reader's change costs, or the shares of what was given and what was drawn. */
  function comparison({ given, before }, t, yours, networks) {
    if (before !== null && t === D) {
      const change = yours + networks - before;
      return `; before your change ${short(before)}: it ${change < 0 ? "costs" : "saves"} ${nats(Math.abs(change))}`;
    }
    return knownCount(given) ? `; given ${short(yours)}, drawn ${short(networks)}` : "";
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
    put(parts.orderSays, "textContent", MODES[state.mode].says);
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
      ...severalAtOnce(view),
      progress: element("progress", { max: 1, "aria-label": "Loading the network" }),
      status: element("p", { className: "status", role: "status" }),
      whereabouts: element("p", { className: "unseen", "aria-live": "polite" }),
      coinFill: element("i"),
      coinMark: element("b"),
      coinText: element("span"),
      ...scoreParts(),
    };
  }

  function scoreParts() {
    const [total, shares] = [element("strong"), element("span")];
    return { total, shares, score: element("p", {}, total, " ", shares) };
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
      coin: div("coin"),
      choices: div("settings"),
      own: div("hand"),
      gallery: element("div", { className: "gallery" }),
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
      hide: button("Hide a half", () => act(view, () => hideHalf(view)), {
        title: "erase the upper half; the network for any order expects what is missing",
      }),
      save: button("Save picture", () => save(view)),
      play: button("Play", () => (view.state.playing ? pause(view) : play(view))),
      step: button("Step", () => goTo(view, view.state.t + 1)),
      again: button("Again", () => again(view), { title: "the same seed once more" }),
      timeline: slider(0, D, 1, (t) => goTo(view, t)),
      timeText: readout(),
    };
  }

  /** Which small pictures are shown; pressed once more, none. */
  function severalAtOnce(view) {
    const choose = (name) =>
      act(view, () => {
        const { gallery, seed } = view.state;
        update(view, { gallery: gallery === name ? "none" : name, base: seed, playing: false });
      });
    return {
      galleries: {
        more: button("Six more", () => choose("more"), { title: "the same, with the next six seeds" }),
        orders: button("Every order", () => choose("orders"), { title: "the same random numbers, in every order" }),
      },
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
      orderSays: element("p", { className: "note" }),
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

  const div = (className, ...children) => element("div", { className }, ...children);

  function filled(box, ...children) {
    box.append(...children);
    return box;
  }

  /** The widget: all parts in their places. */
  function widgetOf(parts) {
    return element(
      "section",
      { className: "live-made play", "aria-label": "Live MADE" },
      div(
        "bar",
        group("Draw", parts.draw, parts.hide, parts.complete),
        group("Playback", parts.play, parts.step, parts.again),
      ),
      parts.status,
      parts.progress,
      parts.whereabouts,
      filled(parts.coin, parts.coinText, div("track", parts.coinFill, parts.coinMark)),
      ...paperOf(parts),
      filled(
        parts.choices,
        figure(parts.orderMap, legend("legend order", "first", "last")),
        div("", field("Order", "", parts.order), parts.orderSays, field("Seed", "", parts.seed)),
        div("", field("Speed", parts.speedText, parts.speed), field("Temperature", parts.warmthText, parts.warmth)),
      ),
      filled(parts.own, parts.rowsControl, parts.hideControls, parts.starters),
    );
  }

  /** The pictures, and the numbers that belong to them. */
  function paperOf(parts) {
    const keys = Object.entries(parts.tools).map(([name, radio]) =>
      element("label", {}, radio, element("span", {}, name)),
    );
    const about = { className: "group", role: "radiogroup", "aria-label": "Tool" };
    const tools = element("div", about, ...keys, parts.clear);
    const height = `Surprise of each pixel, \u2212log p, up to ${TALLEST} nats (with a cap: more).`;
    return [
      div(
        "views",
        figure(parts.paper, tools),
        figure(
          parts.heat,
          element("p", {}, "probability of ink, given what came before: ", legend("legend", "0", "1")),
          group("Back and forth", parts.undo, parts.redo, parts.reset, parts.save),
        ),
      ),
      group("Several at once", element("span", {}, "Several at once"), ...Object.values(parts.galleries)),
      parts.gallery,
      parts.score,
      parts.strip,
      element("p", { className: "note" }, `${height} All bars together make \u2212log p(x).`),
      field("Pixel", parts.timeText, parts.timeline),
    ];
  }

  /** The recorded drawing plays at once, and its network is loaded behind it. */
  function comeAlive(view) {
    if (view.state.t > 0 || view.state.playing || knownCount(view.state.given)) return; // the reader was faster
    if (made.recording) play(view);
    loadBehind(view);
  }

  let mounts = 0;

  function mount(paragraph) {
    const view = { id: `live-made${mounts++}`, state: START };
    if (made.isPageOf(paragraph)) {
      view.trail = made.trail({ write: () => addressOf(view.state), restore: (text) => restore(view, text) });
    }
    view.parts = partsOf(view);
    const { paper, heat, strip, coin, score, status, choices, gallery, own } = view.parts;
    view.parts.lit = { paper, heat, strip, coin, score, status, choices, gallery, own };
    view.widget = widgetOf(view.parts);
    listenToPointer(view, view.parts.paper);
    listenToKeys(view, view.parts.paper);
    listenToPointing(view);
    paragraph.replaceWith(view.widget);
    inColours(view.widget, (colours) => {
      view.colours = colours;
      render(view.state, view);
    });
    if (view.trail) {
      made.listenToUndo(view.trail);
      view.widget.prepend(...guideOf(view));
      view.trail.begin();
      if (view.trail.address()) restore(view, view.trail.address());
    }
    if (!view.trail?.address()) whenSeen(view.parts.paper, () => comeAlive(view));
    return view;
  }

  window.liveMade = { mount, update, addressOf, changesOf };

  made.replacePicture("live_made", mount);
}
