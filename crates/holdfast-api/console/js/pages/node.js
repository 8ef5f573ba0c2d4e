// One node: how busy, how healthy, what it holds for others, and what an operator may do about it.

import { get, send } from "../api.js";
import { empty, facts, h, put, state, table } from "../dom.js";
import { bytes, count, ms, percent, rate, span, when } from "../format.js";
import { hints, live, member, on, stateOf } from "../live.js";
import { say, sayProblem } from "../notice.js";
import { paths } from "../router.js";
import { spark } from "../spark.js";

const GAUGES = [
  ["requests_per_s", "Requests a second", rate],
  ["p50_ms", "Latency, half below", ms],
  ["p99_ms", "Latency, 99 % below", ms],
  ["bytes_in_per_s", "In", (value) => `${bytes(value)}/s`],
  ["bytes_out_per_s", "Out", (value) => `${bytes(value)}/s`],
  ["memory_bytes", "Memory", bytes],
  ["in_flight", "In flight", count],
  ["failed_per_s", "Failures a second", rate],
];

export function show(main, { name, session, signal }) {
  const title = h("span", {});
  const gauges = h("div", { class: "gauges" });
  const about = h("div");
  const held = h("div");
  const links = h("div");
  const acts = h("div", { class: "row push" });
  put(main,
    h("div", { class: "head" }, h("h1", {}, h("a", { href: "/console/nodes" }, "Nodes"), " / ", name), title, acts),
    h("div", { class: "stack" },
      h("section", { class: "sheet" }, gauges),
      h("div", { class: "two" },
        h("section", { class: "sheet" }, h("h2", {}, "What it tells of itself"), about),
        h("div", {},
          h("section", { class: "sheet" }, h("h2", {}, "Writes that wait"), held),
          h("section", { class: "sheet" }, h("h2", {}, "Connections"), links)))));

  let shownActs = "";
  let stats = null;
  // Which of them are its own is known once both are there.
  const linked = () => {
    if (stats && live.view) put(links, linksOf(stats, member(name)));
  };
  const update = () => {
    if (!live.view) return;
    const one = member(name);
    if (!one) {
      put(main, empty(`The cluster has no member ${name}.`, h("a", { href: "/console/nodes" }, "All nodes")));
      return;
    }
    const [level, word] = stateOf(one);
    put(title, state(level, word));
    put(gauges, gaugesOf(one));
    put(about, aboutOf(one));
    put(held, heldOf(one));
    const acting = `${one.maintenance} ${one.self}`;
    if (acting !== shownActs) {
      shownActs = acting;
      put(acts, actsOf(one, session));
    }
    if (!links.firstChild) linked();
  };
  const look = async () => {
    try {
      stats = await get("/v1/stats", {}, signal);
      linked();
    } catch (problem) {
      if (problem.name !== "AbortError") sayProblem(problem);
    }
  };
  on("view", update, signal);
  update();
  look();
  const timer = setInterval(look, 5000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function gaugesOf(one) {
  const stats = live.view.stats[one.id];
  const history = live.history.get(one.id) || [];
  if (!stats && !history.length) {
    return empty(one.up ? "Waiting for its figures." : `${one.name} tells nothing: it is ${stateOf(one)[1]}.`,
      !one.up && h("p", {}, "Start it again; what waits for it comes home by itself."));
  }
  return GAUGES.map(([name, label, shown]) => h("div", { class: "gauge" }, h("span", { class: "dim small" }, label),
    h("b", {}, shown(stats?.[name])), spark(history, name, `${label}, lately`)));
}

function aboutOf(one) {
  const told = one.facts;
  const stats = live.view.stats[one.id];
  const disk = told && told.disk_total_bytes > 0
    ? [`${bytes(told.disk_used_bytes)} of ${bytes(told.disk_total_bytes)} (${percent(told.disk_used_bytes / told.disk_total_bytes)})`]
    : "–";
  const own = one.self ? live.view.checked : null;
  const scrub = own?.scrub;
  const ahead = one.self ? (live.view.clock_off_ms ?? 0) : one.clock_ahead_ms;
  return facts([
    ["Id", h("code", {}, one.id)],
    ["Zone", one.zone],
    ["Node address", h("code", {}, one.address)],
    ["S3", h("code", {}, one.s3)],
    ["REST and console", h("a", { href: `${one.rest}/console/nodes/${encodeURIComponent(one.name)}` }, one.rest)],
    ["Up for", stats && span(stats.uptime_s)],
    ["Start number", told && count(told.boot)],
    ["Disk", disk],
    ["Willing to store", bytes(one.capacity_bytes)],
    ["Clock", ahead === null ? "not heard lately" : `${count(Math.abs(ahead))} ms ${ahead < 0 ? "behind" : "ahead"}`],
    ["Refused, too busy", stats && count(stats.refused)],
    ["Kept for slow members", stats && count(stats.for_slow_members)],
    ["Speaks for its disk", told && { sound: "yes", unvouched: "not yet vouched for", filling: "no, it is being filled" }[told.soundness]],
    ["Disk last read through", scrub && (scrub.running ? "is being read now" : scrub.ended_ms ? when(scrub.ended_ms) : "not since it started")],
    ["Damaged copies found", scrub && count(scrub.damaged)],
    ["Repaired since start", own && `${count(own.records_repaired)} records, ${count(own.chunks_repaired)} chunks`],
  ]);
}

function heldOf(one) {
  const name = (id) => member(id)?.name || id;
  const told = hints().filter((hint) => hint.holder === one.id || hint.home === one.id);
  if (!told.length) return h("p", { class: "dim" }, "None, neither here for others nor elsewhere for it.");
  return h("ul", {}, told.map((hint) => h("li", {}, hint.holder === one.id
    ? [`${count(hint.count)} here for `, h("a", { href: paths.node(name(hint.home)) }, name(hint.home))]
    : [`${count(hint.count)} on `, h("a", { href: paths.node(name(hint.holder)) }, name(hint.holder)), " for it"])));
}

function linksOf(stats, one) {
  const told = stats.links.filter((link) => one?.self || link.member.id === one?.id);
  const from = one?.self ? "From here" : `From ${stats.node.name}`;
  if (!told.length) return h("p", { class: "dim" }, "It is alone.");
  return [h("p", { class: "dim small" }, `${from}; a round trip is taken every few seconds.`),
    table("Connections", [["To"], ["Connection"], ["Round trip", "num"], ["Sent", "num"], ["Received", "num"]], told.map((link) => [
      h("a", { href: paths.node(link.member.name) }, link.member.name),
      link.up ? state("good", "stands") : state("alarm", "none"),
      link.up && link.round_trip_us ? ms(link.round_trip_us / 1000) : "–", bytes(link.sent_bytes), bytes(link.received_bytes),
    ]))];
}

function actsOf(one, session) {
  if (!session.manages_keys) return [];
  const maintain = async (on_) => {
    try {
      await send(on_ ? "POST" : "DELETE", `/v1/cluster/members/${one.id}/maintenance`);
      say(on_ ? `${one.name} counts as down on purpose.` : `${one.name} is no longer in maintenance.`,
        { action: "Undo", act: () => maintain(!on_) });
    } catch (problem) {
      sayProblem(problem);
    }
  };
  const repair = async () => {
    try {
      const { joined } = await send("POST", "/v1/repair");
      say(joined ? "It is at it already." : `${one.name} reads all that it holds and compares it with the others.`);
    } catch (problem) {
      sayProblem(problem);
    }
  };
  return [
    h("button", { type: "button", on: { click: () => maintain(!one.maintenance) } },
      one.maintenance ? "End maintenance" : "Down on purpose"),
    one.self && h("button", { type: "button", on: { click: repair } }, "Check and repair"),
  ];
}
