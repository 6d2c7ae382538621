/* The shipped networks inside a page, all of it in `made.networks`: one image drawn with one pass of work, and the
   networks' weights. Orders, degrees and random numbers are those of made.js. */
"use strict";

{
  const { naturalOrder, degreesFromOrder, evenDegrees } = made;

  // ---- one image, each unit computed once --------------------------------------------------------------------------

  /** A walk through the variables in their order, before its first step. */
  function begin(network, order) {
    if (network.recorded) return beginRecorded(network, order);
    return network.convolutions ? beginConvolutional(network, order) : beginMade(network, order);
  }

  /** The next variable in the order takes this value. Afterwards the logit of the one that follows is complete. */
  function advance(walk, value) {
    if (walk.network.recorded) advanceRecorded(walk, value);
    else if (walk.network.convolutions) advanceConvolutional(walk, value);
    else advanceMade(walk, value);
  }

  /** A recording holds the logits of one drawing. What is drawn with the random numbers it was made with is the same. */
  function beginRecorded(network, order) {
    return { network, order, t: 0, x: new Uint8Array(network.features), logits: network.recorded };
  }

  function advanceRecorded(walk, value) {
    walk.x[walk.order[walk.t]] = value;
    walk.t += 1;
  }

  function beginMade(network, order) {
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

  function advanceMade(walk, value) {
    const { network, degrees, sums, units } = walk;
    const variable = walk.order[walk.t];
    const degree = walk.t + 1;
    const last = units.length - 1;
    walk.x[variable] = value;
    // A 0 sends nothing.
    if (value === 1) {
      send(network.weights[0], variable, 1, sums[0], degrees[1], degree);
      send(network.direct, variable, 1, walk.logits, degrees[0], degree + 1); // outputs: strictly later ones
    }
    // Hidden units of this degree have now received all they ever will: compute each once, and send it on.
    for (let l = 0; l <= last; l++) {
      for (let k = 0; k < units[l].length; k++) {
        if (degrees[l + 1][k] !== degree) continue;
        let h = Math.max(0, sums[l][k]);
        if (network.residual && l > 0) h += units[l - 1][k];
        units[l][k] = h;
        if (l < last) send(network.weights[l + 1], k, h, sums[l + 1], degrees[l + 2], degree);
        else send(network.weights[l + 1], k, h, walk.logits, degrees[0], degree + 1);
      }
    }
    walk.t += 1;
  }

  /** A walk of a PixelCNN, which knows one order, that of the rows. It ends up with the features of every place. */
  function beginConvolutional(network, order) {
    const { features, convolutions } = network;
    const walk = {
      network,
      order,
      t: 0,
      x: new Uint8Array(features),
      units: convolutions.slice(1).map((layer) => new Float64Array(features * layer.inputs)), // place by place
      logits: new Float64Array(features),
    };
    reach(walk);
    return walk;
  }

  function advanceConvolutional(walk, value) {
    walk.x[walk.t] = value;
    walk.t += 1;
    if (walk.t < walk.order.length) reach(walk);
  }

  /** The features of the place that comes next, once: all they depend on is known. The last layer is its logit. */
  function reach(walk) {
    const { t, x, units } = walk;
    const { convolutions, places, width } = walk.network;
    const [first, ...others] = convolutions;
    let h = convolve(first, x, t, width).map((sum, k, all) => Math.max(0, sum + places[t * all.length + k]));
    others.forEach((layer, l) => {
      units[l].set(h, t * layer.inputs);
      const sums = convolve(layer, units[l], t, width);
      if (l === others.length - 1) walk.logits[t] = sums[0];
      else h = h.map((unit, k) => unit + Math.max(0, sums[k]));
    });
  }

  /** A convolution at one place: every tap that its mask keeps, unless it lies outside the image. */
  function convolve({ inputs, biases, taps }, below, place, width) {
    const sums = Float64Array.from(biases);
    const [row, column] = [Math.floor(place / width), place % width];
    for (const { down, right, weights } of taps) {
      if (row + down < 0 || column + right < 0 || column + right >= width) continue;
      const from = (place + down * width + right) * inputs;
      for (let j = 0; j < inputs; j++) {
        const value = below[from + j];
        if (value === 0) continue;
        for (let k = 0; k < sums.length; k++) sums[k] += weights[j * sums.length + k] * value;
      }
    }
    return sums;
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

  const uniformNumbers = (n, random) => Float64Array.from({ length: n }, random);

  /** The same order, but what is given comes first. */
  function knownFirst(order, given) {
    return [...order.filter((i) => given[i] >= 0), ...order.filter((i) => given[i] < 0)];
  }

  // ---- the networks: scripts with their weights as text, written by book/tools/live_weights.py ---------------------

  const FOLDER = new URL("live_weights/", document.currentScript.src);
  const arrived = {};
  const coming = {}; // by name: what has come of a network so far, and who wants to know

  const comingOf = (name) =>
    (coming[name] ??= {
      scripts: [],
      pieces: new Set(),
      about: null,
      numbers: null,
      listeners: new Set(),
      promise: null,
    });

  const shareOf = ({ pieces, about }) => (about ? pieces.size / about.pieces : 0);

  /** Load a network, once. `progress`, if there is one, is told the share that has arrived, from 0 to 1. What has
      failed can be tried again: what had arrived is kept. */
  function load(name, progress) {
    if (arrived[name]) return Promise.resolve(arrived[name]);
    const network = comingOf(name);
    if (typeof progress === "function") {
      network.listeners.add(progress);
      progress(shareOf(network));
    }
    network.promise ??= allPieces(name).finally(() => {
      network.promise = null;
      network.listeners.clear();
    });
    return network.promise;
  }

  /** The first piece says how many there are. The others come two at a time. */
  async function allPieces(name) {
    await piece(name, 0);
    const { about, numbers } = coming[name];
    let next = 1;
    const inTurn = () => (next < about.pieces ? piece(name, next++).then(inTurn) : null);
    await Promise.all([inTurn(), inTurn()]);
    arrived[name] = assembled(name, about, numbers);
    return arrived[name];
  }

  /** A script is the one kind of file that a page opened from disk may load. */
  function piece(name, k) {
    const { scripts, pieces, listeners } = coming[name];
    scripts[k] ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = new URL(`${name}.${k}.js`, FOLDER);
      const fail = () => {
        delete scripts[k];
        reject(new Error(`The file ${name}.${k}.js could not be loaded.`));
      };
      script.addEventListener("error", fail);
      script.addEventListener("load", () => {
        if (!pieces.has(k)) return fail(); // it came, but not whole
        for (const progress of listeners) progress(shareOf(coming[name]));
        resolve();
      });
      document.head.append(script);
    });
    return scripts[k];
  }

  /** Called by a piece. Every character stands for a number: 0, -1, 1, -2, 2 ... times the step. */
  function receive(name, k, { weights, at, step, ...about }) {
    const network = comingOf(name);
    if (k === 0) {
      network.about = about;
      network.numbers = new Float32Array(about.count);
    }
    for (let i = 0; i < weights.length; i++) {
      const n = weights.charCodeAt(i) - 35;
      network.numbers[at + i] = ((n >> 1) ^ -(n & 1)) * step;
    }
    network.pieces.add(k);
  }

  /** The network whose numbers have all arrived. */
  function assembled(name, about, numbers) {
    let at = 0;
    const take = (n) => numbers.subarray(at, (at += n));
    const layers = about.layers ? convolutionalLayers(about, take) : madeLayers(about, take);
    if (at !== numbers.length) throw new Error(`${name}: ${numbers.length} numbers, expected ${at}`);
    return { ...about, ...layers, starters: about.starters.map((text) => Int8Array.from(text, Number)) };
  }

  /** The file of a MADE holds only weights that some mask keeps, column by column, then the biases. */
  function madeLayers({ features, hidden, anyOrder }, take) {
    const matrix = (before, after, strict, always) => {
      if (always) return take(before.length * after.length);
      // masks as everywhere: degree(out) >= or > degree(in). Degrees ascend: those that hear a unit are the last ones
      const weights = new Float32Array(before.length * after.length);
      before.forEach((degree, j) => {
        const first = after.findIndex((other) => (strict ? other > degree : other >= degree));
        if (first >= 0) weights.set(take(after.length - first), j * after.length + first);
      });
      return weights;
    };
    const inputs = degreesFromOrder(naturalOrder(features));
    const layers = [inputs, ...evenDegrees(features, hidden)];
    const weights = hidden.map((_, l) => matrix(layers[l], layers[l + 1], false, anyOrder && l === 0));
    weights.push(matrix(layers[hidden.length], inputs, true, anyOrder));
    const direct = matrix(inputs, inputs, true, anyOrder);
    const biases = [...hidden, features].map(take);
    return { weights, direct, biases };
  }

  /** The file of a PixelCNN holds layer by layer the taps that the mask keeps, in reading order, and the biases; at last
      what every place adds to the first layer. */
  function convolutionalLayers({ features, layers }, take) {
    const convolutions = layers.map(({ inputs, outputs, size, step, strict }) => {
      // masks as everywhere: place(out) >= or > place(in), where the centre is the place of the output
      const centre = (size - 1) / 2;
      const count = centre * size + centre + (strict ? 0 : 1);
      const taps = made.range(count).map((k) => ({
        down: step * (Math.floor(k / size) - centre),
        right: step * ((k % size) - centre),
        weights: take(inputs * outputs),
      }));
      return { inputs, taps, biases: take(outputs) };
    });
    return { convolutions, places: take(features * layers[0].outputs) };
  }
  made.networks = {
    arrived,
    load,
    receive,
    begin,
    advance,
    drawNext,
    sample,
    logits,
    logProb,
    logBernoulli,
    sigmoid,
    knownFirst,
    uniformNumbers,
  };
}
