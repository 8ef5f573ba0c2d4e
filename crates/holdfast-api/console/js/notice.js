// What has just been done or has failed, said where it does not cover the page, and to screen readers.

import { h } from "./dom.js";

const list = h("div", { class: "notices" });
const polite = h("div", { class: "hide", role: "status" });

/** Puts the place for notices into the page. */
export function mountNotices() {
  document.body.append(list, polite);
}

/** The place for what stays, such as transfers. */
export const dock = list;

/** Says something for some seconds, with something to do about it if there is. */
export function say(text, { bad = false, action, act } = {}) {
  const close = () => notice.remove();
  const notice = h("div", { class: bad ? "notice bad" : "notice", role: bad ? "alert" : null },
    h("span", {}, text),
    action && h("button", { type: "button", class: "plain", on: { click: () => { close(); act(); } } }, action),
    h("button", { type: "button", class: "plain", "aria-label": "Dismiss", on: { click: close } }, "✕"));
  list.append(notice);
  if (!bad) polite.textContent = text;
  setTimeout(close, bad ? 15000 : 6000);
}

/** What went wrong, whether anything changed, and what to do. */
export function explain(problem) {
  const changed = {
    false: "Nothing was changed.",
    null: "It may still take effect: look before you try again.",
    true: "Part of it was done.",
  }[String(problem.stateChanged)];
  return [sentence(problem.message), changed, problem.whatToDo && sentence(problem.whatToDo)].filter(Boolean);
}

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** A failure that a notice is enough for. */
export function sayProblem(problem) {
  if (problem.name === "AbortError") return;
  if (problem.whatToDo === undefined) console.error(problem);
  say(explain(problem).join(" "), { bad: true });
}

/** A failure in place of what a page would show. */
export function problemSheet(problem, again) {
  const [what, ...rest] = explain(problem);
  return h("div", { class: "problem", role: "alert" }, h("strong", {}, what), rest.map((text) => h("p", {}, text)),
    again && h("p", {}, h("button", { type: "button", on: { click: again } }, "Try again")));
}
