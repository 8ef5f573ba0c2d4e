// One object: what it is, where it is, and how sure that is.

import { ask, at, get, metaOf, previewOf } from "../api.js";
import { confirm, empty, facts, h, put, state, table } from "../dom.js";
import { bytes, count, counted, leaf, when } from "../format.js";
import { live, member, stateOf } from "../live.js";
import { say, sayProblem } from "../notice.js";
import { preview } from "../preview.js";
import { go, paths } from "../router.js";
import { copyAs, shareForm } from "../share.js";

const CHECKSUMS = /^x-amz-checksum-/;
const PLAIN = /^(cache-control|content-(disposition|encoding|language)|expires)$/;

export async function show(main, { name, query, session, signal }) {
  const key = query.get("key") || "";
  document.title = `${leaf(key)} · Holdfast`;
  let known;
  try {
    known = await metaOf(name, key, live.view?.members, signal);
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    known = { versions: [] };
  }
  const version = known.versions.find((one) => one.kind === "value");
  if (!version) {
    put(main, heading(name, key), h("div", { class: "sheet" }, gone(name, key, known)));
    return;
  }
  const asked = h("div");
  const remove = () => put(asked, confirm({
    question: `Delete ${key} of ${name} for good?`, detail: `${bytes(version.size)}, written ${when(version.modified)}.`, word: leaf(key),
    button: `Delete ${leaf(key)}`,
    act: async () => {
      try {
        await ask("DELETE", at(name, "objects", key));
        say(`${key} is deleted.`);
        go(paths.bucket(name, { prefix: key.slice(0, key.lastIndexOf("/") + 1) }));
      } catch (problem) {
        sayProblem(problem);
      }
    },
  }));
  const chunks = h("section", { class: "sheet" }, h("h2", {}, "Body"), h("p", { class: "dim" }, "Looking…"));
  put(main,
    heading(name, key,
      h("a", { class: "button", href: previewOf(name, key, { download: true }), download: leaf(key) }, "Download"),
      h("button", { type: "button", class: "danger", on: { click: remove } }, "Delete")),
    asked,
    known.siblings > 1 && h("p", { class: "problem" }, `It has ${known.siblings} concurrent versions; the newest is shown. `,
      h("a", { href: paths.conflict(name, key) }, "Decide between them")),
    h("div", { class: "wide-narrow" },
      h("div", {}, h("section", { class: "sheet" }, preview(name, key, version, { signal })),
        h("section", { class: "sheet" }, h("h2", {}, "Replicas"), replicas(known)), chunks),
      h("div", {}, h("section", { class: "sheet" }, h("h2", {}, "What it is"), aboutOf(version)), shareForm(name, key), copyAs(name, key, session.region))));
  try {
    put(chunks, h("h2", {}, "Body"), body(await get(at(name, "chunks", key), {}, signal)));
  } catch (problem) {
    if (problem.name !== "AbortError") put(chunks, h("h2", {}, "Body"), h("p", { class: "dim" }, problem.message));
  }
}

function heading(name, key, ...acts) {
  const parts = key.split("/");
  const file = parts.pop();
  let path = "";
  return h("div", { class: "head" }, h("h1", {}, h("a", { href: paths.bucket(name) }, name), " / ",
    parts.filter(Boolean).map((part) => {
      path += `${part}/`;
      return [h("a", { href: paths.bucket(name, { prefix: path }) }, part), " / "];
    }), file), h("div", { class: "row push" }, acts));
}

function gone(name, key, known) {
  const deleted = known.versions.find((one) => one.kind === "deleted");
  return empty(deleted ? `${key} was deleted ${when(deleted.modified)}.` : `There is no object ${key} in ${name}.`,
    h("a", { href: paths.bucket(name) }, `All of ${name}`));
}

function aboutOf(version) {
  const headers = Object.entries(version.headers);
  return facts([
    ["Size", version.size < 1024 ? bytes(version.size) : `${bytes(version.size)} (${count(version.size)} bytes)`],
    ["Type", version.headers["content-type"]],
    ["Modified", when(version.modified)],
    ["ETag", h("code", {}, version.etag)],
    ...headers.filter(([name]) => CHECKSUMS.test(name)).map(([name, value]) => [name.replace(CHECKSUMS, "").toUpperCase(), h("code", {}, value)]),
    ...headers.filter(([name]) => PLAIN.test(name)),
    ...headers.filter(([name]) => name.startsWith("x-amz-meta-")).map(([name, value]) => [name.slice(11), value]),
    ["Version", h("code", {}, version.dot)],
  ]);
}

/** Who holds the record, and whether all know the same. */
function replicas(known) {
  const newest = merged(known.clocks);
  const rows = known.preference_list.map((node, place) => {
    const one = member(node.id);
    const [level, word] = one ? stateOf(one) : ["away", "unknown"];
    const clock = known.clocks.find((told) => told.node.id === node.id)?.clock;
    let says = h("span", { class: "dim" }, "was not asked");
    if (level === "alarm" || known.down.some((down) => down.id === node.id)) says = state("alarm", "cannot be reached");
    else if (clock && covers(clock, newest)) says = state("good", "has all");
    else if (clock) says = state("watch", clock.length ? "lacks something, and is brought up to date" : "has nothing yet");
    return [h("a", { href: paths.node(node.name) }, node.name), state(level, word), `home ${place + 1}`, says,
      h("div", { class: "mono small clock" }, clock?.map((life) => h("div", { title: `actor ${life.actor}, life ${life.life}` }, `${life.actor}:${life.tick}`)))];
  });
  const stands = known.stand_ins?.length > 0 && h("p", { class: "dim" }, "Answered in place of homes: ",
    known.stand_ins.map((node, index) => [index ? ", " : "", h("a", { href: paths.node(node.name) }, node.name)]));
  const scrub = live.view?.checked?.scrub;
  return [table("Replicas", [["Node"], ["State"], ["Role"], ["Holds"], ["Clock"]], rows), stands,
    scrub && h("p", { class: "dim small" }, scrub.ended_ms
      ? `${live.view.node.name} last read its whole disk ${when(scrub.ended_ms)}.`
      : `${live.view.node.name} has not read its whole disk since it started; it does so every 30 days, or when asked.`)];
}

function merged(clocks) {
  const highest = new Map();
  for (const { clock } of clocks) {
    for (const { actor, life, tick } of clock) {
      const name = `${actor} ${life}`;
      if (!(highest.get(name) >= tick)) highest.set(name, tick);
    }
  }
  return highest;
}

const covers = (clock, newest) => [...newest].every(([name, tick]) =>
  clock.some((life) => `${life.actor} ${life.life}` === name && life.tick >= tick));

function body(told) {
  if (told.form !== "chunks") {
    return h("p", { class: "dim" }, told.form === "empty" ? "It is empty." : "Small: it lies beside its record, on the same nodes.");
  }
  const perNode = new Map();
  for (const chunk of told.chunks) {
    for (const home of chunk.homes || []) perNode.set(home.name, (perNode.get(home.name) || 0) + 1);
  }
  const most = Math.max(...perNode.values(), 1);
  const shares = [...perNode].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true })).map(([node, chunks]) => {
    const bar = h("i");
    bar.style.width = `${(chunks / most) * 100}%`;
    return [h("a", { href: paths.node(node) }, node), h("div", { class: "meter" }, bar), count(chunks)];
  });
  return h("div", { class: "stack" },
    h("p", {}, `${counted(told.chunks_in_all, "chunk")} in ${counted(told.parts, "part")}, each on its own homes`,
      told.next ? `; of the first ${count(told.chunks.length)}:` : ":"),
    table("Chunks by node", [["Node"], ["Share"], ["Chunks", "num"]], shares),
    h("details", {}, h("summary", {}, "Every chunk"),
      table("Chunks", [["Chunk", "num"], ["Bytes", "num"], ["Position", "optional"], ["Homes"]], told.chunks.slice(0, 200).map((chunk) => [
        count(chunk.number), bytes(chunk.bytes), h("code", {}, chunk.position), (chunk.homes || []).map((home) => home.name).join(", "),
      ]))));
}
