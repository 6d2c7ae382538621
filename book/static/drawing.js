/* The recorded drawing, small: it takes the place of the picture drawing.png, is drawn once when it is seen, and again
   when the reader wishes. Where the reader wants no motion, it is finished until asked for. */
"use strict";

{
  const { generator, calm, recording } = made;
  const { SIDE, D, inColours, mix, solid, eachCell, whenSeen, element, button } = made.paper;
  const SECONDS = 5;
  const SIZE = 8; // dots of a canvas per pixel of the image

  function mount(paragraph) {
    const link = paragraph.querySelector("a");
    const alt = paragraph.querySelector("img").alt;
    const picture = () => element("canvas", { width: SIDE * SIZE, height: SIDE * SIZE, "aria-hidden": "true" });
    const view = { paper: picture(), heat: picture(), t: 0, x: [], p: [] };
    const random = generator(recording.seed);
    for (const logit of recording.recorded) {
      view.p.push(1 / (1 + Math.exp(-logit)));
      view.x.push(Number(random() < view.p.at(-1)));
    }
    link.setAttribute("aria-label", alt);
    link.replaceChildren(view.paper, view.heat);
    view.root = element(
      "div",
      { className: "small-drawing" },
      link,
      button("Replay", () => play(view)),
    );
    paragraph.replaceWith(view.root);
    view.t = calm.matches ? D : 0;
    inColours(view.root, (colours) => {
      view.colours = colours;
      show(view, view.t);
    });
    if (!calm.matches) whenSeen(view.paper, () => play(view));
  }

  function play(view) {
    cancelAnimationFrame(view.frame);
    const start = performance.now();
    const tick = (now) => {
      show(view, Math.min(D, Math.floor((Math.max(0, now - start) / 1000 / SECONDS) * D)));
      if (view.t < D) view.frame = requestAnimationFrame(tick);
    };
    tick(start);
  }

  /** The first t pixels, and the probability of ink that each was drawn with. */
  function show(view, t) {
    view.t = t;
    const { ink, paper, panel, orange } = view.colours;
    const [open, ...drawn] = [panel, paper, ink].map(solid);
    eachCell(view.paper, (i) => (i < t ? drawn[view.x[i]] : open), SIZE);
    eachCell(view.heat, (i) => (i < t ? mix(paper, orange, view.p[i]) : open), SIZE);
  }

  made.replacePicture("drawing", mount);
}
