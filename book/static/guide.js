/* "Things to try" as steps: `made.guide`.

   A page lists them under a heading of this name, and each ends in a link whose address is a state of the page. On a
   page with its interactive part, the list becomes a guide there: a step sets its state and lights up the part it speaks
   of. In an address, `show` names this part, and `bet` a question that the reader answers before the page does. */
"use strict";

{
  const { element, button } = made.paper;

  /** The steps of a list: what stands there, and the state, part and bet that its link names. */
  function stepsOf(list) {
    return [...list.children].map((item) => {
      const link = item.querySelector('a[href*="#"][href*="="]');
      const address = new URLSearchParams(link.hash.slice(1));
      const [show, bet] = [address.get("show"), address.get("bet")];
      address.delete("show");
      address.delete("bet");
      link.remove();
      return { title: item.querySelector("strong").textContent, words: [...item.childNodes], show, bet, address };
    });
  }

  /** A guide through the list under "Things to try": the element to be shown, none where the page has no such list.

      `go(text)` shows the state of an address; `parts` are elements by name; a bet of `bets` is {ask, covers, reveal} and
      one of {options, unit, pick}: a question; the parts that would tell; a function from the reader's answer to the words
      that follow it, which may take its time; and the answers, or the unit of a number, or a function that is handed what to
      call with the reader's pick in the page, or null. A bet that the reader turns away from is gone. */
  function guide({ go, parts, bets }) {
    const heading = [...document.querySelectorAll("h2")].find(({ firstChild }) => firstChild.data === "Things to try");
    const list = heading?.parentElement.querySelector("ol");
    if (!list) return [];
    const steps = stepsOf(list);
    const section = heading.parentElement;
    section.hidden = true;
    const words = element("div", { className: "guide-words" });
    const bet = element("div", { className: "guide-bet" });
    const keys = steps.map(({ title }, n) => button(String(n + 1), () => open(n), { title, "aria-label": title }));
    const next = button("Next", () => open((at + 1) % steps.length), { className: "primary" });
    const row = element("div", { className: "group" }, element("strong", {}, "Things to try"), ...keys, next);
    const root = element("section", { className: "guide", "aria-label": "Things to try" }, row, words, bet);
    root.id = section.id; // where the table of contents leads to
    section.removeAttribute("id");
    let at = -1;
    let leave = null; // what ends the bet that is open
    let isOpening = false;
    made.onChange(() => isOpening || leave?.());

    function open(n) {
      at = n;
      const step = steps[n];
      keys.forEach((key, k) => key.setAttribute("aria-current", k === n ? "step" : "false"));
      leave?.();
      bet.replaceChildren();
      for (const [name, part] of Object.entries(parts)) part.classList.toggle("guide-lit", name === step.show);
      words.replaceChildren(...step.words);
      isOpening = true;
      go(step.address.toString());
      isOpening = false;
      if (step.bet) leave = place(bet, bets[step.bet], parts);
      bringIntoView(root, step.bet ? root : (parts[step.show] ?? root));
    }
    return [root];
  }

  /** Scroll to the words of a step; where they and the part they speak of do not fit the screen, to this part. */
  function bringIntoView(root, part) {
    const fits = part.getBoundingClientRect().bottom - root.getBoundingClientRect().top < innerHeight - 80;
    const behavior = made.calm.matches ? "instant" : "smooth";
    if (fits) root.scrollIntoView({ block: "start", behavior });
    else part.scrollIntoView({ block: "nearest", behavior });
  }

  function uncover(parts) {
    for (const part of Object.values(parts)) part.classList.remove("guide-covered");
  }

  /** Ask before the page answers. What would tell is covered until then. Returns what takes the question away. */
  function place(box, { ask, options, unit, pick, covers = [], reveal }, parts) {
    for (const name of covers) parts[name].classList.add("guide-covered");
    const says = element("p", { role: "status" });
    let isOpen = true;
    const close = () => {
      isOpen = false;
      uncover(parts);
      pick?.(null);
    };
    const settle = async (answer) => {
      for (const control of box.querySelectorAll("button, input")) control.disabled = true;
      close();
      says.textContent = "\u2026";
      says.textContent = await reveal(answer);
    };
    const number = element("input", { type: "number", step: "any", "aria-label": ask });
    const bet = () => number.value !== "" && settle(number.valueAsNumber);
    number.addEventListener("keydown", ({ key }) => key === "Enter" && bet());
    let answers = options?.map((option) => button(option, () => settle(option)));
    if (unit) answers = [number, unit, button("Bet", bet)];
    if (pick) answers = [button("I cannot tell", () => settle(null))];
    pick?.(settle);
    box.replaceChildren(
      element("p", {}, element("b", {}, "Place your bet. "), ask),
      element("div", { className: "group" }, ...answers),
      says,
    );
    return () => {
      if (isOpen) close();
      box.replaceChildren();
    };
  }

  made.guide = guide;
}
