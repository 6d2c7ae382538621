/* Guess the pixels: the reader and a network bet on the same pixels of an image, and pay in nats.

   The images are in guess_digits.js, the network in networks.js, canvases and elements in paper.js. In this file: the
   rule that says which pixels are asked; the state, plain values, and what changes it; what bets cost; render(state,
   view), which draws everything from the state; and the elements, which take the place of guess_the_pixels.png. */
"use strict";

{
  const { range, naturalOrder } = made;
  const { arrived, load, begin, advance, sigmoid, logBernoulli } = made.networks;
  const { SIDE, D, CELL, place, mix, solid, eachCell, outline, cellAt, inColours, put } = made.paper;
  const { element, button, slider, canvas, readout, group, field } = made.paper;

  const KEYS = [2, 20, 50, 80, 98]; // percent: neither 0 nor 100, which may cost infinitely much
  const ASKED = 24; // pixels of an image
  const NETWORK = "pixelcnn";
  const TALLEST = 4; // nats, the height of a bar

  // ---- the images, and which pixels are asked ------------------------------------------------------------------------

  /** The 0s and 1s of an image: eight pixels a byte, the first one highest. */
  function unpacked(text) {
    const bytes = atob(text);
    return range(D).map((i) => (bytes.charCodeAt(i >> 3) >> (7 - (i & 7))) & 1);
  }

  /** The pixels whose neighbours on the left and above differ: one is ink, the other is not. Outside is no ink. */
  function atEdges(x) {
    return range(D).filter((i) => (i % SIDE === 0 ? 0 : x[i - 1]) !== (i < SIDE ? 0 : x[i - SIDE]));
  }

  /** As many of them as a game has, evenly spread. */
  function askedOf(x) {
    const edges = atEdges(x);
    return range(ASKED).map((k) => edges[Math.floor(((k + 0.5) * edges.length) / ASKED)]);
  }

  // ---- the state, and what changes it --------------------------------------------------------------------------------

  const START = {
    image: 1,
    bets: [], // which key the reader has pressed, pixel by pixel
    theirs: null, // the bets of who has sent the link
    again: false, // whether the reader has seen pixels of this image in an earlier game
    pointed: null, // which of the pixels bet on is looked at; null: the last one
    network: "loading", // or "there" or "missing"
    copied: "",
  };
  const isOver = ({ bets }) => bets.length === ASKED;
  const images = () => made.digits.images;

  function addressOf({ image, bets, theirs, again }) {
    const address = new URLSearchParams({ image, bets: bets.join("") });
    if (theirs) address.set("theirs", theirs.join(""));
    if (again) address.set("again", "1");
    return address.toString();
  }

  /** The state of an address; of a malformed one, the beginning. A finished game that comes by a link is to be beaten. */
  function stateOf(text, isLink) {
    const address = new URLSearchParams(text);
    const betsIn = (name) => {
      const found = address.get(name) ?? "";
      return /^[0-4]*$/.test(found) && found.length <= ASKED ? [...found].map(Number) : null;
    };
    const image = /^\d+$/.test(address.get("image")) ? Number(address.get("image")) : 0;
    const [bets, theirs] = [betsIn("bets"), betsIn("theirs")];
    if (image < 1 || image > images().length || !bets || !theirs) return START;
    const challenge = theirs.length === ASKED ? theirs : null;
    if (isLink && bets.length === ASKED) return { ...START, image, theirs: bets };
    return { ...START, image, bets, theirs: challenge, again: address.get("again") === "1" };
  }

  function update(view, changes) {
    const hadFocus = view.widget.contains(document.activeElement);
    view.state = { ...view.state, ...changes };
    view.trail?.follow();
    render(view.state, view);
    // What had the focus may be hidden now.
    if (!hadFocus || document.activeElement?.checkVisibility()) return;
    (isOver(view.state) ? view.parts.results : view.widget).focus({ preventScroll: true });
  }

  function restore(view, text, isLink) {
    const { network } = view.state;
    update(view, { ...stateOf(text, isLink), network });
  }

  /** A bet stands: it is no step that can be undone. */
  function bet(view, key) {
    const { bets } = view.state;
    if (!isOver(view.state)) update(view, { bets: [...bets, key], pointed: null, copied: "" });
  }

  /** Another game is a step: Undo leads back to the one before, as it was. */
  function newGame(view, changes) {
    const { network } = view.state;
    const change = () => update(view, { ...START, network, ...changes });
    if (view.trail) view.trail.step(change);
    else change();
    render(view.state, view);
    fetchNetwork(view);
  }

  const nextImage = (view) => newGame(view, { image: (view.state.image % images().length) + 1 });

  function startAgain(view) {
    const { image, theirs, again, bets } = view.state;
    newGame(view, { image, theirs, again: again || bets.length > 0 });
  }

  function fetchNetwork(view) {
    if (view.state.network === "there") return;
    load(NETWORK).then(
      () => {
        update(view, { network: "there" });
        readAhead(view.game, view);
      },
      () => update(view, { network: "missing" }),
    );
  }

  // ---- what it costs -------------------------------------------------------------------------------------------------

  const costOf = (percent, value) => -Math.log((value ? percent : 100 - percent) / 100);
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const meanOf = (costs) => sum(costs) / costs.length;
  const bitsPerPixel = (costs) => meanOf(costs) / Math.LN2;

  /** The game of a state: the image, the pixels that are asked, and the network's walk, which goes forward only. */
  function gameOf({ image }, view) {
    if (view.game?.image !== image) {
      const x = unpacked(images()[image - 1]);
      view.game = { image, x, asked: askedOf(x), walk: null, logits: [] };
      readAhead(view.game, view);
    }
    return view.game;
  }

  /** One pixel on. The logit of a pixel that is asked is read before the pixel is known. */
  function readOn(game) {
    game.walk ??= begin(arrived[NETWORK], naturalOrder(D));
    const { x, asked, logits, walk } = game;
    const pixel = asked[logits.length];
    if (walk.t < pixel) advance(walk, x[walk.t]);
    else logits.push(walk.logits[pixel]);
  }

  /** The network reads on while the reader thinks, so that a bet need not wait for it. */
  function readAhead(game, view) {
    if (!arrived[NETWORK] || view.game !== game || game.logits.length === ASKED) return;
    readOn(game);
    window.requestIdleCallback?.(() => readAhead(game, view));
  }

  /** The network's logits of the first n pixels asked; null without a network. */
  function logitsOf(game, n) {
    if (!arrived[NETWORK]) return null;
    while (game.logits.length < n) readOn(game);
    return game.logits.slice(0, n);
  }

  /** The key that costs least, as far as who believes in p can tell. */
  function nearestKey(p) {
    const expected = (percent) => p * costOf(percent, 1) + (1 - p) * costOf(percent, 0);
    return KEYS.reduce((best, percent) => (expected(percent) < expected(best) ? percent : best));
  }

  /** What each player has paid for the pixels bet on so far: [{name, costs, p}], the reader first. */
  function playersOf(state, game) {
    const { bets, theirs } = state;
    const values = bets.map((_, k) => game.x[game.asked[k]]);
    const player = (name, p) => ({ name, p, costs: p.map((percent, k) => costOf(percent, values[k])) });
    const always = (percent) => player(`always ${Math.round(percent)} %`, Array(bets.length).fill(percent));
    const players = [
      player(
        "you",
        bets.map((key) => KEYS[key]),
      ),
    ];
    const logits = logitsOf(game, bets.length);
    if (logits) {
      const p = logits.map(sigmoid);
      const costs = logits.map((logit, k) => -logBernoulli(logit, values[k]));
      players.push({ name: "the network", p: p.map((share) => 100 * share), costs });
      players.push(player("the network with your keys", p.map(nearestKey)));
    }
    if (theirs) {
      const p = theirs.slice(0, bets.length).map((key) => KEYS[key]);
      players.push(player("who sent the link", p));
    }
    return [...players, always(50), always(100 * made.digits.share)];
  }

  // ---- words ---------------------------------------------------------------------------------------------------------

  const inkWord = (value) => (value ? "ink" : "no ink");
  const percents = (value) => `${value < 1 || value > 99 ? value.toFixed(1) : Math.round(value)}\u00a0%`;
  const two = (value) => value.toFixed(2);

  /** In which columns of a row there is ink, up to a column. */
  function inkIn(x, row, end) {
    const isInk = (c) => c >= 0 && c < end && x[row * SIDE + c] === 1;
    const firsts = range(end).filter((c) => isInk(c) && !isInk(c - 1));
    const runs = firsts.map((first) => {
      let last = first;
      while (isInk(last + 1)) last += 1;
      return last === first ? `${first + 1}` : `${first + 1} to ${last + 1}`;
    });
    return runs.length ? `ink in columns ${runs.join(", ")}` : "no ink";
  }

  /** For who cannot see the paper: what is around the pixel that is asked. */
  function surroundings(x, pixel) {
    const [row, column] = [Math.floor(pixel / SIDE), pixel % SIDE];
    const left = column > 0 && x[pixel - 1] ? "ink" : "no ink";
    const above = row > 0 && x[pixel - SIDE] ? "ink" : "no ink";
    const rows = [3, 2, 1].filter((up) => row >= up).map((up) => `${up} above: ${inkIn(x, row - up, SIDE)}`);
    return `Left: ${left}. Above: ${above}. This row so far: ${inkIn(x, row, column)}. Rows ${rows.join("; ")}.`;
  }

  /** What came of one bet. */
  function outcome(k, game, players) {
    const pixel = game.asked[k];
    const said = (who, { p, costs }) => `${who} said ${percents(p[k])} and paid ${two(costs[k])}`;
    const network = players.find(({ name }) => name === "the network");
    const sender = players.find(({ name }) => name === "who sent the link");
    const parts = [
      said("You", players[0]),
      network && said("the network", network),
      sender && said("the sender", sender),
    ];
    const text = `Pixel ${k + 1}, ${place(pixel)}: ${inkWord(game.x[pixel])}.`;
    return `${text} ${parts.filter(Boolean).join("; ")} nats.`;
  }

  /** The difference to the network, and how sure it is: pixel by pixel, since both paid for the same ones. */
  function difference(yours, its) {
    const each = yours.map((cost, k) => (cost - its[k]) / Math.LN2);
    const mean = sum(each) / ASKED;
    const error = Math.sqrt(sum(each.map((d) => (d - mean) ** 2)) / (ASKED - 1) / ASKED);
    const verdict =
      Math.abs(mean) < 2 * error ? "too little to tell who is the better player" : "more than twice that error";
    return `The difference is ${two(Math.abs(mean))} bits per pixel, with a standard error of ${two(error)}: ${verdict}.`;
  }

  function calibration(bets, values) {
    const used = KEYS.map((percent, key) => [percent, values.filter((_, k) => bets[k] === key)]);
    const said = used.filter(([, came]) => came.length);
    const parts = said.map(([percent, came]) => `${percent}\u00a0%: ink in ${sum(came)} of ${came.length}`);
    return `What you called 80\u00a0% should be ink about 8 times in 10. You said ${parts.join("; ")}.`;
  }

  // ---- everything on the page, from a state --------------------------------------------------------------------------

  function render(state, view) {
    const game = gameOf(state, view);
    const players = playersOf(state, game);
    const last = state.bets.length - 1;
    const looked = Math.min(state.pointed ?? last, last);
    renderPaper(state, view, looked);
    renderBars(view, players, looked);
    renderQuestion(state, view);
    renderStatus(state, view, players, looked);
    renderControls(state, view, looked);
    view.parts.results.hidden = !isOver(state);
    if (isOver(state)) renderResults(state, view, players);
  }

  /** What is given is blue; what was bet on, ink or white; what is not known yet, a dot. */
  function renderPaper({ bets }, view, looked) {
    const { blue, orange, purple, ink, paper: white, panel, line } = view.colours;
    const { x, asked } = view.game;
    const next = bets.length < ASKED ? asked[bets.length] : D;
    const isBetOn = new Set(asked.slice(0, bets.length));
    const given = [mix(white, blue, 0.12), solid(blue)];
    const answered = [white, ink].map(solid);
    const open = `${solid(panel)}/${solid(line)}`;
    const pen = eachCell(view.parts.paper, (i) => {
      if (i >= next) return open;
      return (isBetOn.has(i) ? answered : given)[x[i]];
    });
    if (looked >= 0) outline(pen, asked[looked], purple);
    if (next < D) outline(pen, next, orange, 6);
    const how = next < D ? `the image as far as ${place(next)}` : "the whole image";
    put(view.parts.paper, "ariaLabel", `Paper: ${how}`);
  }

  /** A pair of bars for each pixel: what the reader paid upwards, what the network paid downwards. */
  function renderBars(view, players, looked) {
    const { bars } = view.parts;
    const { purple, ink, line } = view.colours;
    const pen = bars.getContext("2d");
    const [width, middle] = [bars.width / ASKED, bars.height / 2];
    const fill = (colour, ...box) => {
      pen.fillStyle = solid(colour);
      pen.fillRect(...box);
    };
    pen.clearRect(0, 0, bars.width, bars.height);
    if (looked >= 0) fill(line, looked * width, 0, width, bars.height);
    const coin = (Math.LN2 / TALLEST) * middle;
    for (const y of [middle - coin, middle + coin]) fill(line, 0, y - 1, bars.width, 2);
    const costs = [players[0].costs, players.find(({ name }) => name === "the network")?.costs ?? []];
    costs.forEach((all, who) => {
      all.forEach((cost, k) => {
        const height = (Math.min(cost, TALLEST) / TALLEST) * middle;
        const left = k * width + width / 5;
        fill(purple, left, who === 0 ? middle - height : middle, (width * 3) / 5, height);
        if (cost > TALLEST) fill(ink, left, who === 0 ? 0 : bars.height - 6, (width * 3) / 5, 6);
      });
    });
    fill(ink, 0, middle - 1, bars.width, 2);
  }

  function renderQuestion(state, view) {
    const { headline, about, asking } = view.parts;
    const { x, asked } = view.game;
    const n = state.bets.length;
    asking.hidden = isOver(state);
    const [image, pixel] = [`Image ${state.image} of ${images().length}`, `pixel ${n + 1} of ${ASKED}`];
    put(headline, "textContent", isOver(state) ? image : `${image}, ${pixel}: how probable is ink?`);
    const next = () => `Next: ${pixel}, ${place(asked[n])}. ${surroundings(x, asked[n])}`;
    put(about, "textContent", isOver(state) ? "" : next());
  }

  function renderStatus(state, view, players, looked) {
    const { status, score, challenge } = view.parts;
    const first =
      "Choose a probability, or press 1 to 5. Each key says what it costs in nats: \u25a0 if the pixel is ink, \u25a1 if not.";
    put(status, "textContent", looked < 0 ? first : outcome(looked, view.game, players));
    const network = players.find(({ name }) => name === "the network");
    const both = (costs, unit) => `${two(bitsPerPixel(costs))}${unit("bits")} (${two(meanOf(costs))}${unit("nats")})`;
    const its = {
      loading: "the network is still loading",
      missing: "the network could not be loaded, so its score is missing",
      there: network && `the network ${both(network.costs, () => "")}`,
    };
    const so = `So far, per pixel: you ${both(players[0].costs, (unit) => ` ${unit}`)}; ${its[state.network]}.`;
    put(score, "textContent", looked < 0 ? "" : so);
    score.hidden = isOver(state);
    challenge.hidden = !state.theirs;
    put(challenge, "textContent", state.theirs ? challengeOf(state, view.game) : "");
  }

  function challengeOf({ theirs }, game) {
    const bits = bitsPerPixel(theirs.map((key, k) => costOf(KEYS[key], game.x[game.asked[k]])));
    return `Who sent this link paid ${two(bits)} bits per pixel for this image. Can you pay less?`;
  }

  function renderControls(state, view, looked) {
    const { look, lookText, again, next, undo } = view.parts;
    const n = state.bets.length;
    look.disabled = n === 0;
    look.max = Math.max(1, n);
    look.value = looked + 1;
    put(lookText, "textContent", n ? `${looked + 1} of ${n}` : "none yet");
    again.disabled = n === 0;
    undo.disabled = !view.trail?.canUndo();
    next.classList.toggle("primary", isOver(state));
  }

  function renderResults(state, view, players) {
    const { x, asked } = view.game;
    const { verdict, table, more, link, linkSays } = view.parts;
    const [you, network] = [players[0], players.find(({ name }) => name === "the network")];
    const its = network ? `the network ${two(bitsPerPixel(network.costs))}` : "the network's score is missing";
    put(verdict, "textContent", `You paid ${two(bitsPerPixel(you.costs))} bits per pixel; ${its}.`);
    const sorted = players.toSorted((a, b) => sum(a.costs) - sum(b.costs));
    const row = ({ name, costs }) =>
      element(
        "tr",
        { className: name === "you" ? "you" : "" },
        element("th", { scope: "row" }, name),
        ...[bitsPerPixel(costs), sum(costs)].map((number) => element("td", {}, two(number))),
      );
    table.replaceChildren(...sorted.map(row));
    const most = you.costs.indexOf(Math.max(...you.costs));
    const words = [
      network && difference(you.costs, network.costs),
      `Pixel ${most + 1} cost you most: ${two(you.costs[most])} nats.`,
      calibration(
        state.bets,
        asked.map((pixel) => x[pixel]),
      ),
      state.again && "You had seen pixels of this image before, so your score also says how well you remember.",
    ];
    put(more, "textContent", words.filter(Boolean).join(" "));
    put(link, "value", linkOf(state));
    put(linkSays, "textContent", state.copied);
  }

  function linkOf({ image, bets }) {
    return `${location.href.split("#")[0]}#${addressOf({ image, bets })}`;
  }

  // ---- the elements ----------------------------------------------------------------------------------------------------

  async function copyLink(view) {
    const { link } = view.parts;
    link.select();
    try {
      await navigator.clipboard.writeText(link.value);
      update(view, { copied: "Copied." });
    } catch {
      update(view, { copied: "Selected: copy it with Ctrl+C." });
    }
  }

  function partsOf(view) {
    const status = element("span", { className: "outcome" });
    const about = element("span", { className: "unseen" });
    return {
      headline: element("p", { className: "headline" }),
      paper: Object.assign(canvas(SIDE * CELL, SIDE * CELL, "Paper"), { className: "paper" }),
      bars: canvas(ASKED * 40, 240, "What you and the network paid for each pixel, in nats"),
      status,
      about,
      said: element("p", { role: "status", className: "said" }, status, " ", about),
      asking: element("div", { className: "asking" }, keysOf(view)),
      score: element("p", { className: "score" }),
      challenge: element("p", { className: "challenge" }),
      next: button("Next image", () => nextImage(view)),
      again: button("Start again", () => startAgain(view)),
      undo: button("Undo", () => view.trail.undo(), { title: "back to the game before; bets stand" }),
      look: slider(1, 1, 1, (n) => update(view, { pointed: n - 1 })),
      lookText: readout(),
      ...resultsOf(view),
    };
  }

  function keysOf(view) {
    const small = (percent, value) =>
      element(
        "small",
        {},
        element("span", { className: "unseen" }, value ? "if ink" : "if not"),
        element("span", { ariaHidden: "true" }, value ? "\u25a0" : "\u25a1"),
        ` ${two(costOf(percent, value))}`,
      );
    const key = (percent, n) =>
      button(
        "",
        ({ detail }) => detail > 1 || bet(view, n), // a double click is one bet
        { "aria-keyshortcuts": `${n + 1}`, title: `key ${n + 1}` },
        element("b", {}, `${percent}\u00a0%`),
        " ",
        small(percent, 1),
        " ",
        small(percent, 0),
      );
    return element("div", { className: "keys", role: "group", "aria-label": "Probability of ink" }, ...KEYS.map(key));
  }

  function resultsOf(view) {
    const verdict = element("p", { className: "verdict" });
    const table = element("tbody");
    const more = element("p", { className: "more" });
    const link = element("input", { type: "text", readOnly: true, "aria-label": "Link to this game" });
    const disk =
      location.protocol === "file:" ? " Opened from disk as it is, the page has an address on this computer only." : "";
    const linkSays = element("span", { role: "status" });
    const heads = ["", "bits per pixel", "nats"].map((text) =>
      element(text ? "th" : "td", text ? { scope: "col" } : {}, text),
    );
    const share = group(
      "Share",
      link,
      button("Copy link", () => copyLink(view)),
      linkSays,
    );
    const results = element(
      "section",
      { className: "results", tabIndex: -1, "aria-label": "Result" },
      verdict,
      element("table", {}, element("thead", {}, element("tr", {}, ...heads)), table),
      more,
      element(
        "p",
        { className: "note" },
        `Who opens this link sees your score, and plays before seeing the pixels.${disk}`,
      ),
      share,
    );
    return { results, verdict, table, more, link, linkSays };
  }

  /** What the colours of the paper mean. */
  function meaningsOfColours() {
    const meanings = {
      given: "ink that is given",
      bet: "you bet on it: ink",
      blank: "no ink",
      asked: "asked next",
      looked: "looked at",
    };
    const parts = Object.entries(meanings).map(([name, words]) =>
      element("span", {}, element("i", { className: name }), ` ${words}`),
    );
    return element("p", { className: "note colours", ariaHidden: "true" }, ...parts);
  }

  function widgetOf(parts) {
    const height = `What each pixel cost, up to ${TALLEST} nats (with a cap: more). The grey lines: a fair coin, ln 2.`;
    const who = ["you", "network"].map((name) => element("span", {}, name));
    const side = element(
      "div",
      { className: "side" },
      parts.challenge,
      parts.asking,
      parts.said,
      parts.score,
      parts.results,
      group("Game", parts.next, parts.again, parts.undo),
      meaningsOfColours(),
    );
    const left = element("div", { className: "left" }, parts.headline, parts.paper);
    return element(
      "section",
      { className: "guess play", tabIndex: -1, "aria-label": "Guess the pixels" },
      element("div", { className: "views" }, left, side),
      element("div", { className: "pairs" }, element("div", { ariaHidden: "true" }, ...who), parts.bars),
      element("p", { className: "note" }, height),
      field("Look back at pixel", parts.lookText, parts.look),
    );
  }

  /** Keys 1 to 5 bet while the game has the focus, or nothing has. */
  function listenToKeys(view) {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
      if (event.target !== document.body && !view.widget.contains(event.target)) return;
      if (event.key >= "1" && event.key <= `${KEYS.length}` && event.key.length === 1) bet(view, Number(event.key) - 1);
    });
  }

  /** A pixel and its bars highlight each other. */
  function listenToPointing(view) {
    const { bars, paper } = view.parts;
    const point = (k) => k >= 0 && k < view.state.bets.length && update(view, { pointed: k });
    bars.addEventListener("pointermove", ({ clientX }) => {
      const box = bars.getBoundingClientRect();
      point(Math.floor(((clientX - box.left) / box.width) * ASKED));
    });
    paper.addEventListener("pointermove", (event) => point(view.game.asked.indexOf(cellAt(paper, event))));
    for (const picture of [bars, paper]) {
      picture.addEventListener("pointerleave", () => update(view, { pointed: null }));
    }
  }

  function mount(paragraph) {
    const view = { state: START };
    const isLink = performance.getEntriesByType("navigation")[0]?.type === "navigate"; // and no reload
    if (made.isPageOf(paragraph)) {
      view.trail = made.trail({ write: () => addressOf(view.state), restore: (...to) => restore(view, ...to) });
    }
    view.parts = partsOf(view);
    view.widget = widgetOf(view.parts);
    listenToKeys(view);
    listenToPointing(view);
    paragraph.replaceWith(view.widget);
    inColours(view.widget, (colours) => {
      view.colours = colours;
      render(view.state, view);
    });
    if (view.trail) {
      made.listenToUndo(view.trail);
      view.trail.begin();
      if (view.trail.address()) update(view, stateOf(view.trail.address(), isLink));
    }
    fetchNetwork(view);
    return view;
  }

  made.guess = { KEYS, askedOf, unpacked, stateOf, addressOf };
  made.replacePicture("guess_the_pixels", mount);
}
