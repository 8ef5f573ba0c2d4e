// The ring: an outer arc for each member, grouped by zone, as long as its share of the partitions; within it the band of all
// partitions in order of their positions, where those of one member or one key light up; inside, what happens.

import { h, put, s } from "./dom.js";
import { count, percent } from "./format.js";
import { lights } from "./lights.js";
import { hints, live, stateOf } from "./live.js";
import { go, paths } from "./router.js";

const OUTER = 236;
const INNER = 212;
const BAND = 192;
const ENDS = 184;
const HOMES = 3;
/** Arcs shorter than this have no room for a name. */
const NAMED_MIN = 0.09;

const point = (radius, angle) => ({ x: radius * Math.sin(angle), y: -radius * Math.cos(angle) });
const fixed = (number) => number.toFixed(2);
const spot = (radius, angle) => {
  const { x, y } = point(radius, angle);
  return `${fixed(x)} ${fixed(y)}`;
};

function slice(from, to, inner, outer) {
  const large = to - from > Math.PI ? 1 : 0;
  return `M${spot(outer, from)}A${outer} ${outer} 0 ${large} 1 ${spot(outer, to)}`
    + `L${spot(inner, to)}A${inner} ${inner} 0 ${large} 0 ${spot(inner, from)}Z`;
}

function stroke(from, to, radius) {
  if (to - from > 2 * Math.PI - 0.001) return stroke(from, from + Math.PI, radius) + stroke(from + Math.PI, to, radius);
  return `M${spot(radius, from)}A${radius} ${radius} 0 ${to - from > Math.PI ? 1 : 0} 1 ${spot(radius, to)}`;
}

/** A line between two places of the ring, bent towards its middle, the more the farther they are apart. */
export function curve(a, b) {
  const apart = Math.hypot(a.x - b.x, a.y - b.y) / (2 * OUTER);
  const bend = 0.46 - 0.36 * Math.min(1, apart);
  return `M${fixed(a.x)} ${fixed(a.y)}Q${fixed((a.x + b.x) * bend)} ${fixed((a.y + b.y) * bend)} ${fixed(b.x)} ${fixed(b.y)}`;
}

/** Where each member lies: { index, id, name, zone, share, from, to }. */
export function arcs(layout) {
  const held = layout.members.map(() => 0);
  for (const list of layout.lists) for (const home of list.slice(0, HOMES)) held[home] += 1;
  const all = held.reduce((sum, part) => sum + part, 0) || 1;
  const members = layout.members.map((one, index) => ({ ...one, index, share: held[index] / all }));
  members.sort((a, b) => a.zone.localeCompare(b.zone) || a.name.localeCompare(b.name, "en", { numeric: true }));
  const zones = [...new Set(members.map((one) => one.zone))];
  const gap = members.length > 1 ? Math.min(0.035, 0.6 / members.length) : 0;
  const zoneGap = zones.length > 1 ? Math.min(0.09, 1.2 / zones.length) : 0;
  const room = 2 * Math.PI - gap * members.length - zoneGap * zones.length;
  let angle = 0;
  let zone = null;
  for (const one of members) {
    if (zone !== null && one.zone !== zone) angle += zoneGap;
    zone = one.zone;
    one.from = angle;
    one.to = angle + Math.max(room * one.share, 0.004);
    angle = one.to + gap;
  }
  return { members, zones };
}

/** Makes the picture. Answers the element and what changes it. */
export function ring(layout, { onFocus }) {
  const { members, zones } = arcs(layout);
  const byIndex = new Map(members.map((one) => [one.index, one]));
  const byId = new Map(members.map((one) => [one.id, one]));
  const middle = (one) => (one.from + one.to) / 2;
  const ends = (index) => byIndex.get(index) && point(ENDS, middle(byIndex.get(index)));

  const lit = s("g");
  const layer = s("g");
  const owed = s("g");
  const keyLayer = s("g");
  const pulse = s("text", { class: "pulse", y: 2 });
  const under = s("text", { class: "quiet centre", y: 24 });
  const nodes = new Map();

  const light = (one) => {
    nodes.forEach((group, id) => group.classList.toggle("lit", id === one?.id));
    put(lit, one ? partitionsOf(layout, one.index) : null);
    onFocus?.(one);
  };

  const arcOf = (one) => {
    const angle = middle(one);
    const anchor = Math.abs(Math.sin(angle)) < 0.25 ? "middle" : Math.sin(angle) > 0 ? "start" : "end";
    const { x, y } = point(OUTER + 14, angle);
    // Beside the arc in the middle of the lines, above it from the last, below it from the first.
    const line = (kind, ems) => s("tspan", { class: kind, x: fixed(x), dy: `${ems}em` });
    const lines = [line(null, 0.6 - 1.3 * (1 + Math.cos(angle))), line("quiet state-word", 1.25), line("quiet held-word", 1.25)];
    lines[0].textContent = one.name;
    const label = s("text", { y: fixed(y), "text-anchor": anchor }, lines);
    const group = s("a", {
      class: "node", "data-short": one.to - one.from < NAMED_MIN, href: paths.node(one.name), "aria-label": one.name,
      on: {
        pointerenter: () => light(one), pointerleave: () => light(null), focus: () => light(one), blur: () => light(null),
        click: (event) => { event.preventDefault(); go(paths.node(one.name)); },
      },
    }, s("path", { class: "arc", d: slice(one.from, one.to, INNER, OUTER) }),
    // A wider target than the arc, for fingers.
    s("path", { d: slice(one.from, one.to, INNER - 8, OUTER + 12), fill: "transparent" }), label);
    nodes.set(one.id, group);
    return group;
  };

  const zoneOf = (zone) => {
    const own = members.filter((one) => one.zone === zone);
    const [from, to] = [own[0].from, own.at(-1).to];
    const { x, y } = point(BAND - 28, (from + to) / 2);
    // Where there is room, nodes themselves say where they are.
    const isTold = zones.length <= 12 && own.some((one) => one.to - one.from < NAMED_MIN);
    return [s("path", { class: "zone", d: stroke(from, to, OUTER + 5) }),
      isTold && s("text", { class: "quiet centre", x: fixed(x), y: fixed(y + 4) }, zone)];
  };

  const picture = s("svg", {
    class: "ring", viewBox: "-330 -284 660 568", role: "group",
    "aria-label": `The ring: ${members.length} nodes and ${count(layout.lists.length)} partitions. The table tells the same.`,
  },
  s("circle", { class: "band", r: BAND }), lit,
  zones.length > 1 && zones.map(zoneOf),
  keyLayer, layer, members.map(arcOf), owed, pulse, under);

  let before = new Map();
  const shown = lights(layer, (from, to) => ends(from) && ends(to) && curve(ends(from), ends(to)));

  return {
    picture,
    members,
    request: shown.request,
    homeward: (from, to) => byId.has(from) && byId.has(to) && shown.homeward(byId.get(from).index, byId.get(to).index),
    /** Shows how all members are. */
    update(view) {
      const owing = hints();
      for (const member of view.members) {
        const group = nodes.get(member.id);
        if (!group) continue;
        const [level, word] = stateOf(member);
        const kind = { alarm: "down", away: "away" }[level] || (level === "watch" ? (word === "filling" ? "filling" : "suspect") : "up");
        const held = owing.filter((hint) => hint.holder === member.id).reduce((sum, hint) => sum + hint.count, 0);
        group.setAttribute("class", `node ${kind} ${held ? "holds" : ""} ${member.self ? "asked" : ""} ${group.classList.contains("lit") ? "lit" : ""}`);
        group.setAttribute("aria-label", `${member.name}, ${word}`);
        const own = byId.get(member.id);
        const [second, third] = ["state", "held"].map((line) => group.querySelector(`.${line}-word`));
        second.textContent = [zones.length > 1 && own.zone, level === "good" ? percent(own.share) : word].filter(Boolean).join(" · ");
        third.textContent = held ? `holds ${count(held)}` : "";
      }
      before = beads(owed, byId, before, (from, to) => shown.homeward(byId.get(from).index, byId.get(to).index));
      const rates = Object.values(view.stats).map((stats) => stats.requests_per_s);
      pulse.textContent = count(Math.round(rates.reduce((sum, one) => sum + one, 0)));
      under.textContent = "requests a second";
    },
    /** Shows where a key lives, or nothing. */
    key(found) {
      put(keyLayer, found ? keyLines(layout, found, byId, middle) : null);
      put(lit, found ? s("path", { class: "first", d: partitionPath(layout, found.partition) }) : null);
    },
  };
}

function partitionPath(layout, partition) {
  const step = (2 * Math.PI) / layout.lists.length;
  return stroke(partition * step, (partition + 1) * step, BAND);
}

function partitionsOf(layout, index) {
  let [first, further] = ["", ""];
  const step = (2 * Math.PI) / layout.lists.length;
  layout.lists.forEach((list, partition) => {
    const at = list.slice(0, HOMES).indexOf(index);
    const path = at < 0 ? "" : stroke(partition * step, (partition + 1) * step, BAND);
    if (at === 0) first += path;
    else further += path;
  });
  return [s("path", { class: "further", d: further }), s("path", { class: "first", d: first })];
}

function keyLines(layout, found, byId, middle) {
  const angle = Number(BigInt(`0x${found.position}`) >> 11n) / 2 ** 53 * 2 * Math.PI;
  const mark = point(BAND - 8, angle);
  const lines = found.preference_list.slice(0, found.homes + 1).map((node, place) => {
    const one = byId.get(node.id);
    if (!one) return null;
    const to = point(INNER - 2, middle(one));
    return s("path", {
      class: place < found.homes ? "key-line" : "key-line spare",
      d: curve(mark, to),
    });
  });
  return [lines, s("circle", { class: "key-mark", r: 6, cx: fixed(mark.x), cy: fixed(mark.y) })];
}

/** Beads on those who hold writes for others; what has become less goes home. */
function beads(layer, byId, before, sendHome) {
  const now = new Map();
  const drawn = [];
  const stacked = new Map();
  for (const { holder, home, count: waiting } of hints()) {
    const [from, to] = [byId.get(holder), byId.get(home)];
    if (!from || !to) continue;
    now.set(`${holder} ${home}`, waiting);
    const place = stacked.get(holder) || 0;
    stacked.set(holder, place + 1);
    const radius = Math.min(13, 4 + 2.6 * Math.log10(1 + waiting), Math.max(6, (from.to - from.from) * INNER * 0.6));
    const angle = (from.from + from.to) / 2 + place * 0.12;
    const at = point((OUTER + INNER) / 2, angle);
    const goal = point(INNER, (to.from + to.to) / 2);
    drawn.push(
      s("path", { class: "owes", d: curve(at, goal) }),
      s("circle", { class: "bead", r: fixed(radius), cx: fixed(at.x), cy: fixed(at.y) },
        s("title", {}, `${from.name} holds ${count(waiting)} for ${to.name}`)));
  }
  for (const [pair, waiting] of before) {
    if ((now.get(pair) || 0) < waiting) sendHome(...pair.split(" "));
  }
  put(layer, drawn);
  return now;
}

/** The same as a table, for who prefers one. */
export function ringTable(layout, view) {
  const { members } = arcs(layout);
  const owed = hints();
  const name = (id) => view.members.find((one) => one.id === id)?.name || id;
  return members.map((one) => {
    const member = view.members.find((known) => known.id === one.id);
    const [level, word] = member ? stateOf(member) : ["away", "unknown"];
    const held = owed.filter((hint) => hint.holder === one.id);
    const stats = live.view?.stats[one.id];
    return { one, level, word, stats, held: held.map((hint) => `${count(hint.count)} for ${name(hint.home)}`).join(", ") };
  });
}

/** What the marks mean. */
export function legend() {
  const entry = (kind, text) => h("li", { class: kind }, h("i", {}), text);
  return h("ul", { class: "legend" }, entry("put", "write"), entry("get", "read"),
    entry("hint", "writes that wait for a node"), entry("gone", "down"));
}
