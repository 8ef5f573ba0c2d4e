// All nodes, side by side.

import { h, put, state, table } from "../dom.js";
import { bytes, count, ms, rate, span } from "../format.js";
import { hints, live, on, sinceOf, stateOf } from "../live.js";
import { paths } from "../router.js";
import { spark } from "../spark.js";

export function show(main, { signal }) {
  const sheet = h("div", { class: "sheet" });
  put(main, h("div", { class: "head" }, h("h1", {}, "Nodes"),
    h("p", { class: "lead" }, "Each tells of itself; lines show the last 15 minutes, as far as this page was open.")), sheet);
  const update = () => live.view && put(sheet, listed(live.view));
  on("view", update, signal);
  update();
}

function listed(view) {
  const owed = hints();
  const columns = [["Node"], ["State"], ["Zone", "optional"], ["Requests/s", "num"], ["Last minutes", "optional"], ["p50", "num"], ["p99", "num"],
    ["Disk used", "num"], ["Memory", "num optional"], ["Holds", "num"], ["Is owed", "num"]];
  return table("Nodes", columns, view.members.map((one) => {
    const stats = view.stats[one.id];
    const [level, word] = stateOf(one);
    const sum = (which) => owed.filter((hint) => hint[which] === one.id).reduce((all, hint) => all + hint.count, 0);
    const from = sinceOf(one);
    const since = from && `for ${span((Date.now() - from) / 1000)}`;
    return [
      [h("a", { href: paths.node(one.name) }, one.name), one.self && h("span", { class: "dim small" }, " (asked)")],
      [state(level, word), since && h("div", { class: "dim small" }, since)],
      one.zone || "–",
      rate(stats?.requests_per_s),
      h("div", { class: "cell-spark" }, spark(live.history.get(one.id) || [], "requests_per_s", `Requests a second of ${one.name}, lately`)),
      ms(stats?.p50_ms), ms(stats?.p99_ms),
      disk(one, stats),
      bytes(stats?.memory_bytes), count(sum("holder")), count(sum("home")),
    ];
  }));
}

function disk(one, stats) {
  const used = stats?.disk_used_bytes ?? one.facts?.disk_used_bytes;
  return used === undefined || used === null ? "–" : bytes(used);
}
