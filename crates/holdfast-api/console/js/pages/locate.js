// Type a key: where it lies on the ring, who its homes are, and what each of them holds of it.

import { get, metaOf } from "../api.js";
import { facts, h, put, state } from "../dom.js";
import { count } from "../format.js";
import { live, member, stateOf } from "../live.js";
import { explain } from "../notice.js";
import { go, paths } from "../router.js";

/** The form and what it finds. `onFound` gets the location, or null. */
export function locator({ buckets, query, signal, onFound }) {
  const result = h("div", { "aria-live": "polite" });
  const bucket = h("select", { "aria-label": "Bucket", on: { change: find } },
    buckets.map((one) => h("option", { value: one.name, selected: one.name === query.get("bucket") }, one.name)));
  const key = h("input", {
    class: "grow", "aria-label": "Key", placeholder: "cat.jpg", value: query.get("key") || "", spellcheck: "false",
    autocapitalize: "none", autocomplete: "off", on: { input: later },
  });
  let timer;
  let asked = 0;
  function later() {
    clearTimeout(timer);
    timer = setTimeout(find, 200);
  }
  async function find() {
    asked += 1;
    const ours = asked;
    const search = new URLSearchParams(location.search);
    for (const [name, value] of [["bucket", key.value && bucket.value], ["key", key.value]]) {
      if (value) search.set(name, value);
      else search.delete(name);
    }
    go(`${location.pathname}${search.size ? `?${search}` : ""}`, { replace: true, quiet: true });
    if (!key.value) {
      onFound(null);
      put(result, hint());
      return;
    }
    try {
      const found = await get("/v1/locate", { bucket: bucket.value, key: key.value }, signal);
      if (ours !== asked) return;
      onFound(found);
      const known = await meta(bucket.value, key.value, signal);
      if (ours !== asked) return;
      put(result, told(found, known));
    } catch (problem) {
      if (problem.name !== "AbortError" && ours === asked) put(result, h("p", { class: "dim" }, explain(problem).join(" ")));
    }
  }
  if (!buckets.length) {
    return h("section", { class: "sheet" }, h("h2", {}, "Where is a key?"),
      h("p", { class: "dim" }, "There is no bucket yet. ", h("a", { href: "/console/buckets" }, "Create one")), result);
  }
  put(result, hint());
  if (key.value) find();
  return h("section", { class: "sheet" }, h("h2", {}, "Where is a key?"),
    h("form", { class: "row", on: { submit: (event) => { event.preventDefault(); find(); } } }, bucket, key), result);
}

const hint = () => h("p", { class: "dim small" }, "Every key has a place, whether it is there or not.");

async function meta(bucket, key, signal) {
  try {
    return await metaOf(bucket, key, live.view?.members, signal);
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    return null;
  }
}

function told(found, known) {
  const version = known?.versions?.find((one) => one.kind === "value");
  return h("div", { class: "stack" },
    facts([
      ["Position", h("code", {}, found.position)],
      ["Partition", `${count(found.partition)} of ${count(live.view?.partitions)}`],
      ["Stored", version ? h("a", { href: paths.object(found.bucket, found.key) }, "yes, see the object") : "no such object"],
    ]),
    h("ol", {}, found.preference_list.slice(0, found.homes + 1).map((node, place) => place_(node, place, found, known))));
}

/** One member of the preference list, with what it holds. */
function place_(node, place, found, known) {
  const one = member(node.id);
  const [level, word] = one ? stateOf(one) : ["away", "unknown"];
  const clock = known?.clocks?.find((clock_) => clock_.node.id === node.id)?.clock;
  const role = place < found.homes ? `home ${place + 1}` : "stands in";
  let holds = "was not asked";
  if (place >= found.homes) holds = "";
  else if (level === "alarm") holds = "cannot be reached";
  else if (clock?.length) holds = clock.map(tick).join(" ");
  else if (clock) holds = "has nothing";
  return h("li", { class: "place" }, h("div", { class: "row" }, state(level, h("a", { href: paths.node(node.name) }, node.name)),
    h("span", { class: "dim small" }, `${role}, ${word}`)),
  holds && h("div", { class: "mono dim small break" }, holds));
}

/** A component of a clock: the life of a disk, and the highest tick known of it. */
const tick = ({ actor, tick: last }) => `${actor.slice(0, 6)}…:${last.slice(-8)}`;
