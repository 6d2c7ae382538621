/* What test_play.py and test_walk.py in tests/book ask of an interactive page, in `window.walk`. It runs before the page's own scripts. */
/* oxlint-disable no-await-in-loop */
"use strict";

{
  const walk = { views: [], widget: null };
  window.walk = walk;

  // ---- what still goes on --------------------------------------------------------------------------------------------

  const LONGEST = 3000; // milliseconds: a timer that waits longer is not waited for
  const timers = new Set();
  const [begin, stop] = [window.setTimeout, window.clearTimeout];
  window.setTimeout = (action, delay = 0, ...more) => {
    const fire = () => {
      timers.delete(id);
      action(...more);
    };
    const id = begin(fire, delay);
    if (delay <= LONGEST) timers.add(id);
    return id;
  };
  window.clearTimeout = (id) => {
    timers.delete(id);
    stop(id);
  };

  /** Scripts on their way: networks come as scripts. */
  const scripts = new Set();
  new MutationObserver((changes) => {
    for (const node of changes.flatMap(({ addedNodes }) => [...addedNodes])) {
      if (!node.src || node.localName !== "script") continue;
      scripts.add(node);
      for (const end of ["load", "error"]) node.addEventListener(end, () => scripts.delete(node));
    }
  }).observe(document, { childList: true, subtree: true });

  /** The views that pages mount, by way of made.replacePicture, are kept. */
  let made;
  const keep = (mount) => (paragraph) => walk.views.push(mount(paragraph));
  Object.defineProperty(window, "made", {
    get: () => made,
    set: (value) => {
      const { replacePicture } = value;
      value.replacePicture = (name, mount) => replacePicture(name, keep(mount));
      made = value;
    },
  });

  const frame = () => new Promise((done) => requestAnimationFrame(done));

  /** A transition of something on the screen: what the browser does not draw, it does not finish. */
  const isSeenToMove = (a) => {
    if (!(a instanceof CSSTransition)) return false;
    const { top, bottom } = a.effect.target.getBoundingClientRect();
    return a.effect.target.checkVisibility({ contentVisibilityAuto: true }) && bottom > 0 && top < innerHeight;
  };

  /** Two frames on: what was done has been drawn, and what glides, as on resizing, has arrived. */
  walk.rest = async () => {
    await frame();
    await frame();
    const arrived = document.getAnimations().filter(isSeenToMove);
    const late = new Promise((done) => begin(done, 1000));
    await Promise.race([late, Promise.allSettled(arrived.map(({ finished }) => finished))]);
  };

  /** Nothing loads, and no timer will change the page or its address. */
  walk.isCalm = () => timers.size === 0 && scripts.size === 0 && walk.views.every((view) => isStill(view ?? {}));

  const isStill = ({ state = {}, filling }) =>
    !state.playing && !filling && (state.loading ?? null) === null && state.network !== "loading";

  walk.place = () => history.state?.place ?? 0;

  // ---- controls -------------------------------------------------------------------------------------------------------

  const CONTROLS = "button, input, select, textarea, summary, a[href], canvas, svg, [tabindex], [role=button]";

  const roots = () => [...document.querySelectorAll(walk.widget)];
  const isThere = (e) =>
    e.checkVisibility({ visibilityProperty: true }) && !e.disabled && e.getBoundingClientRect().width > 0;

  function kindOf(e) {
    const link = e.closest("a[href]");
    if (link) return link.getAttribute("href").startsWith("#") ? "link" : "elsewhere";
    if (e.matches("input")) return e.type;
    if (e.matches("canvas, svg, [role=application]")) return "surface";
    return e.matches("g, path, [role=button]:not(button)") ? "unit" : e.localName;
  }

  const clean = (text) => (text ?? "").trim().replace(/\s+/g, " ").slice(0, 50);
  const nameOf = (e) =>
    clean(e.getAttribute("aria-label")) ||
    clean(e.labels?.[0]?.textContent) ||
    clean(e.textContent) ||
    e.className.baseVal ||
    e.className ||
    e.localName;

  /** What the reader could use now: [[kind, name], ...]. */
  walk.controls = () => {
    walk.found = roots().flatMap((root) => [...root.querySelectorAll(CONTROLS)].filter(isThere));
    walk.found = walk.found.filter((e) => kindOf(e) !== "elsewhere");
    return walk.found.map((e) => [kindOf(e), nameOf(e)]);
  };

  /** Where to click: a control that is drawn by its label is as large as the label. */
  const face = (e) => (e.matches("[type=radio], [type=checkbox]") && e.labels?.[0]) || e;

  /** What lies over the middle of a control, if anything does. */
  function over(target, control) {
    const { x, y, width, height } = target.getBoundingClientRect();
    const hit = document.elementFromPoint(x + width / 2, y + height / 2);
    const isHit = !hit || target.contains(hit) || hit.contains(target) || control.matches("path, g, svg");
    return isHit ? null : hit.outerHTML.slice(0, 120);
  }

  /** Bring a control into view; its box, and what lies over it wherever the page is scrolled to, if anything does. */
  walk.aim = async (n) => {
    const control = walk.found[n];
    const target = face(control);
    await walk.stands(); // a key pressed before may scroll on
    for (const block of ["center", "end", "start"]) {
      target.scrollIntoView({ block, inline: "nearest", behavior: "instant" });
      await frame();
      if (!over(target, control)) break;
    }
    const { x, y, width, height } = target.getBoundingClientRect();
    return { x, y, width, height, over: over(target, control) };
  };

  // ---- what is shown --------------------------------------------------------------------------------------------------

  const hash = (text) => [...text].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) | 0, 7);

  function lookOf(e) {
    const words = [...e.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.textContent);
    const more = [];
    if (e.matches("input, select, textarea")) more.push(`value ${e.value}`, `checked ${e.checked}`);
    if (e.matches("button, input, select")) more.push(`disabled ${e.disabled}`);
    if (e.matches("canvas")) more.push(`pixels ${hash(e.toDataURL())}`);
    for (const name of ["aria-pressed", "aria-label"]) if (e.hasAttribute(name)) more.push(e.getAttribute(name));
    const line = [...more, clean(words.join(" "))].filter(Boolean).join(", ");
    return line && `${e.localName}: ${line}`;
  }

  /** A line for every element that shows something, without those that match `except`. */
  walk.look = (except) =>
    roots().flatMap((root) =>
      [...root.querySelectorAll("*")]
        .filter((e) => e.checkVisibility() && !(except && e.closest(except)))
        .map(lookOf)
        .filter(Boolean),
    );

  // ---- keys, zoom, motion ---------------------------------------------------------------------------------------------

  /** What Tab must reach in the n-th part: of radio buttons, one of each group. */
  walk.tabbable = (n) => {
    const isFirst = (e) => {
      const group = [...roots()[n].querySelectorAll(`[name="${e.name}"]`)];
      return e === (group.find(({ checked }) => checked) ?? group[0]);
    };
    const all = [...roots()[n].querySelectorAll(CONTROLS)].filter(isThere);
    const isMeant = (e) => e.tabIndex >= 0 || e.matches("button, input, select, textarea, summary");
    walk.found = all.filter((e) => isMeant(e) && !(e.type === "radio" && !isFirst(e)));
    return walk.found.map((e) => `${kindOf(e)} ${nameOf(e)}`);
  };

  /** Where the focus is: the number of the control, -1 elsewhere in the widget, null outside of it. */
  walk.at = () => {
    const e = document.activeElement;
    return e.closest(walk.widget) ? walk.found.indexOf(e) : null;
  };

  const LOOKS = ["boxShadow", "borderColor", "strokeWidth", "stroke", "visibility", "opacity"];

  /** Whether one sees that an element has the focus: it looks otherwise than without. */
  walk.isFocusSeen = () => {
    const e = document.activeElement;
    const parts = [e, face(e), e.nextElementSibling, ...e.children].filter(Boolean);
    const look = () =>
      parts.map((part) => {
        const style = getComputedStyle(part);
        const outline = style.outlineStyle === "none" ? "" : style.outline;
        const picture = part.matches("canvas") ? hash(part.toDataURL()) : "";
        return [outline, ...LOOKS.map((name) => style[name]), picture].join();
      });
    const focused = look().join("|");
    e.blur();
    const blurred = look().join("|");
    e.focus({ focusVisible: true, preventScroll: true });
    return focused !== blurred;
  };

  /** What lies over the element that has the focus. */
  walk.overFocus = () => over(face(document.activeElement), document.activeElement);

  /** Texts and controls that are cut off, or stand beside the page. */
  walk.cut = () => {
    const width = document.documentElement.clientWidth;
    const scrolls = (e) => e.closest(".mx-box, [style*='overflow']") !== null; // scrolls in a box of its own
    return roots().flatMap((root) =>
      [...root.querySelectorAll("*")]
        .filter(
          (e) => e.checkVisibility({ visibilityProperty: true }) && !scrolls(e) && !e.closest("svg, .unseen, .sr-only"),
        )
        .filter((e) => {
          const { left, right, width: own } = e.getBoundingClientRect();
          const isClipped = getComputedStyle(e).overflowX !== "visible" && !e.matches("input, select, canvas");
          const isCut = e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1 && (isClipped || e.matches("button"));
          return own > 0 && (left < -1 || right > width + 1 || isCut);
        })
        .map(
          (e) =>
            `${e.localName} ${nameOf(e)}: ${e.scrollWidth} px in ${e.clientWidth}, right end at ${Math.round(e.getBoundingClientRect().right)} of ${width}`,
        ),
    );
  };

  /** What moves by itself within some frames. */
  walk.moves = async (frames = 30) => {
    const before = walk.look();
    const running = document.getAnimations().filter(({ playState }) => playState === "running");
    for (let k = 0; k < frames; k++) await frame();
    const after = walk.look();
    return [
      ...running.map((a) => `runs: ${a.animationName ?? a.transitionProperty}`),
      ...after.filter((line) => !before.includes(line)),
    ];
  };

  /** Wait until the page no longer scrolls. */
  walk.stands = async () => {
    for (let still = 0, before = NaN; still < 4; before = scrollY) {
      await frame();
      still = scrollY === before ? still + 1 : 0;
    }
  };

  // ---- what must hold ---------------------------------------------------------------------------------------------------

  const number = (text) => Number(/-?[\d.]+(?=\D*$)/.exec(text.replace("\u2212", "-").replace(/ nats.*/, ""))?.[0]);

  walk.holds = {
    explorer({ state, root }) {
      const wrong = [];
      const sum = Number(root.querySelector(".mx-sum b").textContent);
      const leaks = root.querySelectorAll(".mx-who .mx-leak").length;
      if (!(sum > 0 && sum < Infinity)) wrong.push(`the sum is ${sum}`);
      if (!leaks && sum !== 1) wrong.push(`nothing leaks, and the sum is ${sum}`);
      if (leaks > 0 !== root.querySelector(".mx-sum").classList.contains("mx-bad")) wrong.push("a leak is not marked");
      const [, reached, pairs] = /: (\d+) of the (\d+) /.exec(root.querySelector(".mx-coverage").textContent);
      const fair = root.querySelectorAll(".mx-who .mx-on").length;
      const lost = root.querySelectorAll(".mx-who .mx-lost").length;
      if (fair !== Number(reached) || fair + lost !== Number(pairs))
        wrong.push(`coverage ${reached} of ${pairs}, ${fair} shown`);
      if (Number(pairs) !== (state.D * (state.D - 1)) / 2) wrong.push(`${pairs} pairs of ${state.D} variables`);
      return wrong;
    },

    live({ state, drawing, parts }) {
      const wrong = [];
      const { steps } = drawing;
      for (const { p, logProb, variable, known, value } of steps) {
        if (!(p >= 0 && p <= 1 && logProb <= 0 && logProb > -Infinity))
          wrong.push(`pixel ${variable}: p ${p}, ${logProb}`);
        if (known !== state.given[variable] >= 0) wrong.push(`pixel ${variable} is ${known ? "" : "not "}given`);
        if (known && value !== state.given[variable]) wrong.push(`pixel ${variable} is not as given`);
      }
      const total = steps.reduce((sum, { logProb }) => sum + logProb, 0);
      if (Math.abs(number(parts.total.textContent) - total) > 0.0501)
        wrong.push(`${parts.total.textContent}, sum ${total}`);
      if (drawing.walk && steps.length !== state.t) wrong.push(`${steps.length} steps at t = ${state.t}`);
      if (
        !["random", "anyRows"].includes(state.mode) &&
        state.given.lastIndexOf(1) > state.given.indexOf(-1) &&
        state.given.includes(-1)
      ) {
        wrong.push("a network for one order is given what follows a gap");
      }
      return wrong.slice(0, 3);
    },

    game({ state, game, parts }) {
      const wrong = [];
      const keys = [2, 20, 50, 80, 98];
      const costs = state.bets.map((key, k) => -Math.log((game.x[game.asked[k]] ? keys[key] : 100 - keys[key]) / 100));
      const bits = costs.reduce((sum, cost) => sum + cost, 0) / Math.LN2 / costs.length;
      const told = costs.length === 24 ? parts.verdict.textContent : parts.score.textContent;
      if (costs.length && Math.abs(Number(/[Yy]ou (?:paid )?([\d.]+) bits/.exec(told)?.[1]) - bits) > 0.00501)
        wrong.push(`${told} ${bits}`);
      if (!game.logits.every(Number.isFinite)) wrong.push(`logits ${game.logits}`);
      if (parts.results.hidden === (costs.length === 24))
        wrong.push(`${costs.length} bets, results hidden: ${parts.results.hidden}`);
      if (
        state.network === "there" &&
        /NaN|undefined|Infinity/.test(parts.results.textContent + parts.said.textContent)
      )
        wrong.push(parts.said.textContent);
      return wrong;
    },

    answers() {
      return roots().flatMap((root) =>
        [...root.querySelectorAll("form")].flatMap((form) => {
          const says = form.querySelector(".says").textContent;
          const [right, wrong] = ["right", "wrong"].map((name) => form.classList.contains(name));
          return (says !== "") === (right !== wrong)
            ? []
            : [`a form says ${says || "nothing"}, right: ${right}, wrong: ${wrong}`];
        }),
      );
    },
  };

  walk.check = (names) =>
    names.flatMap((name) =>
      name === "answers" ? walk.holds.answers() : walk.views.flatMap((view) => walk.holds[name](view)),
    );
}
