// The one stream: the whole cluster as it changes. Pages listen to `view`, `happened` and `requests`; what is needed over time
// (15 minutes of figures, the latest events) is kept here, in the browser alone.
//
// Read by fetch rather than by EventSource, which cannot send the header that a session needs.

import { HEADERS } from "./api.js";

const KEPT_S = 15 * 60;
const EVENTS_MAX = 500;

const listeners = new Map();

/** The latest of all. */
export const live = {
  view: null,
  /** When the stream broke, or null. */
  lostAt: null,
  /** Events, newest first. */
  events: [],
  /** Node id → figures, oldest first. */
  history: new Map(),
  openedAt: Date.now(),
};

/** Listens until the signal. */
export function on(kind, listener, signal) {
  if (!listeners.has(kind)) listeners.set(kind, new Set());
  listeners.get(kind).add(listener);
  signal?.addEventListener("abort", () => listeners.get(kind).delete(listener));
}

function tell(kind, data) {
  for (const listener of [...(listeners.get(kind) || [])]) listener(data);
}

const taken = {
  view(view) {
    view.members.sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    live.view = view;
    live.lostAt = null;
    const now = Date.now() / 1000;
    for (const [id, stats] of Object.entries(view.stats)) {
      const kept = live.history.get(id) || [];
      kept.push({ at: now, ...stats, hints: undefined });
      while (kept.length && kept[0].at < now - KEPT_S) kept.shift();
      live.history.set(id, kept);
    }
  },
  happened(event) {
    live.events.unshift(event);
    if (live.events.length <= EVENTS_MAX) return;
    // What happens to keys is much, and goes first; what happens to nodes is little, and stays.
    const last = live.events.findLastIndex((one) => one.key);
    live.events.splice(last < 0 ? EVENTS_MAX : last, 1);
  },
  past(event) {
    const known = live.events.some((other) => other.at === event.at && other.event === event.event && other.key === event.key);
    if (!known) live.events.unshift(event);
  },
};

function take(block) {
  let kind = "message";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) kind = line.slice(7);
    if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (!data) return;
  const told = JSON.parse(data);
  taken[kind]?.(told);
  tell(kind, told);
}

let running = null;

/** Figures outlive a reload, not the tab. */
const KEPT_AS = "holdfast-figures";
try {
  live.history = new Map(JSON.parse(sessionStorage.getItem(KEPT_AS) || "[]"));
} catch {
  // What was kept is not ours to read: begin anew.
}
addEventListener("pagehide", () => {
  try {
    sessionStorage.setItem(KEPT_AS, JSON.stringify([...live.history]));
  } catch {
    // Too much of it for the browser: the figures begin anew after a reload.
  }
});

/** Begins to listen to the cluster, and goes on until told to stop. */
export function listen() {
  running?.abort();
  const stop = new AbortController();
  running = stop;
  follow(stop.signal);
}

/** Stops: nobody is signed in. */
export function hush() {
  running?.abort();
  live.view = null;
  live.events = [];
  live.history.clear();
}

async function follow(signal) {
  let wait = 500;
  while (!signal.aborted) {
    try {
      const answer = await fetch("/v1/cluster/stream", { headers: HEADERS, signal });
      if (answer.status === 401) return void tell("over");
      if (!answer.ok) throw new Error(String(answer.status));
      wait = 500;
      await read(answer.body.pipeThrough(new TextDecoderStream()).getReader());
    } catch {
      if (signal.aborted) return;
    }
    live.lostAt ??= Date.now();
    tell("lost");
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(wait * 2, 8000);
  }
}

async function read(reader) {
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    blocks.forEach(take);
  }
}

/** The member of this name or id. */
export const member = (name) => live.view?.members.find((one) => one.name === name || one.id === name);

/** Since when a member is as it is, if that is known: who was lost just now is still held up by gossip. */
export function sinceOf(one) {
  const isAgreed = one.up === (one.state === "up" || one.state === "suspect");
  return isAgreed && one.since && !one.since.startsWith("1970") ? new Date(one.since) : null;
}

/** How a member is, in a level and a word. */
export function stateOf(one) {
  if (one.maintenance) return ["away", one.up ? "up, in maintenance" : "in maintenance"];
  if (one.facts?.soundness === "filling") return ["watch", "filling"];
  if (one.up && one.state === "suspect") return ["watch", "does not answer"];
  if (one.up) return ["good", "up"];
  if (one.state === "stopped") return ["alarm", "stopped"];
  if (one.state === "up" || one.state === "suspect") return ["alarm", "lost just now"];
  if (one.state === "unheard") return ["alarm", "not heard of"];
  return ["alarm", "down"];
}

/** All writes that wait: { holder, home, count }, members' ids. */
export function hints() {
  const found = [];
  if (!live.view) return found;
  for (const one of live.view.members) {
    if (one.hints_owed) found.push({ holder: live.view.node.id, home: one.id, count: one.hints_owed });
  }
  for (const [holder, stats] of Object.entries(live.view.stats)) {
    if (holder === live.view.node.id) continue;
    for (const hint of stats.hints || []) found.push({ holder, home: hint.for, count: hint.count });
  }
  return found;
}
