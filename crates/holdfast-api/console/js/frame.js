// What is around every page: the pages, who is signed in, and the one sentence on how the cluster is.

import { h, put, sign } from "./dom.js";
import { span } from "./format.js";
import { live, on } from "./live.js";

const PAGES = [
  ["ring", "/console/", "Ring"],
  ["buckets", "/console/buckets", "Buckets"],
  ["nodes", "/console/nodes", "Nodes"],
  ["conflicts", "/console/conflicts", "Conflicts"],
  ["activity", "/console/activity", "Activity"],
  ["keys", "/console/keys", "Keys"],
];

/** Which entry a page belongs to. */
const OF_PAGE = { objects: "buckets", object: "buckets", node: "nodes", conflict: "conflicts" };

const nav = h("nav", { class: "pages", "aria-label": "Pages" });
const words = h("p", {});
const seen = h("small", {});
const shape = h("span", { class: "sign" });
const sentence = h("section", { class: "sentence", "aria-label": "How the cluster is", role: "status" }, shape, words, seen);

let level = "";

/** Puts the frame around the page. */
export function mountFrame({ session, openPalette, signOut }) {
  const app = document.getElementById("app");
  const top = app.querySelector(".top");
  app.classList.add("framed");
  app.querySelector(".who")?.remove();
  top.append(nav, h("div", { class: "who" },
    h("button", { type: "button", class: "find", "aria-keyshortcuts": "Control+K /", on: { click: openPalette } }, "Find", h("kbd", {}, "Ctrl K")),
    h("span", {}, "Signed in as ", h("span", { class: "mono" }, session.principal)),
    h("button", { type: "button", on: { click: signOut } }, "Sign out")));
  top.after(sentence);
  for (const kind of ["view", "lost"]) on(kind, tell);
  tell();
  setInterval(tell, 1000);
}

/** Takes it away again. */
export function unmountFrame() {
  const app = document.getElementById("app");
  app.classList.remove("framed");
  app.querySelector(".who")?.remove();
  nav.remove();
  sentence.remove();
}

/** Shows which page it is. */
export function mark(page) {
  const current = OF_PAGE[page] || page;
  put(nav, PAGES.map(([name, path, title]) =>
    h("a", { href: path, "aria-current": name === current ? "page" : null }, title)));
}

function tell() {
  const view = live.view;
  // A node that is back within moments was not away.
  if (live.lostAt && Date.now() - live.lostAt > 2500) {
    const since = Math.round((Date.now() - live.lostAt) / 1000);
    const from = view ? ` What is shown is from ${span(since)} ago.` : "";
    show("alarm", `${view ? view.node.name : "This node"} does not answer.${from} Trying again.`, "");
    return;
  }
  if (!view) {
    show("watch", "Asking how the cluster is…", "");
    return;
  }
  show(view.level, view.sentence, `as ${view.node.name} sees it`);
}

function show(now, text, by) {
  if (words.textContent !== text) words.textContent = text;
  if (seen.textContent !== by) seen.textContent = by;
  if (level !== now) {
    level = now;
    sentence.dataset.level = now;
    put(shape, sign(now));
  }
}
