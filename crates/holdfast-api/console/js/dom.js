// Elements without a framework. Text is always set as text, never as markup, so nothing that somebody stored can become
// a page.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("a", { href: "/x", on: { click } }, "text", child)`. What is null or false is left out. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An element of a picture. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "value" || name === "checked" || name === "indeterminate") {
      element[name] = value;
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Replaces what an element holds. */
export function put(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

/** Bars where text will be. */
export function skeleton(lines = 5) {
  return h("div", { class: "skeleton", role: "status" }, h("span", { class: "hide" }, "Loading"),
    Array.from({ length: lines }, () => h("i")));
}

/** A state told by shape, word and colour, in this order: a disc, a triangle, a square, a hollow disc. */
export function sign(level) {
  const shapes = {
    good: () => s("circle", { cx: 7, cy: 7, r: 6, fill: "currentColor" }),
    watch: () => s("path", { d: "M7 1 13.500 13H.5z", fill: "currentColor" }),
    alarm: () => s("rect", { x: 1, y: 1, width: 12, height: 12, fill: "currentColor" }),
    away: () => s("circle", { cx: 7, cy: 7, r: 5, fill: "none", stroke: "currentColor", "stroke-width": 2 }),
  };
  return s("svg", { class: `sign ${level}`, viewBox: "0 0 14 14", "aria-hidden": "true" }, (shapes[level] || shapes.away)());
}

/** A sign and its word. */
export function state(level, word) {
  return h("span", { class: "state" }, sign(level), word);
}

/** A command to copy. */
export function command(text, label = "Copy") {
  const button = h("button", { type: "button", on: { click: () => copy(text, button) } }, label);
  return h("div", { class: "command" }, h("code", {}, text), button);
}

/** Copies, and says so on the button. */
export async function copy(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Without TLS, browsers other than on loopback have no clipboard: at least select what there is.
    const code = button.parentElement?.querySelector("code, input");
    if (code) getSelection().selectAllChildren(code);
    button.textContent = "Press Ctrl-C";
  }
  setTimeout(() => { button.textContent = before; }, 1600);
}

/** What is said where there is nothing, with the next command to run. */
export function empty(text, ...next) {
  return h("div", { class: "empty" }, h("p", {}, text), next);
}

/** A table. Columns are `[title, class]`, rows arrays of cells. The first cell of a row names it. */
export function table(caption, columns, rows) {
  const cell = (content, index) =>
    h(index === 0 ? "th" : "td", { class: columns[index]?.[1], scope: index === 0 ? "row" : null }, content);
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {},
      h("caption", { class: "hide" }, caption),
      h("thead", {}, h("tr", {}, columns.map(([title, kind]) => h("th", { scope: "col", class: kind }, title)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell))))));
}

/** Terms and what they are. */
export function facts(pairs) {
  return h("dl", { class: "facts" },
    pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
}

/** Asks before something is destroyed: names it, and wants a word typed. */
export function confirm({ question, detail, word, button, act, done }) {
  const go = h("button", { type: "submit", class: "danger main", disabled: true }, button);
  const input = h("input", {
    "aria-label": `Type ${word} to go on`, autocomplete: "off", spellcheck: "false",
    on: { input: () => { go.disabled = input.value.trim() !== String(word); } },
  });
  const form = h("form", {
    class: "confirm",
    on: {
      submit: async (event) => {
        event.preventDefault();
        go.disabled = true;
        await act();
        form.remove();
        done?.();
      },
      keydown: (event) => { if (event.key === "Escape") form.remove(); },
    },
  },
  h("h2", {}, question), detail && h("p", { class: "dim break" }, detail),
  h("div", { class: "row" }, h("span", {}, "Type ", h("code", {}, word)), input, go,
    h("button", { type: "button", on: { click: () => form.remove() } }, "Keep")));
  setTimeout(() => input.focus());
  return form;
}
