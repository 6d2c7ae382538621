/* The search page. Sphinx finds; this shows: each place once, under the name of its page, with the sentence that the words
   stand in. The text comes with the page, as window.searchPlaces: for every page a list of [anchor, name, text]. Nothing is
   fetched, so that it works from disk, too. */
/* oxlint-disable no-underscore-dangle -- these are Sphinx's names */
"use strict";

{
  const WIDTH = 200; // characters of context
  const element = (tag, className, ...children) => {
    const made = document.createElement(tag);
    made.className = className;
    made.append(...children);
    return made;
  };
  const escaped = (word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

  /** A pattern for words that begin with one of these, as typed or as their stem. */
  const pattern = (words) => new RegExp(`(?<![\\p{L}\\p{N}])(?:${words.map(escaped).join("|")})[\\p{L}\\p{N}]*`, "giu");

  /** How many different words a text has. */
  const count = (text, words) => words.filter((word) => pattern([word]).test(text)).length;

  /** From where to where the line of context goes: around the first hit, from the beginning of its sentence if that is near. */
  function cut(text, hit) {
    const sentence = text.slice(0, hit).search(/[^.?!]*$/);
    const start = hit - sentence < WIDTH / 2 ? sentence : text.indexOf(" ", hit - WIDTH / 2) + 1;
    const end = text.length - start <= WIDTH ? text.length : text.lastIndexOf(" ", start + WIDTH);
    return [start, end];
  }

  /** The line of context: a piece of text with the words found in bold. */
  function context(text, words) {
    const found = pattern(words).exec(text);
    const [start, end] = cut(text, found ? found.index : 0);
    const piece = text.slice(start, end).trim();
    const line = element("p", "context");
    let done = 0;
    for (const { 0: word, index } of piece.matchAll(pattern(words))) {
      line.append(piece.slice(done, index), element("mark", "", word));
      done = index + word.length;
    }
    line.append(piece.slice(done), end < text.length ? " \u2026" : "");
    return line;
  }

  /** The place of a result: the one it names or, if it names a page only, the one there with most of the words. */
  function placeOf([page, , anchor], words) {
    const places = window.searchPlaces[page] ?? [];
    if (anchor) return places.find(([id]) => `#${id}` === anchor);
    const scores = places.map(([, , text]) => count(text, words));
    return places[scores.indexOf(Math.max(...scores))];
  }

  /** The title of a page, with its number; the index has it in HTML. */
  function titleOf(page) {
    const html = Search._index.titles[Search._index.docnames.indexOf(page)];
    return new DOMParser().parseFromString(html, "text/html").body.textContent;
  }

  /** Every name in the package contains the package's: what counts is the last part. */
  const isMeant = ([, title, , object], words) =>
    !object || words.some((word) => title.split(".").at(-1).toLowerCase().includes(word));

  /** What to show of the results: one entry for each place. */
  function entries(results, words) {
    const seen = new Map();
    for (const result of results.filter((one) => isMeant(one, words))) {
      const [page, title, anchor] = result;
      const place = placeOf(result, words);
      const isTop = place && place === window.searchPlaces[page][0];
      const [id, name, text] = place ?? [anchor.slice(1), title, ""];
      const address = `${page}.html${id && !isTop ? `#${id}` : ""}`;
      const entry = { address, name: isTop ? titleOf(page) : name, where: isTop ? "" : titleOf(page), text };
      if (!seen.has(address)) seen.set(address, entry);
    }
    return [...seen.values()];
  }

  function show({ address, name, where, text }, words) {
    const link = element("a", "", name);
    link.href = document.documentElement.dataset.content_root + address;
    const item = element("li", "", link);
    if (where) item.append(element("span", "where", ` in ${where}`));
    // What is searched includes code; what is shown does not.
    if (!count(`${name} ${text}`, words)) item.append(element("p", "context", "In code or output."));
    else if (text) item.append(context(text, words));
    Search.output.append(item);
  }

  Search.query = (query) => {
    const parsed = Search._parseQuery(query);
    const words = [...new Set([...parsed[3], ...parsed[1]])]; // as typed, and their stems
    const results = Search._performSearch(...parsed).toReversed(); // the best first
    const found = words.length ? entries(results, words) : [];
    for (const entry of found) show(entry, words);
    Search.stopPulse();
    Search.title.textContent = "Search results";
    const places = found.length === 1 ? "1 place" : `${found.length} places`;
    Search.status.textContent = found.length ? `Found in ${places}.` : `Nothing in this book matches "${query}".`;
  };
}
