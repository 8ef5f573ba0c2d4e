// The front page: the ring, alive.

import { get } from "../api.js";
import { h, put, state, table } from "../dom.js";
import { ms, percent, rate } from "../format.js";
import { live, on } from "../live.js";
import { go, paths } from "../router.js";
import { legend, ring, ringTable } from "../ring.js";
import { locator } from "./locate.js";

const LISTED_MAX = 9;

export async function show(main, { query, signal }) {
  const [layout, { buckets }] = await Promise.all([get("/v1/layout", {}, signal), get("/v1/buckets", {}, signal)]);
  const focused = h("p", { class: "dim small", "aria-live": "polite" });
  const drawn = ring(layout, { onFocus: (one) => {
    focused.textContent = one
      ? `${one.name}${one.zone ? ` in ${one.zone}` : ""} is a home of ${percent(one.share * Math.min(3, layout.members.length))} of the partitions: bright where it comes first.`
      : "";
  } });
  const asTable = h("div", { class: "sheet" });
  const asRing = h("div", { class: "sheet ring-sheet" }, drawn.picture, legend(), focused);
  const requests = h("ul", { class: "requests" });
  const nothingYet = h("p", { class: "dim small" }, "None in this moment. Try ", h("code", {}, "holdfast ls"), ".");

  const choose = (kind) => {
    asRing.hidden = kind === "table";
    asTable.hidden = kind !== "table";
    for (const button of choice.children) button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
  };
  const choice = h("div", { class: "group push", role: "group", "aria-label": "Show as" }, ["ring", "table"].map((kind) =>
    h("button", { type: "button", "data-kind": kind, on: { click: () => {
      const search = new URLSearchParams(location.search);
      if (kind === "table") search.set("as", "table");
      else search.delete("as");
      go(`/console/${search.size ? `?${search}` : ""}`, { replace: true, quiet: true });
      choose(kind);
    } } }, kind === "ring" ? "Ring" : "Table")));

  put(main,
    h("div", { class: "head" }, h("h1", {}, "Ring"), choice),
    h("div", { class: "ring-page" },
      h("div", {}, asRing, asTable),
      h("div", { class: "stack" },
        locator({ buckets, query, signal, onFound: drawn.key }),
        h("section", { class: "sheet" }, h("h2", {}, "Requests as they happen"), requests, nothingYet))));
  choose(query.get("as") === "table" ? "table" : "ring");

  const names = new Map(layout.members.map((one, index) => [index, one.name]));
  const update = () => {
    if (!live.view) return;
    drawn.update(live.view);
    put(asTable, tableOf(layout));
  };
  on("view", update, signal);
  on("requests", (many) => {
    nothingYet.hidden = true;
    many.forEach((one, place) => setTimeout(() => !signal.aborted && drawn.request(one), place * 25));
    requests.prepend(...many.slice(0, LISTED_MAX).map((one) => line(one, names)));
    while (requests.childElementCount > LISTED_MAX) requests.lastChild.remove();
  }, signal);
  on("happened", (event) => {
    if (event.event === "hint_delivered") drawn.homeward(event.node.id, event.for.id);
  }, signal);
  update();
}

function line(request, names) {
  const to = request.verb === "get" ? request.answered : request.homes;
  const path = `${names.get(request.coordinator)} → ${to.map((index) => names.get(index)).join(", ")}`;
  return h("li", { title: path },
    h("span", { class: request.verb }, { put: "write", get: "read", delete: "delete" }[request.verb]),
    h("a", { href: paths.object(request.bucket, request.key) }, `${request.bucket}/${request.key}`),
    h("span", { class: "dim" }, ms(request.took_us / 1000)));
}

function tableOf(layout) {
  const columns = [["Node"], ["State"], ["Zone", "optional"], ["Share", "num optional"], ["Requests/s", "num"], ["Holds for others"]];
  return table("Members of the ring", columns, ringTable(layout, live.view).map(({ one, level, word, stats, held }) => [
    h("a", { href: paths.node(one.name) }, one.name), state(level, word), one.zone || "–", percent(one.share),
    rate(stats?.requests_per_s), held || "–",
  ]));
}
