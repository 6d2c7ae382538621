/* Exercises that answer back. A page holds, before a solution, an element of class "answers" with its questions as
   data (book/tools/answers.py); each becomes a form here. It says what is wrong, and never what is right. */
"use strict";

{
  const { element, button } = made.paper;
  const { range, degreesFromOrder, directMask } = made;
  const box = (className, ...children) => element("div", { className }, ...children);

  /** Each kind: a control, and what is said of its value: {right, says}. */
  const KINDS = { number: numberForm, choice: choiceForm, order: orderForm, matrix: matrixForm };

  // ---- a number ----------------------------------------------------------------------------------------------------

  const NUMBER = String.raw`[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?`;
  const WRITTEN = new RegExp(String.raw`^(${NUMBER})\s*(?:([/^])\s*(${NUMBER}))?\s*(%?)$`, "i");

  /** A number as one writes it: 0.375, 3/8, 2^9, 37,5 %. null is none of these. */
  function numberOf(text, unit) {
    const plain = text.trim().replaceAll(",", ".").replaceAll("\u2212", "-");
    const [, a, operator, b, percent] = WRITTEN.exec(plain) ?? [];
    const values = { "/": a / b, "^": a ** b };
    const value = operator ? values[operator] : Number(a);
    if (!Number.isFinite(value)) return null;
    return percent && unit !== "%" ? value / 100 : value;
  }

  function numberForm({ ask, unit = "" }) {
    const input = element("input", { type: "text", inputMode: "decimal", autocomplete: "off", "aria-label": ask });
    return { control: element("span", {}, input, " ", unit), read: () => numberOf(input.value, unit) };
  }

  function checkNumber({ right, within, wrong = [] }, value) {
    if (value === null) return { says: "Type a number." };
    if (Math.abs(value - right) <= within + 1e-9) return { right: true, says: "Yes." };
    const known = wrong.find(([number]) => Math.abs(value - number) <= Math.max(within, Math.abs(number) / 200));
    return { says: known ? known[1] : `Not yet: it is ${value > right ? "less" : "more"}.` };
  }

  // ---- a choice ----------------------------------------------------------------------------------------------------

  let groups = 0;

  function choiceForm({ ask, options }) {
    const name = `answer${groups++}`;
    const inputs = options.map(([value]) => element("input", { type: "radio", name, value }));
    const labels = inputs.map((input) => element("label", {}, input, " ", input.value));
    const control = element("span", { role: "radiogroup", "aria-label": ask, className: "options" }, ...labels);
    return { control, read: () => inputs.findIndex((input) => input.checked) };
  }

  function checkChoice({ options, right }, value) {
    if (value < 0) return { says: "Choose one." };
    const [, says] = options[value];
    return { right: value === right, says: `${value === right ? "Yes." : "No."} ${says}`.trim() };
  }

  // ---- an order that a slip does not survive -------------------------------------------------------------------------

  function orderForm({ ask, n }) {
    const example = range(n).join(" ");
    const input = element("input", { type: "text", autocomplete: "off", placeholder: example, "aria-label": ask });
    return { control: element("span", {}, input), read: () => input.value };
  }

  /** The degrees of a slip, by its name. */
  const SLIPS = { "order + 1": (order) => order.map((variable) => variable + 1) };

  /** What made.diagnostics.violations finds first where degrees were made by the slip. */
  function violation(order, slip) {
    const sees = directMask([SLIPS[slip](order)]);
    const allowed = directMask([degreesFromOrder(order)]);
    for (const i of range(order.length)) {
      const j = sees[i].findIndex((yes, k) => yes && !allowed[i][k]);
      if (j >= 0) return `output ${i} sees variable ${j}, which is generated later`;
    }
    return null;
  }

  function checkOrder({ n, slip, known = [] }, text) {
    const order = text
      .split(/[\s,;[\]]+/)
      .filter(Boolean)
      .map(Number);
    const isOrder = order.length === n && range(n).every((variable) => order.includes(variable));
    if (!isOrder) return { says: `Name each of 0 to ${n - 1} once.` };
    if (order.join() === known.join()) return { says: "That one stands in the question. Find another." };
    const found = violation(order, slip);
    if (found) return { right: true, says: `Yes: ${found}.` };
    return { says: "Under this order nothing is violated: the slip goes unnoticed." };
  }

  // ---- a matrix to click ---------------------------------------------------------------------------------------------

  function press({ target }) {
    target.setAttribute("aria-pressed", target.ariaPressed !== "true");
    target.dispatchEvent(new Event("input", { bubbles: true }));
  }

  function matrixForm({ order }) {
    const all = range(order.length);
    const cell = (i, j) => button("", press, { "aria-pressed": "false", "aria-label": `output ${i} sees input ${j}` });
    const cells = all.map((i) => all.map((j) => cell(i, j)));
    const heads = element("tr", {}, element("td"), ...all.map((j) => element("th", { scope: "col" }, `input ${j}`)));
    const rows = cells.map((row, i) =>
      element("tr", {}, element("th", { scope: "row" }, `output ${i}`), ...row.map((one) => element("td", {}, one))),
    );
    const read = () => cells.map((row) => row.map((one) => one.ariaPressed === "true"));
    return { control: element("table", { className: "clicks" }, heads, ...rows), read };
  }

  function checkMatrix({ order }, sees) {
    const degrees = degreesFromOrder(order);
    const wanted = directMask([degrees]);
    const wrong = [];
    for (const i of range(order.length)) {
      for (const j of range(order.length)) if (sees[i][j] !== wanted[i][j]) wrong.push([i, j]);
    }
    if (!wrong.length) return { right: true, says: "Yes: every pair." };
    const [[i, j]] = wrong;
    const rule = `${degrees[i]} > ${degrees[j]} is ${wanted[i][j]}`;
    const says = `Output ${i} has degree ${degrees[i]}, input ${j} degree ${degrees[j]}: ${rule}.`;
    return { says: `${wrong.length} of ${order.length ** 2} pairs are not right yet. ${says}` };
  }

  const CHECKS = { number: checkNumber, choice: checkChoice, order: checkOrder, matrix: checkMatrix };

  // ---- the forms ---------------------------------------------------------------------------------------------------

  function formOf(answer) {
    const { control, read } = KINDS[answer.kind](answer);
    const says = element("output", { className: "says", "aria-live": "polite" });
    const hint = element("p", { className: "hint" }, answer.hint);
    hint.hidden = true;
    const show = button("Hint", () => showHint(hint.hidden));
    const showHint = (isShown) => {
      hint.hidden = !isShown;
      show.setAttribute("aria-expanded", String(isShown));
    };
    showHint(false);
    const check = element("button", { type: "submit" }, "Check");
    const form = element(
      "form",
      { className: "answer" },
      element("p", {}, answer.ask),
      box("line", control, check, show),
      says,
      hint,
    );
    form.addEventListener("input", () => {
      says.textContent = ""; // what was said was said of another answer
      form.classList.remove("right", "wrong");
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const found = CHECKS[answer.kind](answer, read());
      says.textContent = found.says;
      form.classList.toggle("right", Boolean(found.right));
      form.classList.toggle("wrong", !found.right);
      if (found.right) showHint(false);
    });
    return form;
  }

  made.readNumber = numberOf;
  made.checkAnswer = (answer, value) => CHECKS[answer.kind](answer, value);

  for (const place of document.querySelectorAll(".answers")) {
    place.append(...JSON.parse(place.dataset.answers).map(formOf));
    place.hidden = false;
  }
}
