/* The mask explorer: a small MADE drawn so that one can see who sees whom.

   A page that shows the picture mask_explorer.png inside a link gets the explorer in its place. Without JavaScript, in
   Jupyter and in print the picture stays. Orders, degrees and masks are those of made.js. In this file: is it a
   distribution; the state, plain values that JSON can hold, and what changes it; the network that follows from a state;
   its words, its picture and its matrices as text; the controls; render(state, view), which puts all of that on the
   page; and what the reader does. A `view` is what is on the page: its elements, the state they show, and where units
   stand. */
"use strict";

{
  const { range, degreesFromOrder, evenDegrees, randomDegrees, randomOrder, generator } = made;
  const { buildMasks, directMask, views, calm } = made;

  // ---- is it a distribution? ---------------------------------------------------------------------------------------

  /** Sum of p(x) over all 2^D rows x, for a network with these masks, random weights and Bernoulli outputs. */
  function totalProbability(masks, direct = null, seed = 0) {
    const layer = layersFrom(generator(seed));
    const layers = masks.map(layer);
    const D = masks[0][0].length;
    const shortcut = layer(direct ?? range(D).map(() => range(D).map(() => false)));
    let total = 0;
    for (let number = 0; number < 2 ** D; number++) {
      const x = range(D).map((i) => (number >> i) & 1);
      const signs = x.map((bit) => 2 * bit - 1); // the network reads a row as -1 and 1
      let h = signs;
      for (const hidden of layers.slice(0, -1)) h = linear(hidden, h).map(Math.tanh);
      let logits = linear(layers.at(-1), h);
      if (direct) logits = linear(shortcut, signs).map((a, i) => a + logits[i]);
      // p(x) is the product of the conditionals: sigmoid(a) for a one, sigmoid(-a) for a zero.
      total += logits.reduce((p, a, i) => p / (1 + Math.exp(x[i] ? -a : a)), 1);
    }
    return total;
  }

  /** A function that makes a layer of random weights for a mask.

      A weight is drawn also where the mask erases it, so that a change of rule leaves all others as they were. Weights
      are positive: an output that sees its own variable then leans towards it, so the sum can only be too large. */
  function layersFrom(random) {
    const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const weight = (kept) => Math.abs(normal()) * Number(kept);
    return (mask) => ({ weight: mask.map((row) => row.map(weight)), bias: mask.map(normal) });
  }

  function linear({ weight, bias }, x) {
    return weight.map((row, k) => row.reduce((sum, w, j) => sum + w * x[j], bias[k]));
  }

  // ---- the state, and what changes it ------------------------------------------------------------------------------

  const ALL = 9; // more masks than there can be

  const START = {
    D: 5,
    layers: 2,
    widths: [6, 6, 6], // also of layers that are not there now
    orderKind: "typed",
    typed: [3, 0, 4, 1, 2, 5, 6, 7], // the reader's own order, also of variables that are not there now
    degrees: "even",
    seed: 0,
    direct: false,
    rule: ">",
    applied: ALL, // how many masks erase, from the inputs on; a direct connection's is the last
    ghosts: false, // whether erased edges leave a trace
    falling: null, // the mask that has just been applied
    own: [], // the reader's own degrees of hidden layers
    arrange: "index",
    chosen: { level: 3, unit: 1 }, // the unit that has, or last had, the focus
    hovered: null, // the unit under the pointer
    edge: null, // the edge that is asked about: {from: [level, unit], to: [level, unit], isDirect}
    draft: null, // {name, text}: what the reader is typing into a field
  };
  const LIMITS = { D: [2, 8], width: [1, 12], seed: [0, 9999] };

  const whole = (text, [least, most]) => Math.min(most, Math.max(least, Math.round(Number(text))));

  /** What becomes of the state when a control of this name takes a value; the others set what they are named after. */
  const CHANGES = {
    D(state, text) {
      return { D: whole(text, LIMITS.D) };
    },
    layers(state, text) {
      const layers = Number(text);
      const { level, unit } = state.chosen;
      return { layers, chosen: { level: level > state.layers ? layers + 1 : Math.min(level, layers), unit } };
    },
    width(state, text, layer) {
      return { widths: state.widths.map((width, l) => (l === layer ? whole(text, LIMITS.width) : width)) };
    },
    orderKind(state, orderKind) {
      return { orderKind, typed: orderKind === "typed" ? completed(orderOf(state), state) : state.typed };
    },
    typed(state, text) {
      const { order } = parseOrder(text, state.D);
      return order ? { orderKind: "typed", typed: completed(order, state) } : {};
    },
    seed(state, text) {
      return text === "" ? {} : { seed: whole(text, LIMITS.seed) };
    },
  };

  /** The state after a control took a value. */
  function changed(state, name, value) {
    const [, kind, layer] = name.match(/^(\w+?)(\d*)$/);
    const change = CHANGES[kind] ?? (() => ({ [name]: value }));
    const draft = ["typed", "seed"].includes(name) ? { name, text: value } : null;
    const next = { ...state, hovered: null, edge: null, draft, ...change(state, value, Number(layer)) };
    const unit = Math.min(next.chosen.unit, sizes(next)[next.chosen.level] - 1);
    const applied = state.applied >= masksOf(state) ? ALL : state.applied; // a new mask is applied, too
    return { ...next, applied, falling: null, chosen: { ...next.chosen, unit } };
  }

  /** An order of the variables that are there, and after it the others. */
  const completed = (order, { typed }) => [...order, ...typed.filter((variable) => !order.includes(variable))];

  /** How many masks there are. */
  const masksOf = ({ layers, direct }) => layers + 1 + Number(direct);

  /** The order with a variable at another step; the others keep their sequence. */
  function moved(state, variable, step) {
    const order = orderOf(state).filter((other) => other !== variable);
    order.splice(step, 0, variable);
    return {
      ...state,
      orderKind: "typed",
      typed: completed(order, state),
      draft: null,
      edge: null,
      hovered: null,
      falling: null,
    };
  }

  /** The state after the degree of a unit has changed by 1 or -1: a variable changes places with its neighbour. */
  function withDegree(state, { level, unit }, by) {
    const levels = degreesOf(state, orderOf(state));
    const [degree, D] = [levels[level % levels.length][unit] + by, state.D];
    const isHidden = level > 0 && level < levels.length;
    const most = isHidden ? Math.max(0, D - 1) : D;
    if (degree < 1 || degree > most) return state;
    if (!isHidden) return moved(state, unit, degree - 1);
    const own = levels.slice(1);
    own[level - 1] = own[level - 1].with(unit, degree);
    return { ...state, degrees: "own", own, edge: null, falling: null };
  }

  const drawnAgain = (state) => ({ ...state, seed: (state.seed + 1) % 10000, draft: null, falling: null });
  const sizes = (state) => [state.D, ...state.widths.slice(0, state.layers), state.D];

  /** Read a permutation of 0..D-1 as typed; returns {order} or {error}. */
  function parseOrder(text, nFeatures) {
    const parts = text.split(/[\s,;[\]]+/).filter(Boolean);
    const wrong = parts.find((part) => !/^\d+$/.test(part) || Number(part) >= nFeatures);
    const last = nFeatures - 1;
    if (wrong !== undefined) return { error: `“${wrong}” is no variable: they are numbered 0 to ${last}.` };
    const order = parts.map(Number);
    const twice = order.find((variable, t) => order.indexOf(variable) !== t);
    if (twice !== undefined) return { error: `${twice} appears twice. Name each of 0 to ${last} once.` };
    const missing = range(nFeatures).filter((variable) => !order.includes(variable));
    const are = missing.length > 1 ? "are" : "is";
    if (missing.length) return { error: `${missing.join(", ")} ${are} missing. Name each of 0 to ${last} once.` };
    return { order };
  }

  /** What a link must hold, so that it restores a state. */
  function addressOf(state) {
    const address = new URLSearchParams();
    for (const name of ["D", "seed", ...Object.keys(OPTIONS)]) address.set(name, state[name]);
    address.set("widths", state.widths.join("."));
    if (state.applied < masksOf(state)) address.set("applied", state.applied);
    if (state.degrees === "own") address.set("own", state.own.map((layer) => layer.join(".")).join("-"));
    address.set("typed", state.typed.join("."));
    address.set("chosen", `${state.chosen.level}.${state.chosen.unit}`);
    return address.toString();
  }

  const OPTIONS = {
    layers: ["1", "2", "3"],
    orderKind: ["natural", "reversed", "random", "typed"],
    degrees: ["even", "random", "own"],
    direct: ["true", "false"],
    ghosts: ["true", "false"],
    rule: [">", ">="],
    arrange: ["index", "degree"],
  };

  /** The state of an address; of what it does not hold, or holds wrongly, the beginning. */
  function stateOf(text) {
    const address = new URLSearchParams(text);
    const state = { ...START };
    for (const [name, options] of Object.entries(OPTIONS)) {
      if (options.includes(address.get(name))) state[name] = address.get(name);
    }
    state.layers = Number(state.layers);
    state.direct = String(state.direct) === "true";
    state.ghosts = String(state.ghosts) === "true";
    for (const name of ["D", "seed"]) {
      if (/^\d{1,4}$/.test(address.get(name) ?? "")) state[name] = whole(address.get(name), LIMITS[name]);
    }
    const numbers = (name) =>
      (address.get(name) ?? "").split(".").map((part) => (/^\d+$/.test(part) ? Number(part) : -1));
    if (parseOrder(numbers("typed").join(" "), LIMITS.D[1]).order) state.typed = numbers("typed");
    const widths = numbers("widths");
    if (widths.length === 3 && widths.every((n) => n === whole(n, LIMITS.width))) state.widths = widths;
    if (/^\d$/.test(address.get("applied") ?? "")) state.applied = Number(address.get("applied"));
    state.own = (address.get("own") ?? "").split("-").map((layer) => layer.split(".").map(Number));
    const [level, unit] = numbers("chosen");
    if (unit >= 0 && unit < sizes(state)[level]) state.chosen = { level, unit };
    const { chosen } = state;
    const top = Math.min(chosen.level, state.layers + 1);
    return { ...state, chosen: { level: top, unit: Math.min(chosen.unit, sizes(state)[top] - 1) } };
  }

  // ---- the network that follows from a state -----------------------------------------------------------------------

  /** Random numbers of a state: order, degrees and weights have streams of their own, so that none disturbs another. */
  const stream = { order: 0, degrees: 1, weights: 2 };
  const seedOf = (state, name) => state.seed * 3 + stream[name];

  function orderOf(state) {
    if (state.orderKind === "typed") return state.typed.filter((variable) => variable < state.D);
    if (state.orderKind === "random") return randomOrder(state.D, generator(seedOf(state, "order")));
    return state.orderKind === "reversed" ? range(state.D).reverse() : range(state.D);
  }

  function degreesOf(state, order) {
    const hidden = state.widths.slice(0, state.layers);
    const random = generator(seedOf(state, "degrees"));
    const even = evenDegrees(state.D, hidden);
    const kinds = {
      even: () => even,
      random: () => randomDegrees(state.D, hidden, random),
      own: () => even.map((layer, l) => layer.map((degree, k) => allowedDegree(state.own[l]?.[k], degree, state.D))),
    };
    return [degreesFromOrder(order), ...kinds[state.degrees]()];
  }

  /** A degree of the reader's own, or where there is none, or none that a hidden unit can have, the even one. */
  const allowedDegree = (own, even, D) => (Number.isInteger(own) && own >= 1 && own < D ? own : even);

  /** Degrees, masks, who sees whom: level 0 are the inputs, the last level the outputs. */
  function network(state) {
    const order = orderOf(state);
    const degrees = degreesOf(state, order);
    const levels = [...degrees, degrees[0]];
    const built = buildMasks(degrees, state.rule);
    if (state.direct) built.push(directMask(degrees, state.rule));
    const full = (mask) => mask.map((row) => row.map(() => true));
    const masks = built.map((mask, l) => (l < state.applied ? mask : full(mask)));
    const direct = state.direct ? masks.pop() : null;
    const seen = views(masks); // seen[level][unit][j]: a path leads from input j to the unit
    return {
      D: state.D,
      order,
      levels,
      built, // the masks as they will be when all are applied; a direct connection's is the last
      masks,
      direct,
      seen,
      heard: listeners(masks), // heard[level][unit][i]: a path leads from the unit to output i
      sees: seen.at(-1).map((row, i) => row.map((path, j) => path || Boolean(direct?.[i][j]))),
      allowed: directMask(degrees),
      shown: levels.map((layer) => arranged(layer, state.arrange)), // units in the order in which they are drawn
    };
  }

  /** Like `views`, from the other end. */
  function listeners(masks) {
    const outputs = range(masks.at(-1).length);
    const heard = [outputs.map((i) => outputs.map((j) => i === j))];
    for (const mask of [...masks].reverse()) {
      const above = heard[0];
      heard.unshift(mask[0].map((_, k) => outputs.map((i) => mask.some((row, o) => row[k] && above[o][i]))));
    }
    return heard;
  }

  function arranged(layer, arrange) {
    const units = range(layer.length);
    return arrange === "index" ? units : units.sort((a, b) => layer[a] - layer[b] || a - b);
  }

  function kindOf(net, level) {
    if (level === 0) return "input";
    return level === net.masks.length ? "output" : "hidden";
  }

  /** What lights up with a unit: the inputs it sees, the outputs that see it, and the ends of every path that leaks. */
  function trace(net, { level, unit }) {
    const kind = kindOf(net, level);
    const all = range(net.D);
    const ins = kind === "output" ? net.sees[unit] : net.seen[level][unit];
    const outs = kind === "input" ? net.sees.map((row) => row[unit]) : net.heard[level][unit];
    const forbidden = (i, j) => ins[j] && outs[i] && !net.allowed[i][j];
    return {
      level,
      ins,
      outs,
      linked: linkedTo(net, level, unit),
      leakIns: all.map((j) => all.some((i) => forbidden(i, j))),
      leakOuts: all.map((i) => all.some((j) => forbidden(i, j))),
    };
  }

  /** [level][unit]: a path leads from there to the given unit, or from the given unit there. */
  function linkedTo(net, level, unit) {
    const linked = net.levels.map((layer) => layer.map(() => false));
    linked[level][unit] = true;
    for (let l = level; l > 0; l--) {
      linked[l - 1] = linked[l - 1].map((_, k) => net.masks[l - 1].some((row, o) => row[k] && linked[l][o]));
    }
    for (let l = level; l < net.masks.length; l++) {
      linked[l + 1] = net.masks[l].map((row) => row.some((kept, k) => kept && linked[l][k]));
    }
    return linked;
  }

  const meet = (a, b) => a.some((yes, n) => yes && b[n]);

  /** How the edge from unit k of a level to unit o of the next is lit: does a path through the active unit use it? */
  function edgeLight(net, traced, level, k, o) {
    if (!traced.linked[level][k] || !traced.linked[level + 1][o]) return "";
    const below = level < traced.level;
    const end = below ? net.seen[level][k] : net.heard[level + 1][o];
    if (meet(end, below ? traced.leakIns : traced.leakOuts)) return "leak";
    return meet(end, below ? traced.ins : traced.outs) ? "lit" : "";
  }

  /** The same for a direct connection, which concerns only the units at its ends. */
  function directLight(net, active, j, i) {
    const mine = active.level === 0 ? active.unit === j : active.level === net.masks.length && active.unit === i;
    if (!mine) return "";
    return net.allowed[i][j] ? "lit" : "leak";
  }

  // ---- words -------------------------------------------------------------------------------------------------------

  const count = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`;
  const list = (variables) => variables.map((variable) => `<i>x</i><sub>${variable}</sub>`).join(", ");
  const outputs = (variables) => `${variables.length > 1 ? "outputs" : "output"} ${list(variables)}`;

  const capital = (text) => text[0].toUpperCase() + text.slice(1);

  /** The variables with a property, in the order of their steps. */
  const pick = (net, has) => net.order.filter(has);

  /** What a unit sees or feeds, as a sentence. */
  function sentence(net, active) {
    const { level, unit } = active;
    const say = { input: inputSentence, hidden: hiddenSentence, output: outputSentence }[kindOf(net, level)];
    return say(net, trace(net, active), unit, net.levels[level][unit]);
  }

  function inputSentence(net, { outs }, unit, degree) {
    const head = `Input ${list([unit])}, degree ${degree}, is seen by`;
    const fair = pick(net, (i) => outs[i] && net.allowed[i][unit]);
    const leaks = pick(net, (i) => outs[i] && !net.allowed[i][unit]);
    const own = leaks.join() === String(unit) ? "its own output" : `${list(leaks)}, which must not see it`;
    if (leaks.length) return `${head} ${fair.length ? `${outputs(fair)} and ` : ""}<em>${own}</em>. That is a leak.`;
    if (fair.length) return `${head} ${outputs(fair)}.`;
    return `${head} no output: ${degree === net.D ? "it comes last" : "no path leaves it"}.`;
  }

  function hiddenSentence(net, traced, unit, degree) {
    const ins = pick(net, (j) => traced.ins[j]);
    const outs = pick(net, (i) => traced.outs[i]);
    const joined = pick(net, (j) => traced.leakIns[j]);
    const head = `Hidden unit ${unit} of layer ${traced.level}, degree ${degree}`;
    const feeds = outs.length ? outputs(outs) : "no output";
    const onlyOwn = net.order.every((i) => net.order.every((j) => i === j || net.allowed[i][j] || !net.sees[i][j]));
    const what = onlyOwn ? "its own output" : "outputs that come too early to see it";
    const leak = joined.length ? ` It joins ${list(joined)} with <em>${what}</em>: a leak.` : "";
    return `${head}, sees ${list(ins)} and feeds ${feeds}.${leak}`;
  }

  function outputSentence(net, { ins }, unit, degree) {
    const allowed = net.allowed[unit];
    const head = `Output ${list([unit])}, degree ${degree}, sees`;
    const fair = pick(net, (j) => ins[j] && allowed[j]);
    const lost = pick(net, (j) => !ins[j] && allowed[j]);
    const but = lost.length ? ` It may see ${list(lost)} too, but no path leads there.` : "";
    const leaks = pick(net, (j) => ins[j] && !allowed[j]);
    const later = leaks.filter((j) => j !== unit);
    const laterToo = later.length ? [`${list(later)}, which come${later.length > 1 ? "" : "s"} later`] : [];
    const what = [...(leaks.includes(unit) ? ["itself"] : []), ...laterToo].join(" and ");
    if (leaks.length)
      return `${head} ${fair.length ? `${list(fair)} and ` : ""}<em>${what}</em>. That is a leak.${but}`;
    if (fair.length) return `${head} ${list(fair)}.${but}`;
    return degree === 1 ? `${head} nothing: it comes first.` : `${head} nothing.${but}`;
  }

  const nameOf = (net, [level, unit]) =>
    ({
      input: `input ${list([unit])}`,
      hidden: `hidden unit ${unit} of layer ${level}`,
      output: `output ${list([unit])}`,
    })[kindOf(net, level)];

  /** What decides about an edge: {isKept, isApplied, comparison}, and the words for it. */
  function verdict(state, net, { from, to, isDirect }) {
    const l = isDirect ? net.built.length - 1 : from[0];
    const isKept = net.built[l][to[1]][from[1]];
    const rule = to[0] === net.masks.length ? state.rule : ">=";
    const comparison = `${net.levels[to[0]][to[1]]} ${rule} ${net.levels[from[0]][from[1]]}`;
    return { isKept, isApplied: l < state.applied, comparison, rule };
  }

  function edgeSentence(state, net, edge) {
    const { isKept, isApplied, comparison } = verdict(state, net, edge);
    const fate = isApplied ? "<em>erased</em>" : "<em>to be erased</em>, but this mask is not applied yet";
    const ends = `${capital(nameOf(net, edge.from))} → ${nameOf(net, edge.to)}${edge.isDirect ? ", direct" : ""}`;
    return `${ends}: <code>${comparison.replace(">", "&gt;")}</code>${isKept ? ", kept." : ` is false, ${fate}.`}`;
  }

  /** The line of made/masks.py that decides. */
  const LINES = {
    hidden: "masks = [after[..., :, None] >= before[..., None, :] for before, after in pairwise(degrees)]",
    output: "masks.append(degrees[0][..., :, None] > degrees[-1][..., None, :])",
  };

  function codeOf(state, net, { to }) {
    if (to[0] < net.masks.length) return LINES.hidden;
    return state.rule === ">" ? LINES.output : `${LINES.output.replace(" > ", " >= ")}  # the mistake`;
  }

  /** The outputs that see what they must not. */
  const leaking = (net) => pick(net, (i) => net.sees[i].some((yes, j) => yes && !net.allowed[i][j]));

  const totalOf = (state, net) => totalProbability(net.masks, net.direct, seedOf(state, "weights"));

  function sumFact(state, net) {
    const rows = `all ${2 ** net.D} rows for random weights`;
    const what = `is the sum of <i>p</i>(<i>x</i>) over ${rows}. ${whyThisSum(state, net)}`;
    return `<b>${totalOf(state, net).toFixed(6)}</b><p>${what}</p>`;
  }

  function whyThisSum(state, net) {
    const leaks = leaking(net);
    if (leaks.length) {
      const isOwn = (i) => net.order.every((j) => i === j || net.allowed[i][j] || !net.sees[i][j]);
      const own = leaks.length > 1 ? "their own variables" : "its own variable";
      const what = leaks.every(isOwn) ? own : "what they must not";
      const see = `${leaks.length > 1 ? "see" : "sees"} ${what}`;
      const consequence = "what has seen the answer is no prediction, and this is no distribution.";
      return `It should be 1. ${capital(outputs(leaks))} ${see}: ${consequence}`;
    }
    if (state.rule === ">=") return "The rule is wrong, but by luck no path leads from a variable to its own output.";
    return (
      "No output sees its own variable or a later one, so each is a conditional probability, " +
      "and the sum is 1 for any weights."
    );
  }

  const allPairs = (net) => (net.D * (net.D - 1)) / 2;
  const reached = (net) => net.sees.flatMap((row, i) => row.filter((yes, j) => yes && net.allowed[i][j])).length;

  function coverageFact(net) {
    const [some, pairs] = [reached(net), allPairs(net)];
    const dependencies = count(pairs, "dependency").replace("ys", "ies");
    const have = `${pairs > 1 ? "have" : "has"} a path`;
    const what = `is the coverage: ${some} of the ${dependencies} that the order allows ${have}.`;
    return `<b>${((100 * some) / pairs).toFixed(some === pairs ? 0 : 1)} %</b><p>${what}</p>`;
  }

  // ---- the picture -------------------------------------------------------------------------------------------------

  const GAP = 92; // pixels from one layer to the next; the stylesheet gives the labels beside the layers this height
  const LEAST_STEP = 21; // pixels between two units; a network that needs more than the page has scrolls in its box

  /** Where everything stands, in pixels, if the page is `available` pixels wide. */
  function layout(state, net, available) {
    const widest = Math.max(...net.levels.map((layer) => layer.length));
    const { columns, pitch } = state.arrange === "degree" ? columnsOf(net, available) : { columns: [], pitch: 1 };
    const units = columns.length ? columns.at(-1).left + columns.at(-1).width : widest;
    const step = Math.max(LEAST_STEP, Math.min(62, available / units));
    const width = Math.max(available, step * units);
    const left = (width - step * units) / 2;
    const byIndex = (layer, unit) => {
      const spread = step * Math.min(1.6, widest / layer.length);
      return { x: width / 2 + (unit - (layer.length - 1) / 2) * spread, y: 0 };
    };
    const byDegree = (layer, unit) => {
      const { x, y } = inColumn(layer, unit, columns, pitch);
      return { x: left + step * x, y: step * y };
    };
    const place = columns.length ? byDegree : byIndex;
    const middle = (level) => (net.levels.length - level - 0.5) * GAP;
    return {
      available,
      width,
      height: net.levels.length * GAP + (columns.length ? 22 : 0),
      radius: Math.min(16, 0.42 * step),
      bands: columns.map((column) => ({ x: left + step * column.left, width: step * column.width })),
      places: net.levels.map((layer, level) =>
        layer.map((_, unit) => {
          const { x, y } = place(layer, unit);
          return { x, y: middle(level) + y };
        }),
      ),
    };
  }

  /** By degree: one column per degree, as wide as the layer with most units of this degree, measured in steps.

      `pitch` is the distance between two units; where space is short they stand closer and, so as not to touch, in a
      zigzag. */
  function columnsOf(net, available) {
    const most = (degree) => Math.max(1, ...net.levels.map((layer) => layer.filter((d) => d === degree).length));
    const columnsAt = (pitch) => {
      let left = 0;
      return range(net.D).map((k) => {
        const width = 1.35 + pitch * (most(k + 1) - 1);
        left += width;
        return { left: left - width, width };
      });
    };
    const wide = columnsAt(1);
    if (available / (wide.at(-1).left + wide.at(-1).width) >= 28) return { columns: wide, pitch: 1 };
    return { columns: columnsAt(0.6), pitch: 0.6 };
  }

  /** The place of a unit in its column, in steps. */
  function inColumn(layer, unit, columns, pitch) {
    const group = arranged(layer, "degree").filter((other) => layer[other] === layer[unit]);
    const at = group.indexOf(unit);
    const { left, width } = columns[layer[unit] - 1];
    const aside = at % 2 ? 0.45 : -0.45;
    return {
      x: left + width / 2 + pitch * (at - (group.length - 1) / 2),
      y: pitch < 1 && group.length > 1 ? aside : 0,
    };
  }

  /** The drawing as text. Units and edges are put in their places afterwards. */
  function drawing(state, net, plan) {
    const units = net.levels.map((_, level) => net.shown[level].map((unit) => unitMarkup(net, plan, level, unit)));
    const edges = `<g class="mx-edges">${edgesMarkup(state, net)}</g>`;
    return `<g>${bandsMarkup(net, plan)}</g>${edges}<g>${units.flat().join("")}</g>`;
  }

  function bandsMarkup(net, { bands, height }) {
    const narrow = bands.some((band) => band.width < 44);
    const label = (k) => `${narrow && k ? "" : "step "}${k + 1}`;
    return bands
      .map(
        ({ x, width }, k) => `
      <rect class="mx-band${k % 2 ? " mx-odd" : ""}" x="${x}" y="0" width="${width}" height="${height}" rx="4"/>
      <text class="mx-step" x="${x + width / 2}" y="${net.levels.length * GAP + 13}">${label(k)}</text>`,
      )
      .join("");
  }

  /** Every edge, and of those that are erased a ghost. */
  function edgesMarkup(state, net) {
    const edges = (built, l) => {
      const isDirect = l === net.masks.length;
      const [from, to, more] = isDirect ? [0, l, " mx-direct"] : [l, l + 1, ""];
      const look = (kept) => (kept || l >= state.applied ? "mx-edge" : "mx-ghost") + more;
      return built.flatMap((row, o) =>
        row.map((kept, k) => `<path class="${look(kept)}" data-from="${from},${k}" data-to="${to},${o}"/>`),
      );
    };
    return net.built.flatMap(edges).join("");
  }

  function unitMarkup(net, { radius }, level, unit) {
    const kind = kindOf(net, level);
    const degree = net.levels[level][unit];
    const name = kind === "hidden" ? `hidden unit ${unit} of layer ${level}` : `${kind} x${unit}`;
    const y = kind === "output" ? -radius - 9 : radius + 17;
    const text = `<tspan font-style="italic">x</tspan><tspan class="mx-sub" dy="3">${unit}</tspan>`;
    const label = kind === "hidden" ? "" : `<text class="mx-name" y="${y}">${text}</text>`;
    const head = `role="button" tabindex="-1" data-unit="${level},${unit}" aria-label="${name}, degree ${degree}"`;
    return `<g class="mx-unit mx-${kind}" ${head}>
        <circle class="mx-hit" r="${Math.max(radius + 5, LEAST_STEP / 2)}"/><circle class="mx-ring" r="${radius + 4}"/>
        <circle class="mx-disc" r="${radius}"/><text class="mx-degree">${degree}</text>${label}</g>`;
  }

  // ---- the matrices ------------------------------------------------------------------------------------------------

  function masksMarkup(net) {
    const top = net.masks.length;
    const name = (level) => ({ input: "inputs", hidden: `hidden ${level}`, output: "outputs" })[kindOf(net, level)];
    const look = (kept) => (kept ? "on" : "off");
    const directLook = (kept, i, j) => (kept && !net.allowed[i][j] ? "leak" : look(kept));
    const masks = net.masks.map((mask, level) =>
      maskFigure(net, mask, `${name(level)} → ${name(level + 1)}`, level, level + 1, look),
    );
    if (net.direct) masks.push(maskFigure(net, net.direct, "inputs → outputs, direct", 0, top, directLook));
    return masks.join("");
  }

  function maskFigure(net, mask, title, from, to, look) {
    const kept = mask.flat().filter(Boolean).length;
    const all = mask.length * mask[0].length;
    const label = `Mask ${title}: ${kept} of ${all} weights kept`;
    return figure(matrix(net, mask, { from, to, size: 9, pad: 1, look }), label, title, `${kept} of ${all} kept`);
  }

  function whoSeesWhom(net) {
    const look = (sees, i, j) => {
      if (sees) return net.allowed[i][j] ? "on" : "leak";
      return net.allowed[i][j] ? "lost" : "off";
    };
    const picture = matrix(net, net.sees, { from: 0, to: net.masks.length, size: 16, pad: 20, look });
    const pairs = net.sees.flat().filter(Boolean).length;
    const label = `Which output (row) sees which input (column): ${pairs} pairs`;
    const lost = picture.cells.includes('"mx-lost"') ? "<br>dashed: allowed, but no path" : "";
    const leak = picture.cells.includes('"mx-leak"') ? "<br>crossed: forbidden" : "";
    return figure(picture, label, "who sees whom", `row: output, column: input${lost}${leak}`);
  }

  function figure({ cells, width, height }, label, title, note) {
    const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
    return `<figure><svg role="img" aria-label="${label}" ${size}>${cells}</svg>
      <figcaption>${title}<small>${note}</small></figcaption></figure>`;
  }

  /** Squares of `size` pixels, as `look` says; a pad of more than a pixel holds the numbers of rows and columns. */
  function matrix(net, values, { from, to, size, pad, look }) {
    const rows = net.shown[to];
    const columns = net.shown[from];
    const named = pad > 1;
    const width = pad + columns.length * size + 1;
    const heads = columns.map(
      (k, c) => `<text x="${pad + (c + 0.5) * size}" y="${pad - 8}" text-anchor="middle">${k}</text>`,
    );
    const lines = rows.map((o, r) => {
      const y = pad + r * size;
      const squares = columns.map((k, c) => square(look(values[o][k], o, k), pad + c * size, y, size, named));
      const label = `<text x="${pad - 4}" y="${pad + (r + 0.5) * size}" text-anchor="end">${o}</text>`;
      const band = `<rect class="mx-band" x="0" y="${y}" width="${width}" height="${size}"/>`;
      return `<g class="mx-row" data-unit="${to},${o}">${band}${named ? label : ""}${squares.join("")}</g>`;
    });
    const cells = [...(named ? heads : []), ...lines].join("");
    return { cells, width, height: pad + rows.length * size + 1 };
  }

  function square(how, x, y, size, crossed) {
    const side = size - 2;
    const rect = `<rect class="mx-${how}" x="${x + 1}" y="${y + 1}" width="${side}" height="${side}" rx="1.5"/>`;
    if (how !== "leak" || !crossed) return rect;
    const arm = size - 10;
    return `${rect}<path class="mx-cross" d="M${x + 5} ${y + 5}l${arm} ${arm}m0 ${-arm}l${-arm} ${arm}"/>`;
  }

  // ---- the controls ------------------------------------------------------------------------------------------------

  function choices(id, name, legend, options) {
    const choice = ([value, text, title = ""]) =>
      `<label title="${title}"><input type="radio" name="${id}-${name}" data-set="${name}" value="${value}">` +
      `<span>${text}</span></label>`;
    return `
  <fieldset class="mx-choices"><legend>${legend}</legend>
    ${options.map(choice).join("")}
  </fieldset>`;
  }

  const settingsMarkup = (id) => `
    ${choices(id, "layers", "Hidden layers", [
      ["1", "1"],
      ["2", "2"],
      ["3", "3"],
    ])}
    <div class="mx-field mx-order">
      <label for="${id}-kind">Order</label>
      <div class="mx-pair">
        <select id="${id}-kind" data-set="orderKind">
          <option value="natural">natural</option><option value="reversed">reversed</option>
          <option value="random">random</option><option value="typed">your own</option>
        </select>
        <input id="${id}-order" class="mx-typed" type="text" inputmode="text" autocomplete="off" spellcheck="false"
          data-set="typed" aria-label="Order as a permutation: the variable of each step"
          aria-describedby="${id}-error">
      </div>
    </div>
    ${choices(id, "degrees", "Hidden degrees", [
      ["even", "even"],
      ["random", "random"],
      ["own", "your own"],
    ])}
    <div class="mx-field">
      <label for="${id}-seed">Seed</label>
      <div class="mx-pair">
        <input id="${id}-seed" class="mx-seed" type="number" min="0" max="9999" data-set="seed">
        <button type="button" class="mx-again">Draw again</button>
      </div>
    </div>
    ${choices(id, "arrange", "Arrange units", [
      ["index", "by index"],
      ["degree", "by degree"],
    ])}`;

  const barMarkup = `
  <div class="mx-bar">
    <div class="mx-pair mx-erase" role="group" aria-label="The erasing">
      <button type="button" class="mx-full" title="as an ordinary autoencoder">Fully connected</button>
      <button type="button" class="mx-apply" title="one mask after the other">Apply masks</button>
      <button type="button" class="mx-one">Apply one</button>
    </div>
    <div class="mx-pair mx-back" role="group" aria-label="Back and forth">
      <button type="button" class="mx-undo" title="Ctrl+Z">Undo</button>
      <button type="button" class="mx-redo" title="Ctrl+Shift+Z">Redo</button>
      <button type="button" class="mx-reset" title="as it was in the beginning">Reset</button>
    </div>
    <div class="mx-pair mx-now">
      <span><span class="mx-applied"></span> &ensp;<span class="mx-total" aria-hidden="true"></span></span>
      <label class="mx-check"><input type="checkbox" data-set="ghosts"><span>show what is erased</span></label>
    </div>
  </div>`;

  const frameMarkup = (id) => `${barMarkup}
  <div class="mx-told">
    <p class="mx-says" role="status" aria-live="polite"></p>
    <div class="mx-pair mx-own">
      <span>Degree of this unit</span>
      <button type="button" class="mx-less" aria-label="degree of this unit: one less">&minus;</button>
      <output class="mx-degree-now"></output>
      <button type="button" class="mx-more" aria-label="degree of this unit: one more">+</button>
    </div>
  </div>
  <p class="mx-code"><code></code></p>
  <div class="mx-body">
    <div class="mx-gutter"></div>
    <div class="mx-box" role="group"
      aria-label="The network. Arrow keys move between units; the text above says what a unit sees. Plus and minus change
        the degree of a unit; of an input, with Shift and the arrow keys, too. Enter goes through the edges that end in it.">
      <svg class="mx-network"></svg>
    </div>
  </div>
  <div class="mx-settings">${settingsMarkup(id)}
  </div>
  <p class="mx-error" id="${id}-error" role="alert"></p>
  <div class="mx-facts">
    <div><div class="mx-sum"></div><div class="mx-coverage"></div></div>
    <div class="mx-who"></div>
  </div>
  <div class="mx-matrices"></div>`;

  /** The labels beside the layers, which are also the sliders for their widths. */
  function gutterMarkup(layers, id) {
    const slider = (name, what, unit, rule, [least, most]) => `
      <label class="mx-slider"><b>${what}</b><span><output data-unit-name="${unit}"></output>${rule}</span>
        <input type="range" data-set="${name}" min="${least}" max="${most}" aria-label="${what}: number of ${unit}s">
      </label>`;
    const hidden = range(layers).map((l) => slider(`width${l}`, `hidden ${l + 1}`, "unit", ", out ≥ in", LIMITS.width));
    const rule = choices(id, "rule", "outputs", [
      [">", "out &gt; in", "right: keep an edge if the degree rises"],
      [">=", "out ≥ in", "wrong: keep an edge if the degree does not fall"],
    ]);
    return `<div class="mx-rule">${rule}
      <label class="mx-check"><input type="checkbox" data-set="direct"><span>direct connections</span></label></div>
      ${hidden.reverse().join("")}${slider("D", "inputs", "variable", "", LIMITS.D)}`;
  }

  // ---- everything on the page, from a state ------------------------------------------------------------------------

  function render(state, view, animated = false) {
    const net = network(state);
    const active = state.hovered ?? state.chosen;
    renderControls(state, net, view);
    const passing = { chosen: null, hovered: null, edge: null, falling: null, draft: null };
    const drawn = JSON.stringify([{ ...state, ...passing }, view.box.clientWidth]);
    if (drawn !== view.drawn) renderFacts(state, net, view, animated);
    view.drawn = drawn;
    renderTold(state, net, view, active);
    renderLights(state, net, view, active);
    renderGhosts(state, net, view);
  }

  /** What is the same whichever unit or edge the reader points at. */
  function renderFacts(state, net, view, animated) {
    renderNetwork(state, net, view, animated);
    fill(view.find(".mx-who"), whoSeesWhom(net));
    fill(view.find(".mx-matrices"), masksMarkup(net));
    fill(view.find(".mx-sum"), sumFact(state, net));
    view.find(".mx-total").textContent = `sum ${view.find(".mx-sum b").textContent}`;
    fill(view.find(".mx-coverage"), coverageFact(net));
    view.find(".mx-sum").classList.toggle("mx-bad", leaking(net).length > 0);
  }

  /** What is said of an edge or a unit. */
  function renderTold(state, net, view, active) {
    const { edge } = state;
    fill(view.find(".mx-says"), edge ? edgeSentence(state, net, edge) : sentence(net, active));
    view.find(".mx-code code").textContent = edge ? codeOf(state, net, edge) : "";
    view.find(".mx-own").hidden = Boolean(edge);
    view.find(".mx-degree-now").textContent = net.levels[state.chosen.level][state.chosen.unit];
    view.find(".mx-less").disabled = withDegree(state, state.chosen, -1) === state;
    view.find(".mx-more").disabled = withDegree(state, state.chosen, 1) === state;
    const [all, applied] = [masksOf(state), Math.min(masksOf(state), state.applied)];
    view.find(".mx-applied").textContent = `${applied} of ${count(all, "mask")} applied`;
    view.find(".mx-full").disabled = applied === 0;
    view.find(".mx-one").disabled = applied === all;
  }

  const filled = new WeakMap();

  /** Write the inside of an element. What has not changed is left alone: it may have the focus, or be read aloud. */
  function fill(element, markup) {
    if (filled.get(element) === markup) return false;
    filled.set(element, markup);
    element.innerHTML = markup;
    return true;
  }

  function renderControls(state, net, view) {
    fill(view.find(".mx-gutter"), gutterMarkup(state.layers, view.id));
    const values = { ...state, typed: net.order.join(" ") };
    state.widths.forEach((width, l) => {
      values[`width${l}`] = width;
    });
    if (state.draft) values[state.draft.name] = state.draft.text;
    for (const control of view.root.querySelectorAll("[data-set]")) renderControl(control, values[control.dataset.set]);
    view.find(".mx-rule").classList.toggle("mx-bad", state.rule === ">=");
    const error = state.draft?.name === "typed" && parseOrder(state.draft.text, state.D).error;
    view.find(".mx-error").textContent = error || "";
    view.find(".mx-typed").setAttribute("aria-invalid", Boolean(error));
    const isRandom = state.orderKind === "random" || state.degrees === "random" || leaking(net).length > 0;
    view.find(".mx-again").disabled = !isRandom;
    view.find(".mx-again").title = isRandom
      ? ""
      : "Nothing you see is drawn at random: choose a random order or random degrees.";
    view.find(".mx-undo").disabled = !view.trail?.canUndo();
    view.find(".mx-redo").disabled = !view.trail?.canRedo();
  }

  function renderControl(control, value) {
    if (control.type === "radio") control.checked = control.value === String(value);
    else if (control.type === "checkbox") control.checked = value;
    else if (control.value !== String(value)) control.value = value;
    if (control.type !== "range") return;
    const output = control.parentElement.querySelector("output");
    output.textContent = count(value, output.dataset.unitName);
  }

  function renderNetwork(state, net, view, animated) {
    const plan = layout(state, net, view.box.clientWidth - 8);
    const { svg, spots } = view;
    const stay = JSON.stringify(plan.places) === JSON.stringify(view.plan?.places);
    view.plan = plan;
    svg.setAttribute("viewBox", `0 0 ${plan.width} ${plan.height}`);
    svg.setAttribute("width", plan.width);
    svg.setAttribute("height", plan.height);
    svg.style.setProperty("--mx-font", `${Math.max(10, Math.min(14, plan.radius))}px`);
    const isNew = fill(svg, drawing(state, net, plan));
    if (stay && !isNew) return;
    cancelAnimationFrame(view.animation);
    const shape = (rows) => rows.map((row) => row.length).join();
    if (animated && !calm.matches && shape(spots) === shape(plan.places)) glide(view, spots, performance.now());
    else position(view, plan.places);
  }

  /** Move the units from where they stand to where they belong. */
  function glide(view, from, start) {
    const frame = (now) => {
      const part = Math.min(1, Math.max(0, (now - start) / 450));
      const eased = part * part * (3 - 2 * part);
      const mix = (a, b) => ({ x: a.x + (b.x - a.x) * eased, y: a.y + (b.y - a.y) * eased });
      position(
        view,
        view.plan.places.map((row, level) => row.map((to, unit) => mix(from[level][unit], to))),
      );
      if (part < 1) view.animation = requestAnimationFrame(frame);
    };
    frame(start);
  }

  const read = (text) => text.split(",").map(Number);

  function position(view, spots) {
    view.spots = spots;
    for (const element of view.svg.querySelectorAll(".mx-unit")) {
      const { level, unit } = unitOf(element);
      const { x, y } = spots[level][unit];
      element.setAttribute("transform", `translate(${x.toFixed(2)} ${y.toFixed(2)})`);
    }
    for (const edge of view.svg.querySelectorAll(".mx-edges path")) {
      const [start, ...rest] = curveOf(view, edge).map(({ x, y }) => `${x} ${y}`);
      edge.setAttribute("d", `M${start}C${rest.join(" ")}`);
    }
  }

  /** The four points of the curve that an edge is. */
  function curveOf({ spots, plan }, edge) {
    const [a, b] = [edge.dataset.from, edge.dataset.to].map(read).map(([level, unit]) => spots[level][unit]);
    const bend = 0.28 * (a.y - b.y);
    const aside = edge.classList.contains("mx-direct") ? 1.6 * plan.radius : 0;
    return [
      { x: a.x, y: a.y - plan.radius },
      { x: a.x + aside, y: a.y - bend },
      { x: b.x + aside, y: b.y + bend },
      { x: b.x, y: b.y + plan.radius },
    ];
  }

  /** Light up what belongs to the active unit, in the network and in the matrices. */
  function renderLights(state, net, view, active) {
    const key = `${active.level},${active.unit}`;
    const focusable = `${state.chosen.level},${state.chosen.unit}`;
    const lights = renderEdgeLights(net, view, active);
    for (const unit of view.svg.querySelectorAll(".mx-unit")) {
      const name = unit.dataset.unit;
      unit.classList.toggle("mx-active", name === key);
      toggleLight(unit, lights.get(name));
      unit.setAttribute("tabindex", name === focusable ? 0 : -1);
      unit.setAttribute("aria-pressed", name === focusable);
    }
    for (const row of view.root.querySelectorAll(".mx-row")) {
      row.classList.toggle("mx-active", row.dataset.unit === key);
    }
  }

  /** Which ghosts are shown: all or none, those that fall, and the one that is asked about. */
  function renderGhosts({ ghosts, falling, edge }, net, { svg }) {
    svg.classList.toggle("mx-ghosts", ghosts);
    for (const path of svg.querySelectorAll(".mx-edges path")) {
      const found = edgeOf(path);
      const l = found.isDirect ? net.masks.length : found.from[0];
      path.classList.toggle("mx-asked", sameEdge(found, edge));
      path.classList.toggle("mx-falling", l === falling && path.classList.contains("mx-ghost"));
    }
  }

  function toggleLight(element, how) {
    element.classList.toggle("mx-lit", how === "lit");
    element.classList.toggle("mx-leak", how === "leak");
  }

  /** Light the edges, and return how the units at their ends are lit. What is lit comes to the front. */
  function renderEdgeLights(net, view, active) {
    const traced = trace(net, active);
    const lights = new Map();
    const front = { lit: [], leak: [] };
    const box = view.svg.querySelector(".mx-edges");
    for (const edge of box.querySelectorAll(".mx-edge")) {
      const { from, to } = edge.dataset;
      const [level, k] = read(from);
      const [, o] = read(to);
      const isDirect = edge.classList.contains("mx-direct");
      const how = isDirect ? directLight(net, active, k, o) : edgeLight(net, traced, level, k, o);
      toggleLight(edge, how);
      if (!how) continue;
      front[how].push(edge);
      for (const end of [from, to]) if (lights.get(end) !== "leak") lights.set(end, how);
    }
    box.append(...front.lit, ...front.leak);
    return lights;
  }

  // ---- what the reader does ----------------------------------------------------------------------------------------

  let mounts = 0;

  function mount(paragraph) {
    const id = `mx${mounts++}`;
    const root = document.createElement("section");
    root.className = "mx";
    root.setAttribute("aria-label", "Mask explorer");
    root.innerHTML = frameMarkup(id);
    const isOwnPage = made.isPageOf(paragraph);
    paragraph.replaceWith(root);
    const find = (selector) => root.querySelector(selector);
    const view = { id, root, find, svg: find(".mx-network"), box: find(".mx-box"), spots: [], animation: 0 };
    if (isOwnPage) {
      view.trail = made.trail({
        write: () => addressOf(view.state),
        restore(text) {
          clearTimeout(view.timer);
          show(view, stateOf(text), true);
        },
      });
      made.listenToUndo(view.trail);
    }
    find(".mx-back").hidden = !isOwnPage; // where the address is not the explorer's own, Reset would be all there is
    listenToControls(view);
    listenToPointer(view);
    listenToDragging(view);
    listenToKeys(view);
    if (isOwnPage) {
      root.prepend(...guideOf(view));
    }
    show(view, stateOf(view.trail?.address() ?? ""));
    view.trail?.begin();
    new ResizeObserver(() => {
      if (Math.abs(view.box.clientWidth - 8 - view.plan.available) > 1) show(view, view.state);
    }).observe(view.box);
    return view;
  }

  function show(view, state, animated = false) {
    const hadFocus = view.svg.contains(document.activeElement);
    view.state = state;
    view.trail?.follow();
    render(state, view, animated);
    if (hadFocus && !view.svg.contains(document.activeElement)) chosenElement(view).focus({ preventScroll: true });
  }

  const chosenElement = ({ svg, state: { chosen } }) =>
    svg.querySelector(`[data-unit="${chosen.level},${chosen.unit}"]`);

  /** Something the reader does: it can be undone. */
  function act(view, state, animated = false) {
    clearTimeout(view.timer);
    view.trail?.step(() => show(view, state, animated));
    show(view, state, animated);
  }

  function listenToControls(view) {
    let holding = null; // the control that the reader has not let go of: all it does is undone together
    view.root.addEventListener("input", ({ target }) => {
      const { set } = target.dataset;
      if (!set) return; // a bet is not the explorer's
      const next = changed(view.state, set, target.type === "checkbox" ? target.checked : target.value);
      const animated = set === "arrange" || set === "typed";
      if (holding === target) show(view, next, animated);
      else act(view, next, animated);
      holding = target;
    });
    for (const end of ["change", "focusout"]) view.root.addEventListener(end, () => (holding = null));
    // A field left in a bad state goes back to what is drawn.
    view.root.addEventListener("focusout", ({ target }) => {
      if (target.matches(".mx-typed, .mx-seed")) show(view, { ...view.state, draft: null });
    });
    listenToErasing(view);
    view.find(".mx-again").addEventListener("click", () => act(view, drawnAgain(view.state), true));
    view.find(".mx-undo").addEventListener("click", () => view.trail.undo());
    view.find(".mx-redo").addEventListener("click", () => view.trail.redo());
    view.find(".mx-reset").addEventListener("click", () => act(view, START, true));
  }

  /** The edge that a path stands for. */
  function edgeOf(path) {
    const { from, to } = path.dataset;
    return { from: read(from), to: read(to), isDirect: path.classList.contains("mx-direct") };
  }

  const REACH = { mouse: 8, pen: 12, touch: 24 }; // pixels from an edge at which it is still meant

  /** Of the edges that are shown, the one nearest to a pointer, or null if none is near. */
  function edgeNear(view, { clientX, clientY, pointerType }) {
    const box = view.svg.getBoundingClientRect();
    const pointer = { x: clientX - box.left, y: clientY - box.top };
    let [nearest, least] = [null, REACH[pointerType] ?? REACH.mouse];
    for (const path of view.svg.querySelectorAll(view.state.ghosts ? ".mx-edges path" : ".mx-edge")) {
      const curve = curveOf(view, path);
      if (pointer.y > curve[0].y + least || pointer.y < curve[3].y - least) continue;
      const distance = distanceTo(curve, pointer);
      if (distance < least) [nearest, least] = [path, distance];
    }
    return nearest && edgeOf(nearest);
  }

  /** The distance from a point to a curve, taken as 16 straight pieces. */
  function distanceTo([a, b, c, d], { x, y }) {
    const mix = (t, name) =>
      (1 - t) ** 3 * a[name] + 3 * t * (1 - t) ** 2 * b[name] + 3 * t ** 2 * (1 - t) * c[name] + t ** 3 * d[name];
    const points = range(17).map((k) => ({ x: mix(k / 16, "x") - x, y: mix(k / 16, "y") - y }));
    const pieces = points.slice(1).map((end, k) => {
      const [start, dx, dy] = [points[k], end.x - points[k].x, end.y - points[k].y];
      const along = Math.min(1, Math.max(0, -(start.x * dx + start.y * dy) / (dx ** 2 + dy ** 2)));
      return Math.hypot(start.x + along * dx, start.y + along * dy);
    });
    return Math.min(...pieces);
  }

  const sameEdge = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  /** The edges that end in a unit; of an input, those that begin there. */
  function edgesAt(net, { level, unit }) {
    const top = net.masks.length;
    const all = (row, make) => row.map((_, k) => make(k));
    if (level === 0) return all(net.levels[1], (o) => ({ from: [0, unit], to: [1, o], isDirect: false }));
    const through = all(net.levels[level - 1], (k) => ({ from: [level - 1, k], to: [level, unit], isDirect: false }));
    if (level < top || !net.direct) return through;
    return [...through, ...all(net.levels[0], (j) => ({ from: [0, j], to: [top, unit], isDirect: true }))];
  }

  /** Go to the next or the previous edge at the chosen unit, or begin with the first. */
  function walkEdges(view, by) {
    const { state } = view;
    const edges = edgesAt(network(state), state.chosen);
    const at = edges.findIndex((edge) => sameEdge(edge, state.edge));
    const next = at < 0 ? 0 : (at + by + edges.length) % edges.length;
    show(view, { ...state, edge: edges[next], hovered: null });
  }

  // ---- the erasing -------------------------------------------------------------------------------------------------

  /** One more mask, and those edges fall that it erases. */
  function withOneMore(state) {
    const applied = state.applied + 1;
    return { ...state, applied: applied >= masksOf(state) ? ALL : applied, falling: state.applied };
  }

  const PAUSE = 1000; // milliseconds from one mask to the next

  /** Apply all masks, one after the other; if all are applied already, from the beginning. */
  function applyMasks(view) {
    const { state } = view;
    const isDone = state.applied >= masksOf(state);
    act(view, isDone ? { ...state, applied: 0, ghosts: true, falling: null } : withOneMore(state));
    const goOn = () => {
      if (view.state.applied >= masksOf(view.state)) return;
      show(view, withOneMore(view.state));
      view.timer = setTimeout(goOn, PAUSE);
    };
    view.timer = setTimeout(goOn, PAUSE);
  }

  function listenToErasing(view) {
    const on = (name, action) => view.find(name).addEventListener("click", action);
    on(".mx-full", () => act(view, { ...view.state, applied: 0, ghosts: true, falling: null, edge: null }));
    on(".mx-apply", () => applyMasks(view));
    on(".mx-one", () => act(view, withOneMore(view.state)));
    on(".mx-less", () => act(view, withDegree(view.state, view.state.chosen, -1), true));
    on(".mx-more", () => act(view, withDegree(view.state, view.state.chosen, 1), true));
    view.svg.addEventListener("animationend", () => {
      if (view.state.falling !== null) show(view, { ...view.state, falling: null });
    });
  }

  // ---- things to try -----------------------------------------------------------------------------------------------

  /** A question about the sum of all probabilities. */
  const sumBet = (view) => ({
    ask: `What is the sum of p(x) over all ${2 ** START.D} rows now, for random positive weights?`,
    options: ["below 1", "exactly 1", "above 1"],
    covers: ["sum", "total"],
    reveal(bet) {
      const total = totalOf(view.asked, network(view.asked));
      const answer = Math.abs(total - 1) < 1e-9 ? "exactly 1" : `${total < 1 ? "below" : "above"} 1`;
      return `${bet === answer ? "Yes" : "No"}: it is ${total.toFixed(6)}.`;
    },
  });

  const numberBet = (view, { ask, unit, covers, answer }) => ({
    ask,
    unit,
    covers,
    reveal(bet) {
      const right = answer(network(view.asked));
      return bet === right ? `Yes: ${right}.` : `No: you bet ${bet}, and it is ${right}.`;
    },
  });

  const betsOf = (view) => ({
    sum: sumBet(view),
    leaks: numberBet(view, {
      ask: `How many of the ${START.D} outputs see their own variables?`,
      unit: "outputs",
      covers: ["network", "sum", "total", "who", "matrices"],
      answer: (net) => leaking(net).length,
    }),
    lost: numberBet(view, {
      ask: "How many of the dependencies that the order allows have lost their path?",
      unit: "dependencies",
      covers: ["coverage", "who", "matrices"],
      answer: (net) => allPairs(net) - reached(net),
    }),
    degree: numberBet(view, {
      ask: "The order is 4 0 3 1 2. Which degree has input 1?",
      unit: "(its step, counted from 1)",
      covers: ["network", "matrices", "who", "own"],
      answer: (net) => net.levels[0][1],
    }),
  });

  function guideOf(view) {
    const go = (text) => {
      act(view, stateOf(text), true);
      view.asked = view.state; // what a bet is about, whatever the reader changes before it is placed
      if (new URLSearchParams(text).get("do") === "apply") applyMasks(view);
    };
    const names = {
      network: "box",
      sum: "sum",
      coverage: "coverage",
      who: "who",
      matrices: "matrices",
      erase: "erase",
      total: "total",
    };
    const parts = Object.entries({ ...names, order: "order", own: "told" }).map(([name, part]) => [
      name,
      view.find(`.mx-${part}`),
    ]);
    return made.guide({ go, parts: Object.fromEntries(parts), bets: betsOf(view) });
  }

  // ---- dragging ----------------------------------------------------------------------------------------------------

  /** An input that is dragged takes the step of the one it is let go at. */
  function listenToDragging(view) {
    let drag = null; // {unit, element, x, isMoving}
    const nearest = (x) => {
      const spots = view.plan.places[0];
      return spots.reduce((best, spot, unit) => (Math.abs(spot.x - x) < Math.abs(spots[best].x - x) ? unit : best), 0);
    };
    const place = (event) => event.clientX - view.svg.getBoundingClientRect().left;
    const isInside = ({ clientX, clientY }) => {
      const { left, right, top, bottom } = view.svg.getBoundingClientRect();
      return clientX >= left && clientX <= right && clientY >= top && clientY <= bottom;
    };
    const cancel = () => {
      drag = null;
      position(view, view.plan.places);
    };
    view.svg.addEventListener("pointerdown", (event) => {
      const element = event.target.closest(".mx-input");
      if (element && event.button === 0) drag = { unit: unitOf(element).unit, element, x: place(event) };
    });
    view.svg.addEventListener("pointermove", (event) => {
      if (!drag || (!drag.isMoving && Math.abs(place(event) - drag.x) < 8)) return;
      if (!drag.isMoving) view.svg.setPointerCapture(event.pointerId);
      drag.isMoving = true;
      const { y } = view.plan.places[0][drag.unit];
      const x = Math.min(Math.max(place(event), 0), view.svg.clientWidth);
      drag.element.setAttribute("transform", `translate(${x} ${y})`);
    });
    view.svg.addEventListener("pointerup", (event) => {
      const { unit, isMoving } = drag ?? {};
      if (isMoving) cancel();
      drag = null;
      if (!isMoving || !isInside(event)) return; // let go outside, it stays where it was
      const step = degreesFromOrder(orderOf(view.state))[nearest(place(event))] - 1;
      act(view, { ...moved(view.state, unit, step), chosen: { level: 0, unit } }, true);
    });
    view.svg.addEventListener("pointercancel", cancel);
    document.addEventListener("keydown", ({ key }) => key === "Escape" && drag && cancel());
  }

  /** The unit that an element stands for, or null. */
  function unitOf(element) {
    const holder = element.closest("[data-unit]");
    if (!holder) return null;
    const [level, unit] = read(holder.dataset.unit);
    return { level, unit };
  }

  function choose(view, chosen, focus = false) {
    show(view, { ...view.state, chosen, hovered: null, edge: null });
    if (focus) chosenElement(view).focus();
  }

  /** Pointing lights a unit up for a moment; a click, a tap or the keyboard chooses it. */
  function listenToPointer(view) {
    const hover = (hovered, edge) => {
      const { state } = view;
      const isNew = JSON.stringify([hovered, edge]) !== JSON.stringify([state.hovered, state.edge]);
      if (isNew) show(view, { ...state, hovered, edge });
    };
    let wasChosen = false;
    view.root.addEventListener("pointermove", (event) => {
      if (event.pointerType === "touch" || event.buttons) return;
      const unit = unitOf(event.target);
      hover(unit, !unit && view.svg.contains(event.target) ? edgeNear(view, event) : null);
    });
    view.root.addEventListener("pointerleave", () => hover(null, null));
    view.root.addEventListener("pointerdown", ({ target }) => {
      const { level, unit } = view.state.chosen;
      wasChosen = view.svg.contains(target) && target.closest("[data-unit]")?.dataset.unit === `${level},${unit}`;
    });
    view.root.addEventListener("click", (event) => {
      const { target } = event;
      const unit = unitOf(target);
      if (!unit && view.svg.contains(target)) hover(null, edgeNear(view, event));
      if (!unit) return;
      choose(view, unit, view.svg.contains(target));
      if (wasChosen && unit.level > 0 && unit.level <= view.state.layers) act(view, raised(view.state, unit));
    });
  }

  /** A hidden unit with its degree raised by one; after the highest comes the lowest. */
  function raised(state, chosen) {
    const next = withDegree(state, chosen, 1);
    return next === state ? withDegree(state, chosen, 2 - state.D) : next;
  }

  /** On the box and not on the drawing: browsers let Tab stop at an SVG that listens to focus. */
  function listenToKeys(view) {
    view.box.addEventListener("focusin", ({ target }) => {
      const unit = unitOf(target);
      if (unit) choose(view, unit);
    });
    view.box.addEventListener("keydown", (event) => {
      if (!unitOf(event.target) || event.ctrlKey || event.altKey || event.metaKey) return;
      if (pressed(view, event)) event.preventDefault();
    });
  }

  const DEGREE_KEYS = { "+": 1, "=": 1, "-": -1 };
  const ALONG = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

  /** What a key does at the chosen unit; false if nothing. */
  function pressed(view, { key, shiftKey }) {
    const { state } = view;
    const by = DEGREE_KEYS[key] ?? (shiftKey && state.chosen.level === 0 ? ALONG[key] : undefined);
    if (by) act(view, withDegree(state, state.chosen, by), true);
    else if (key === "Enter") walkEdges(view, 1);
    else if (state.edge && key in ALONG) walkEdges(view, ALONG[key]);
    else if (state.edge && key === "Escape") show(view, { ...state, edge: null });
    else {
      const next = neighbours(network(state), view.plan.places, state.chosen);
      if (!(key in next)) return false;
      if (next[key]) choose(view, next[key], true);
    }
    return true;
  }

  /** Where each key leads from a unit; undefined where the network ends. */
  function neighbours(net, places, { level, unit }) {
    const row = net.shown[level];
    const at = row.indexOf(unit);
    const along = (to) => (to in row ? { level, unit: row[to] } : undefined);
    const nearest = (to) => {
      if (!(to in places)) return undefined;
      const distance = (other) => Math.abs(places[to][other].x - places[level][unit].x);
      return {
        level: to,
        unit: net.shown[to].reduce((best, other) => (distance(other) < distance(best) ? other : best)),
      };
    };
    return {
      ArrowLeft: along(at - 1),
      ArrowRight: along(at + 1),
      Home: along(0),
      End: along(row.length - 1),
      ArrowUp: nearest(level + 1),
      ArrowDown: nearest(level - 1),
    };
  }

  window.maskExplorer = { parseOrder, totalProbability, network, addressOf, stateOf, verdict, LINES, mount, show };

  made.replacePicture("mask_explorer", mount);
}
