// What happens in the cluster, newest first, each line linked to what it is about.

import { h, put, sign } from "../dom.js";
import { bytes, clock, count, counted, when } from "../format.js";
import { live, on } from "../live.js";
import { go, paths } from "../router.js";

const SHOWN_MAX = 300;
/** Events of many keys within this time are gathered. */
const GATHERED_MS = 60_000;

const node = (one) => h("a", { href: paths.node(one.name) }, one.name || one.id);
const nodes = (many) => many.map((one, index) => [index ? ", " : "", node(one)]);
const object = (event) => (event.bucket
  ? h("a", { href: paths.object(event.bucket, event.key) }, `${event.bucket}/${event.key}`)
  : h("span", {}, event.key || "an object"));

/** Event → [group, level, what is said]. */
const TOLD = {
  suspect: (e) => ["nodes", "watch", [node(e.member), " does not answer"]],
  down: (e) => ["nodes", "alarm", [node(e.member), " is down"]],
  stopped: (e) => ["nodes", "watch", [node(e.member), " was stopped in order"]],
  up: (e) => ["nodes", "good", [node(e.member), ` is up, was ${e.was}`]],
  maintenance: (e) => ["nodes", "away", [node(e.member), e.on ? " is down on purpose" : " is no longer in maintenance"]],
  rejoined: () => ["nodes", "watch", ["was held down by others, and is back"]],
  clock_off: (e) => ["nodes", "watch", [`has a clock ${Math.abs(e.ahead_ms)} ms ${e.ahead_ms < 0 ? "behind" : "ahead of"} the others'`]],
  clock_right: () => ["nodes", "good", ["has the right time again"]],
  old_copy_found: (e) => ["nodes", "alarm", ["holds an old copy of its data, as ", node(e.by), " knows"]],
  filling: () => ["nodes", "watch", ["lost its disk and is being filled"]],
  filled: () => ["nodes", "good", ["holds all again"]],
  hint_stored: (e) => ["hints", "watch", ["keeps ", object(e), " for ", node(e.for)]],
  hint_delivered: (e) => ["hints", "good", ["brought ", object(e), " home to ", node(e.for)]],
  repaired: (e) => ["repair", "good", ["made copies of ", object(e), " alike on ", nodes(e.nodes)]],
  mended: (e) => ["repair", "good", ["wrote a damaged copy of ", object(e), " again"]],
  copies_lost: (e) => ["repair", "alarm", ["had ", object(e), " damaged, as had ", nodes(e.nodes)]],
  repair_begun: () => ["repair", "watch", ["checks and repairs all that it holds"]],
  repair_ended: (e) => ["repair", e.unhealed ? "alarm" : "good",
    [`ended its repair: ${counted(e.damaged, "damaged copy", "damaged copies")}, ${counted(e.unhealed, "object")} not healed`]],
  siblings_made: (e) => ["conflicts", "watch", [e.bucket
    ? h("a", { href: paths.conflict(e.bucket, e.key) }, `${e.bucket}/${e.key}`)
    : e.key, ` has ${e.count} concurrent versions`]],
  siblings_resolved: (e) => ["conflicts", "good", [object(e), " has one version again"]],
  gate_held: (e) => ["space", "watch", ["keeps what was deleted because of ", node(e.by), ` (${e.why})`]],
  forgotten: (e) => ["space", "good", [`gave back ${bytes(e.bytes)} of ${counted(e.bodies, "deleted body", "deleted bodies")}`]],
  missed: (e) => ["", "away", [`${count(e.count)} more were too many to tell`]],
};

const GROUPS = [["", "All"], ["nodes", "Nodes"], ["hints", "Waiting writes"], ["repair", "Repair"], ["conflicts", "Conflicts"], ["space", "Space"]];

export function show(main, { query, signal }) {
  let group = query.get("only") || "";
  let text = query.get("find") || "";
  let paused = false;
  const list = h("div", { class: "sheet" });
  const filter = h("input", { class: "grow", placeholder: "A node, bucket or key", "aria-label": "Show only events that contain", value: text, on: { input: () => {
    text = filter.value;
    keep();
  } } });
  const buttons = h("div", { class: "row", role: "group", "aria-label": "Show only" }, GROUPS.map(([name, title]) =>
    h("button", { type: "button", "data-group": name, "aria-pressed": String(name === group), on: { click: () => {
      group = name;
      keep();
    } } }, title)));
  const pause = h("button", { type: "button", on: { click: () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Hold";
    update();
  } } }, "Hold");
  const keep = () => {
    const search = new URLSearchParams([["only", group], ["find", text]].filter(([, value]) => value));
    go(`/console/activity${search.size ? `?${search}` : ""}`, { replace: true, quiet: true });
    for (const button of buttons.children) button.setAttribute("aria-pressed", String(button.dataset.group === group));
    update(true);
  };
  const update = (isAsked = false) => {
    // What somebody has unfolded stays as it is.
    if ((paused || list.querySelector("details[open]")) && !isAsked) return;
    const shown = live.events.map((event) => ({ event, told: TOLD[event.event]?.(event) })).filter(({ told }) => told)
      .filter(({ event, told }) => (!group || told[0] === group) && (!text || JSON.stringify(event).includes(text)));
    put(list, shown.length ? lines(gathered(shown).slice(0, SHOWN_MAX)) : nothing(group || text));
  };
  put(main, h("div", { class: "head" }, h("h1", {}, "Activity"), h("div", { class: "push" }, pause),
    h("p", { class: "lead" }, "What the nodes saw and did by themselves. Requests are not events: they are on the ring.")),
  h("div", { class: "row filters" }, buttons, filter), list);
  let due = false;
  const soon = () => {
    if (due) return;
    due = true;
    setTimeout(() => { due = false; if (!signal.aborted) update(); }, 250);
  };
  for (const kind of ["happened", "past"]) on(kind, soon, signal);
  update();
}

/** What one node does with many keys within a minute is one line, from which the keys can be unfolded; what several nodes say
    of one member is one line, too. */
function gathered(shown) {
  const lines = [];
  const open = new Map();
  for (const one of shown) {
    const { event } = one;
    const name = event.key ? `${event.event} ${event.node.id} ${event.for?.id}` : event.member && `${event.event} ${event.member.id}`;
    const line = name && open.get(name);
    if (line && new Date(line.event.at) - new Date(event.at) < GATHERED_MS) {
      if (event.key) line.more.push(one);
      else if (!line.by.some((by) => by.id === event.node.id)) line.by.push(event.node);
      continue;
    }
    const begun = { ...one, more: [], by: [event.node].filter(Boolean) };
    lines.push(begun);
    if (name) open.set(name, begun);
  }
  return lines;
}

function lines(shown) {
  return h("ul", { class: "events" }, shown.map(({ event, told: [, level, said], more, by }) => h("li", {},
    h("time", { datetime: event.at, title: when(event.at) }, clock(event.at)), sign(level),
    h("span", { class: "break" }, by.length > 0 && [nodes(by), ": "], said, more.length > 0 && unfolded(more)))));
}

function unfolded(more) {
  const list = h("ul", {});
  const details = h("details", { on: { toggle: () => {
    if (details.open && !list.childElementCount) put(list, more.slice(0, SHOWN_MAX).map(({ event }) => h("li", {}, object(event))));
  } } }, h("summary", {}, `and ${counted(more.length, "more", "more")}`), list);
  return details;
}

function nothing(isFiltered) {
  return h("div", { class: "empty" }, h("p", {}, isFiltered
    ? "Nothing of this kind has happened lately."
    : `Nothing has happened since this page was opened at ${clock(live.openedAt)}, and the node remembers nothing before. That is good.`),
  h("div", { class: "command" }, h("code", {}, "holdfast cluster events")));
}
