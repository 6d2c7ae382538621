/* The mask explorer: a small MADE drawn so that one can see who sees whom.

   A page that shows the picture mask_explorer.png inside a link gets the explorer in its place. Without JavaScript, in
   Jupyter and in print the picture stays. The first half of this file is the idea, the second half is the drawing. */

(() => {
"use strict"

// ---- Masks: the functions of made/masks.py, with the same names --------------------------------------------------

/** Number the variables by the step at which each one is generated: degrees[order[t]] = t + 1. */
function degreesFromOrder(order) {
  const degrees = []
  order.forEach((variable, t) => { degrees[variable] = t + 1 })
  return degrees
}

/** Cut the D variables into equal groups, one more than the narrowest layer has units, and put a degree at each cut. */
function evenDegrees(nFeatures, hidden) {
  const distinct = Math.min(nFeatures - 1, ...hidden)
  const cuts = range(distinct).map(k => Math.floor((k + 1) * nFeatures / (distinct + 1)))
  return hidden.map(width => range(width).map(k => cuts[Math.floor(k * distinct / width)]))
}

/** Draw degrees uniformly from the smallest degree of the layer just before to D - 1. */
function randomDegrees(nFeatures, hidden, random) {
  let low = 1
  return hidden.map(width => {
    const layer = range(width).map(() => low + Math.floor(random() * (nFeatures - low)))
    low = Math.min(...layer)
    return layer
  })
}

/** One mask per layer, mask[out][in]. Hidden: degree(out) >= degree(in). Output: >, or the mistake >=. */
function buildMasks(degrees, rule = ">") {
  const keep = {">=": (out, inp) => out >= inp, ">": (out, inp) => out > inp}
  const mask = (outs, ins, rule) => outs.map(out => ins.map(inp => keep[rule](out, inp)))
  const masks = degrees.slice(1).map((layer, l) => mask(layer, degrees[l], ">="))
  masks.push(mask(degrees[0], degrees[degrees.length - 1], rule))
  return masks
}

/** Mask of a direct connection from inputs to outputs: the output rule, applied to the inputs. */
function directMask(degrees, rule = ">") {
  return buildMasks([degrees[0]], rule)[0]
}

/** For every layer, [unit][input]: true where a path leads from the input to the unit. A product of masks. */
function views(degrees, rule = ">") {
  const inputs = range(degrees[0].length)
  const seen = [inputs.map(i => inputs.map(j => i === j))]
  for (const mask of buildMasks(degrees, rule)) {
    const below = seen[seen.length - 1]
    seen.push(mask.map(row => inputs.map(j => row.some((kept, k) => kept && below[k][j]))))
  }
  return seen
}

/** [i][j] is true if output i can see input j through the layers. */
function reachable(degrees, rule = ">") {
  return views(degrees, rule).pop()
}

/** Fraction of the D(D-1)/2 allowed dependencies that have a path. */
function coverage(degrees, direct = false) {
  const D = degrees[0].length
  const reach = direct ? directMask(degrees) : reachable(degrees)
  return reach.flat().filter(Boolean).length / (D * (D - 1) / 2)
}

// ---- Is it a distribution? ---------------------------------------------------------------------------------------

/** Random numbers in [0, 1) that a seed determines (mulberry32). */
function randomFrom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6D2B79F5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

function randomOrder(nFeatures, random) {
  const order = range(nFeatures)
  for (let t = nFeatures - 1; t > 0; t--) {
    const s = Math.floor(random() * (t + 1));
    [order[s], order[t]] = [order[t], order[s]]
  }
  return order
}

/** Sum of p(x) over all 2^D rows x, for a network with these masks, random weights and Bernoulli outputs. */
function totalProbability(degrees, {rule = ">", direct = false, seed = 0} = {}) {
  const random = randomFrom(seed)
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  // A weight is drawn also where the mask erases it, so that a change of rule leaves all others as they were. Weights
  // are positive: an output that sees its own variable then leans towards it, and the sum can only become too large.
  const layer = mask => ({
    weight: mask.map(row => row.map(kept => { const w = Math.abs(normal()); return kept ? w : 0 })),
    bias: mask.map(normal),
  })
  const layers = buildMasks(degrees, rule).map(layer)
  const shortcut = layer(directMask(degrees, rule))
  const linear = ({weight, bias}, x) => weight.map((row, k) => row.reduce((sum, w, j) => sum + w * x[j], bias[k]))

  const D = degrees[0].length
  let total = 0
  for (let number = 0; number < 2 ** D; number++) {
    const x = range(D).map(i => (number >> i) & 1)
    const signs = x.map(bit => 2 * bit - 1) // the network reads a row as -1 and 1
    let h = signs
    for (const hidden of layers.slice(0, -1)) h = linear(hidden, h).map(Math.tanh)
    let logits = linear(layers[layers.length - 1], h)
    if (direct) logits = linear(shortcut, signs).map((a, i) => a + logits[i])
    // p(x) is the product of the conditionals: sigmoid(a) for a one, sigmoid(-a) for a zero.
    total += logits.reduce((p, a, i) => p / (1 + Math.exp(x[i] ? -a : a)), 1)
  }
  return total
}

function range(n) {
  return Array.from({length: n}, (_, k) => k)
}

// ---- Text --------------------------------------------------------------------------------------------------------

/** Read a permutation of 0..D-1 as typed; returns {order} or {error}. */
function parseOrder(text, nFeatures) {
  const parts = text.split(/[\s,;[\]]+/).filter(Boolean)
  const wrong = parts.find(part => !/^\d+$/.test(part) || Number(part) >= nFeatures)
  const last = nFeatures - 1
  if (wrong !== undefined) return {error: `“${wrong}” is no variable: they are numbered 0 to ${last}.`}
  const order = parts.map(Number)
  const twice = order.find((variable, t) => order.indexOf(variable) !== t)
  if (twice !== undefined) return {error: `${twice} appears twice. Name each of 0 to ${last} once.`}
  const missing = range(nFeatures).filter(variable => !order.includes(variable))
  if (missing.length) return {error: `${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} missing. Name each of 0 to ${last} once.`}
  return {order}
}

const x = variable => `<i>x</i><sub>${variable}</sub>`
const count = (n, thing) => `${n} ${thing}${n === 1 ? "" : "s"}`

// ---- The widget --------------------------------------------------------------------------------------------------

const GAP = 92        // pixels from one layer to the next; the stylesheet gives the labels beside the layers this height
const LEAST_STEP = 21 // pixels between two units; a network that needs more than the page has scrolls in its box
const calm = matchMedia("(prefers-reduced-motion: reduce)")
let mounts = 0

const choices = (id, name, legend, options) => `
  <fieldset class="mx-choices"><legend>${legend}</legend>
    ${options.map(([value, text, title]) => `<label title="${title || ""}"><input type="radio" name="${id}-${name}" data-set="${name}" value="${value}"><span>${text}</span></label>`).join("")}
  </fieldset>`

const frame = id => `
  <div class="mx-settings">
    ${choices(id, "layers", "Hidden layers", [[1, "1"], [2, "2"], [3, "3"]])}
    <div class="mx-field mx-order">
      <label for="${id}-kind">Order</label>
      <div class="mx-pair">
        <select id="${id}-kind" data-set="orderKind">
          <option value="natural">natural</option><option value="reversed">reversed</option>
          <option value="random">random</option><option value="typed">your own</option>
        </select>
        <input id="${id}-order" class="mx-typed" type="text" inputmode="text" autocomplete="off" spellcheck="false"
          aria-label="Order as a permutation: the variable of each step" aria-describedby="${id}-error">
      </div>
    </div>
    ${choices(id, "degrees", "Hidden degrees", [["even", "even"], ["random", "random"]])}
    <div class="mx-field">
      <label for="${id}-seed">Seed</label>
      <div class="mx-pair">
        <input id="${id}-seed" class="mx-seed" type="number" min="0" max="9999" data-set="seed">
        <button type="button" class="mx-again">Draw again</button>
      </div>
    </div>
  </div>
  <p class="mx-error" id="${id}-error" role="alert"></p>
  <div class="mx-top">
    <p class="mx-says" role="status" aria-live="polite"></p>
    ${choices(id, "arrange", "Arrange units", [["index", "by index"], ["degree", "by degree"]])}
  </div>
  <div class="mx-body">
    <div class="mx-gutter"></div>
    <div class="mx-box" role="group" aria-label="The network. Arrow keys move between units; the text above says what a unit sees.">
      <svg class="mx-network"></svg>
    </div>
  </div>
  <div class="mx-facts">
    <div><div class="mx-sum"></div><div class="mx-coverage"></div></div>
    <div class="mx-who"></div>
  </div>
  <div class="mx-matrices"></div>`

function mount(place) {
  const id = `mx${mounts++}`
  const root = document.createElement("section")
  root.className = "mx"
  root.setAttribute("aria-label", "Mask explorer")
  root.innerHTML = frame(id)
  place.replaceWith(root)
  const find = selector => root.querySelector(selector)
  const svg = find(".mx-network"), box = find(".mx-box")

  const state = {
    D: 5, layers: 2, widths: [6, 6, 6], orderKind: "typed", typed: [3, 0, 4, 1, 2], degrees: "even", seed: 0,
    direct: false, rule: ">", arrange: "index",
  }
  let net              // everything that follows from the state: degrees, masks, who sees whom
  let chosen = {level: 3, unit: 1} // the unit that has, or last had, the focus
  let hovered = null
  let spots = []       // spots[level][unit] = {x, y}: where each unit is drawn
  let animation = 0

  // -- from the settings to the network --

  function compute() {
    const {D, rule} = state
    const hidden = state.widths.slice(0, state.layers)
    // Order, degrees and weights draw from streams of their own, so that one does not disturb the others.
    const order = {
      natural: () => range(D),
      reversed: () => range(D).reverse(),
      random: () => randomOrder(D, randomFrom(state.seed * 3)),
      typed: () => state.typed,
    }[state.orderKind]()
    const inner = state.degrees === "even" ? evenDegrees(D, hidden) : randomDegrees(D, hidden, randomFrom(state.seed * 3 + 1))
    const degrees = [degreesFromOrder(order), ...inner]
    const masks = buildMasks(degrees, rule)
    const direct = state.direct ? directMask(degrees, rule) : null
    const seen = views(degrees, rule)
    // heard[level][unit][i]: a path leads from the unit to output i. Like `views`, from the other end.
    const heard = [range(D).map(i => range(D).map(j => i === j))]
    for (const mask of [...masks].reverse()) {
      heard.unshift(mask[0].map((_, k) => range(D).map(i => mask.some((row, o) => row[k] && heard[0][o][i]))))
    }
    const sees = seen[seen.length - 1].map((row, i) => row.map((path, j) => path || Boolean(direct && direct[i][j])))
    net = {order, degrees, levels: [...degrees, degrees[0]], masks, direct, seen, heard, sees}
    net.allowed = range(D).map(i => range(D).map(j => degrees[0][i] > degrees[0][j]))
    net.shown = net.levels.map(layer => {
      const units = range(layer.length)
      return state.arrange === "index" ? units : units.sort((a, b) => layer[a] - layer[b] || a - b)
    })
    chosen.level = Math.min(chosen.level, net.levels.length - 1)
    chosen.unit = Math.min(chosen.unit, net.levels[chosen.level].length - 1)
  }

  const kind = level => level === 0 ? "input" : level === net.levels.length - 1 ? "output" : "hidden"
  const inStep = variables => variables.sort((a, b) => net.degrees[0][a] - net.degrees[0][b])

  /** What lights up with a unit: the inputs it sees, the outputs that see it, and the ends of every path that leaks. */
  function trace({level, unit}) {
    const D = state.D
    let ins = net.seen[level][unit], outs = net.heard[level][unit]
    if (kind(level) === "output") ins = net.sees[unit]
    if (kind(level) === "input") outs = range(D).map(i => net.sees[i][unit])
    const forbidden = (i, j) => ins[j] && outs[i] && !net.allowed[i][j]
    // linked[level][unit]: a path leads from there to the active unit, or from the active unit there.
    const linked = net.levels.map(layer => layer.map(() => false))
    linked[level][unit] = true
    for (let l = level; l > 0; l--) {
      linked[l - 1] = linked[l - 1].map((_, k) => net.masks[l - 1].some((row, o) => row[k] && linked[l][o]))
    }
    for (let l = level; l < net.masks.length; l++) {
      linked[l + 1] = net.masks[l].map(row => row.some((kept, k) => kept && linked[l][k]))
    }
    return {
      level, unit, ins, outs, linked,
      leakIns: range(D).map(j => range(D).some(i => forbidden(i, j))),
      leakOuts: range(D).map(i => range(D).some(j => forbidden(i, j))),
    }
  }

  /** How the edge from unit k of a level to unit o of the next is lit: does a path through the active unit use it? */
  function edgeLight(t, level, k, o) {
    if (!t.linked[level][k] || !t.linked[level + 1][o]) return ""
    const meet = (a, b) => a.some((yes, n) => yes && b[n])
    const [end, all, leaks] = level < t.level
      ? [net.seen[level][k], t.ins, t.leakIns]
      : [net.heard[level + 1][o], t.outs, t.leakOuts]
    return meet(end, leaks) ? "leak" : meet(end, all) ? "lit" : ""
  }

  // -- words --

  const list = variables => variables.length ? variables.map(x).join(", ") : ""

  function sentence({level, unit}) {
    const degree = net.levels[level][unit], t = trace({level, unit})
    const pick = flags => inStep(range(state.D).filter(v => flags[v]))
    if (kind(level) === "input") {
      const fair = pick(t.outs).filter(i => net.allowed[i][unit]), leaks = pick(t.outs).filter(i => !net.allowed[i][unit])
      const head = `Input ${x(unit)}, degree ${degree}, `
      if (leaks.length) return `${head}is seen by ${fair.length ? `${fair.length > 1 ? "outputs" : "output"} ${list(fair)} and ` : ""}<em>its own output</em>. That is a leak.`
      if (fair.length) return `${head}is seen by ${fair.length > 1 ? "outputs" : "output"} ${list(fair)}.`
      return degree === state.D ? `${head}is seen by no output: it comes last.` : `${head}is seen by no output: no path leaves it.`
    }
    const ins = pick(t.ins)
    if (kind(level) === "hidden") {
      const outs = pick(t.outs), joined = pick(t.leakIns)
      const leak = joined.length ? ` It joins ${list(joined)} with <em>its own output</em>: a leak.` : ""
      return `Hidden unit ${unit} of layer ${level}, degree ${degree}, sees ${list(ins)} and feeds ` +
        (outs.length ? `${outs.length > 1 ? "outputs" : "output"} ${list(outs)}.` : "no output.") + leak
    }
    const head = `Output ${x(unit)}, degree ${degree}, `
    const fair = ins.filter(j => net.allowed[unit][j]), leaks = ins.filter(j => !net.allowed[unit][j])
    const lost = inStep(range(state.D).filter(j => net.allowed[unit][j] && !t.ins[j]))
    const but = lost.length ? ` It may see ${list(lost)} too, but no path leads there.` : ""
    if (leaks.length) return `${head}sees ${fair.length ? `${list(fair)} and ` : ""}<em>itself</em>. That is a leak.${but}`
    if (fair.length) return `${head}sees ${list(fair)}.${but}`
    return degree === 1 ? `${head}sees nothing: it comes first.` : `${head}sees nothing.${but}`
  }

  function facts() {
    const {D, rule, direct, seed} = state
    const total = totalProbability(net.degrees, {rule, direct, seed: seed * 3 + 2})
    const leaks = range(D).filter(i => net.sees[i].some((yes, j) => yes && !net.allowed[i][j]))
    const many = leaks.length > 1
    const why = leaks.length
      ? `It should be 1. ${many ? "Outputs" : "Output"} ${list(inStep(leaks))} ${many ? "see their own variables" : "sees its own variable"}: ` +
        "what has seen the answer is no prediction, and this is no distribution."
      : rule === ">"
        ? "No output sees its own variable or a later one, so each is a conditional probability, and the sum is 1 for any weights."
        : "The rule is wrong, but by luck no path leads from a variable to its own output."
    find(".mx-sum").classList.toggle("mx-bad", leaks.length > 0)
    find(".mx-sum").innerHTML = `<b>${total.toFixed(6)}</b>` +
      `<p>is the sum of <i>p</i>(<i>x</i>) over all ${2 ** D} rows for random weights. ${why}</p>`
    const part = coverage(net.degrees, direct), pairs = D * (D - 1) / 2
    find(".mx-coverage").innerHTML = `<b>${(100 * part).toFixed(part === 1 ? 0 : 1)} %</b>` +
      `<p>is the coverage: ${Math.round(part * pairs)} of the ${count(pairs, "dependency").replace("ys", "ies")} that the order allows ${pairs > 1 ? "have" : "has"} a path.</p>`
  }

  // -- the picture --

  function layout() {
    const widest = Math.max(...net.levels.map(layer => layer.length))
    const available = box.clientWidth - 8
    // By degree: one column per degree, as wide as the layer with most units of this degree. `pitch` is the distance
    // between two of them in steps; where space is short they stand closer and, so as not to touch, in a zigzag.
    const most = degree => Math.max(1, ...net.levels.map(layer => layer.filter(d => d === degree).length))
    const columnsAt = pitch => {
      let left = 0
      return range(state.D).map(k => {
        const width = 1.35 + pitch * (most(k + 1) - 1)
        left += width
        return {left: left - width, width}
      })
    }
    const total = columns => columns.reduce((sum, column) => sum + column.width, 0)
    const pitch = available / total(columnsAt(1)) < 28 ? 0.6 : 1
    const columns = state.arrange === "degree" ? columnsAt(pitch) : []
    const units = columns.length ? total(columns) : widest

    const step = Math.max(LEAST_STEP, Math.min(62, available / units))
    const width = Math.max(available, step * units), radius = Math.min(16, 0.42 * step)
    const left = (width - step * units) / 2
    const places = net.levels.map((layer, level) => layer.map((degree, unit) => {
      const y = (net.levels.length - level - 0.5) * GAP
      if (state.arrange === "index") {
        const spread = step * Math.min(1.6, widest / layer.length)
        return {x: width / 2 + (unit - (layer.length - 1) / 2) * spread, y}
      }
      const group = net.shown[level].filter(other => layer[other] === degree), at = group.indexOf(unit)
      const column = columns[degree - 1], middle = column.left + column.width / 2
      const zigzag = pitch < 1 && group.length > 1 ? 0.45 * step * (at % 2 ? 1 : -1) : 0
      return {x: left + step * (middle + pitch * (at - (group.length - 1) / 2)), y: y + zigzag}
    }))
    const bands = columns.map((c, k) => ({x: left + step * c.left, width: step * c.width, label: k + 1}))
    return {places, bands, width, radius, height: net.levels.length * GAP + (bands.length ? 22 : 0)}
  }

  let plan
  function draw(animated = false) {
    const before = spots
    plan = layout()
    svg.setAttribute("viewBox", `0 0 ${plan.width} ${plan.height}`)
    svg.setAttribute("width", plan.width)
    svg.setAttribute("height", plan.height)
    const bottom = net.levels.length * GAP
    const narrow = plan.bands.some(band => band.width < 44)
    const bands = plan.bands.map((band, k) => `
      <rect class="mx-band${k % 2 ? " mx-odd" : ""}" x="${band.x}" y="0" width="${band.width}" height="${plan.height}" rx="4"/>
      <text class="mx-step" x="${band.x + band.width / 2}" y="${bottom + 13}">${narrow ? (k ? "" : "step ") : "step "}${band.label}</text>`).join("")
    const edges = []
    net.masks.forEach((mask, level) => mask.forEach((row, o) => row.forEach((kept, k) => {
      if (kept) edges.push(`<path class="mx-edge" data-from="${level},${k}" data-to="${level + 1},${o}"/>`)
    })))
    const top = net.levels.length - 1
    if (net.direct) net.direct.forEach((row, i) => row.forEach((kept, j) => {
      if (kept) edges.push(`<path class="mx-edge mx-direct" data-from="0,${j}" data-to="${top},${i}"/>`)
    }))
    const units = net.levels.map((layer, level) => net.shown[level].map(unit => {
      const name = {input: `input x${unit}`, output: `output x${unit}`, hidden: `hidden unit ${unit} of layer ${level}`}[kind(level)]
      const label = kind(level) === "hidden" ? "" :
        `<text class="mx-name" y="${level ? -plan.radius - 9 : plan.radius + 17}"><tspan font-style="italic">x</tspan><tspan class="mx-sub" dy="3">${unit}</tspan></text>`
      return `<g class="mx-unit" role="button" tabindex="-1" data-unit="${level},${unit}" aria-label="${name}, degree ${layer[unit]}">
        <circle class="mx-hit" r="${Math.max(plan.radius + 5, LEAST_STEP / 2)}"/><circle class="mx-ring" r="${plan.radius + 4}"/>
        <circle class="mx-disc" r="${plan.radius}"/><text class="mx-degree">${layer[unit]}</text>${label}</g>`
    }).join("")).join("")
    svg.innerHTML = `<g>${bands}</g><g class="mx-edges">${edges.join("")}</g><g>${units}</g>`
    svg.style.setProperty("--mx-font", `${Math.max(10, Math.min(14, plan.radius))}px`)

    cancelAnimationFrame(animation)
    const same = before.length === plan.places.length && before.every((row, l) => row.length === plan.places[l].length)
    if (!animated || !same || calm.matches) {
      position(plan.places)
    } else {
      const start = performance.now()
      const frame = now => {
        const part = Math.min(1, Math.max(0, (now - start) / 450)), eased = part * part * (3 - 2 * part)
        const mix = (a, b) => a + (b - a) * eased
        position(plan.places.map((row, l) => row.map((to, u) => ({x: mix(before[l][u].x, to.x), y: mix(before[l][u].y, to.y)}))))
        if (part < 1) animation = requestAnimationFrame(frame)
      }
      frame(start)
    }
    light()
  }

  function position(places) {
    spots = places
    const at = text => { const [level, unit] = text.split(",").map(Number); return spots[level][unit] }
    for (const unit of svg.querySelectorAll(".mx-unit")) {
      const {x, y} = at(unit.dataset.unit)
      unit.setAttribute("transform", `translate(${x.toFixed(2)} ${y.toFixed(2)})`)
    }
    for (const edge of svg.querySelectorAll(".mx-edge")) {
      const a = at(edge.dataset.from), b = at(edge.dataset.to), r = plan.radius
      const bend = 0.28 * (a.y - b.y), aside = edge.classList.contains("mx-direct") ? 1.6 * r : 0
      edge.setAttribute("d", `M${a.x} ${a.y - r}C${a.x + aside} ${a.y - bend} ${b.x + aside} ${b.y + bend} ${b.x} ${b.y + r}`)
    }
  }

  /** Light up what belongs to the active unit, in the network and in the matrices, and say it in words. */
  function light() {
    const active = hovered || chosen, t = trace(active), key = `${active.level},${active.unit}`
    const lights = new Map([[key, ""]]) // unit -> how it is lit
    const edgesBox = svg.querySelector(".mx-edges")
    const front = []
    for (const edge of edgesBox.children) {
      const [level, k] = edge.dataset.from.split(",").map(Number), [, o] = edge.dataset.to.split(",").map(Number)
      let how
      if (edge.classList.contains("mx-direct")) {
        const mine = (active.level === 0 && active.unit === k) || (kind(active.level) === "output" && active.unit === o)
        how = mine ? (net.allowed[o][k] ? "lit" : "leak") : ""
      } else {
        how = edgeLight(t, level, k, o)
      }
      edge.classList.toggle("mx-lit", how === "lit")
      edge.classList.toggle("mx-leak", how === "leak")
      if (!how) continue
      front.push([how, edge])
      for (const end of [edge.dataset.from, edge.dataset.to]) {
        if (lights.get(end) !== "leak") lights.set(end, how)
      }
    }
    front.sort(([a], [b]) => (a === "leak") - (b === "leak")).forEach(([, edge]) => edgesBox.append(edge))
    for (const unit of svg.querySelectorAll(".mx-unit")) {
      const name = unit.dataset.unit, how = lights.get(name)
      unit.classList.toggle("mx-active", name === key)
      unit.classList.toggle("mx-lit", how === "lit")
      unit.classList.toggle("mx-leak", how === "leak")
      const focusable = name === `${chosen.level},${chosen.unit}`
      unit.setAttribute("tabindex", focusable ? 0 : -1)
      unit.setAttribute("aria-pressed", focusable)
    }
    for (const row of root.querySelectorAll(".mx-row")) row.classList.toggle("mx-active", row.dataset.unit === key)
    const says = find(".mx-says"), text = sentence(active)
    if (says.dataset.text !== text) { says.dataset.text = text; says.innerHTML = text }
  }

  function matrices() {
    const top = net.levels.length - 1
    const name = level => level === 0 ? "inputs" : level === top ? "outputs" : `hidden ${level}`
    const all = net.masks.map((mask, level) => matrix(mask, `${name(level)} → ${name(level + 1)}`, level, level + 1, 9, cellOf))
    if (net.direct) all.push(matrix(net.direct, "inputs → outputs, direct", 0, top, 9, (kept, i, j) => kept && !net.allowed[i][j] ? "leak" : cellOf(kept)))
    const lost = (sees, i, j) => sees ? (net.allowed[i][j] ? "on" : "leak") : net.allowed[i][j] ? "lost" : "off"
    find(".mx-who").innerHTML = matrix(net.sees, "who sees whom", 0, top, 16, lost, true)
    find(".mx-matrices").innerHTML = all.join("")
  }

  const cellOf = kept => kept ? "on" : "off"

  function matrix(values, title, from, to, size, look, named = false) {
    const rows = net.shown[to], columns = net.shown[from], pad = named ? 20 : 1
    const width = pad + columns.length * size + 1, height = pad + rows.length * size + 1
    const kept = values.flat().filter(Boolean).length
    const cells = rows.map((o, r) => {
      const squares = columns.map((k, c) => {
        const how = look(values[o][k], o, k), at = `x="${pad + c * size + 1}" y="${pad + r * size + 1}" width="${size - 2}" height="${size - 2}" rx="1.5"`
        const cross = how === "leak" && named ? `<path class="mx-cross" d="M${pad + c * size + 5} ${pad + r * size + 5}l${size - 10} ${size - 10}m0 ${10 - size}l${10 - size} ${size - 10}"/>` : ""
        return `<rect class="mx-${how}" ${at}/>${cross}`
      }).join("")
      const label = named ? `<text x="${pad - 4}" y="${pad + (r + 0.5) * size}" text-anchor="end">${o}</text>` : ""
      return `<g class="mx-row" data-unit="${to},${o}"><rect class="mx-band" x="0" y="${pad + r * size}" width="${width}" height="${size}"/>${label}${squares}</g>`
    }).join("")
    const heads = named ? columns.map((k, c) => `<text x="${pad + (c + 0.5) * size}" y="${pad - 8}" text-anchor="middle">${k}</text>`).join("") : ""
    const label = named ? `Which output (row) sees which input (column): ${kept} pairs` : `Mask ${title}: ${kept} of ${values.length * values[0].length} weights kept`
    const legend = [["lost", "<br>dashed: allowed, but no path"], ["leak", "<br>crossed: forbidden"]]
      .filter(([how]) => cells.includes(`"mx-${how}"`)).map(([, text]) => text).join("")
    const note = named ? `row: output, column: input${legend}` : `${kept} of ${values.length * values[0].length} kept`
    return `<figure><svg role="img" aria-label="${label}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">${heads}${cells}</svg>
      <figcaption>${title}<small>${note}</small></figcaption></figure>`
  }

  /** The labels beside the layers, which are also the sliders for their widths. */
  function gutter() {
    const slider = (name, what, unit, value, least, most) => `
      <label class="mx-slider"><b>${what}</b><span><output></output>${name === "D" ? "" : ", out ≥ in"}</span>
        <input type="range" data-set="${name}" min="${least}" max="${most}" value="${value}" aria-label="${what}: number of ${unit}s"></label>`
    const layers = range(state.layers).map(l => slider(`width${l}`, `hidden ${l + 1}`, "unit", state.widths[l], 1, 12)).reverse()
    const rule = choices(id, "rule", "outputs", 
      [[">", "out &gt; in", "right: keep an edge if the degree rises"], [">=", "out ≥ in", "wrong: keep an edge if the degree does not fall"]])
    find(".mx-gutter").innerHTML = `<div class="mx-rule">${rule}
      <label class="mx-check"><input type="checkbox" data-set="direct"><span>direct connections</span></label></div>` +
      layers.join("") + slider("D", "inputs", "variable", state.D, 2, 8)
  }

  /** Bring every control in line with the state, except one in which the reader is typing. */
  function controls(typing) {
    if (root.querySelectorAll(".mx-slider").length !== state.layers + 1) gutter()
    const values = {...state, ...Object.fromEntries(state.widths.map((w, l) => [`width${l}`, w]))}
    for (const control of root.querySelectorAll("[data-set]")) {
      const value = values[control.dataset.set]
      if (control.type === "radio") control.checked = control.value === String(value)
      else if (control.type === "checkbox") control.checked = value
      else if (control !== typing) control.value = value
      if (control.type === "range") control.parentElement.querySelector("output").textContent = count(value, control.dataset.set === "D" ? "variable" : "unit")
    }
    find(".mx-rule").classList.toggle("mx-bad", state.rule === ">=")
    const typed = find(".mx-typed")
    if (typed !== typing) typed.value = net.order.join(" ")
  }

  function complain(error) {
    find(".mx-error").textContent = error || ""
    find(".mx-typed").setAttribute("aria-invalid", Boolean(error))
  }

  function update(animated = false, typing = null) {
    compute()
    controls(typing)
    matrices()
    draw(animated)
    facts()
  }

  // -- what the reader does --

  function set(name, control) {
    const number = () => Math.min(Number(control.max), Math.max(Number(control.min), Math.round(Number(control.value))))
    if (name === "D") {
      state.D = number()
      // The reader's own order is cut, or new variables come last.
      const kept = state.typed.filter(variable => variable < state.D)
      state.typed = [...kept, ...range(state.D).filter(variable => !kept.includes(variable))]
      complain()
    } else if (name.startsWith("width")) {
      state.widths[Number(name.slice(5))] = number()
    } else if (name === "layers") {
      const output = kind(chosen.level) === "output"
      state.layers = Number(control.value)
      if (output) chosen.level = state.layers + 1
      else chosen.level = Math.min(chosen.level, state.layers)
    } else if (name === "seed") {
      if (control.value === "") return
      state.seed = number()
    } else if (name === "direct") {
      state.direct = control.checked
    } else {
      if (name === "orderKind" && control.value === "typed") state.typed = net.order
      if (name === "orderKind") complain()
      state[name] = control.value
    }
    hovered = null
    update(name === "arrange", control)
  }

  root.addEventListener("input", event => {
    const control = event.target
    if (control.dataset.set) return set(control.dataset.set, control)
    const {order, error} = parseOrder(control.value, state.D)
    complain(error)
    if (error) return
    Object.assign(state, {orderKind: "typed", typed: order})
    update(true, control)
  })
  root.addEventListener("focusout", event => { // a field left in a bad state goes back to what is drawn
    if (event.target.matches(".mx-typed, .mx-seed")) { complain(); setTimeout(controls) }
  })
  find(".mx-again").addEventListener("click", () => {
    state.seed = (state.seed + 1) % 10000
    update(true)
  })

  const unitOf = element => {
    const holder = element.closest && element.closest("[data-unit]")
    if (!holder) return null
    const [level, unit] = holder.dataset.unit.split(",").map(Number)
    return {level, unit}
  }
  const choose = (unit, focus) => {
    chosen = unit
    hovered = null
    light()
    if (focus) svg.querySelector(`[data-unit="${unit.level},${unit.unit}"]`).focus()
  }
  // Pointing lights a unit up for a moment; a click, a tap or the keyboard chooses it.
  root.addEventListener("pointerover", event => {
    if (event.pointerType === "touch") return
    const unit = unitOf(event.target)
    if (unit || hovered) { hovered = unit; light() }
  })
  root.addEventListener("pointerleave", () => { if (hovered) { hovered = null; light() } })
  root.addEventListener("click", event => { const unit = unitOf(event.target); if (unit) choose(unit, svg.contains(event.target)) })
  // On the box and not on the drawing: browsers let Tab stop at an SVG that listens to focus.
  box.addEventListener("focusin", event => { const unit = unitOf(event.target); if (unit) choose(unit) })
  box.addEventListener("keydown", event => {
    if (!unitOf(event.target)) return
    const {level, unit} = chosen, row = net.shown[level], at = row.indexOf(unit)
    const nearest = to => to in spots && {level: to, unit: net.shown[to].reduce((best, other) =>
      Math.abs(spots[to][other].x - spots[level][unit].x) < Math.abs(spots[to][best].x - spots[level][unit].x) ? other : best)}
    const along = to => to in row && {level, unit: row[to]}
    const next = {
      ArrowLeft: () => along(at - 1), ArrowRight: () => along(at + 1), Home: () => along(0), End: () => along(row.length - 1),
      ArrowUp: () => nearest(level + 1), ArrowDown: () => nearest(level - 1),
    }[event.key]
    if (!next) return
    event.preventDefault()
    const target = next()
    if (target) choose(target, true)
  })

  new ResizeObserver(() => { if (net && Math.abs(box.clientWidth - 8 - plan.width) > 1) draw() }).observe(box)
  gutter()
  update()
}

window.maskExplorer = {
  degreesFromOrder, evenDegrees, randomDegrees, randomOrder, buildMasks, directMask, views, reachable, coverage,
  totalProbability, randomFrom, parseOrder, mount,
}

// The rule for pages: a linked picture of this name. Its paragraph, which holds nothing else, makes room.
const picture = /\/mask_explorer\d*\.png$/
for (const image of document.querySelectorAll("p > a img")) {
  if (picture.test(image.getAttribute("src"))) mount(image.closest("p"))
}
})()
