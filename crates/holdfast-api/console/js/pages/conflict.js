// One key with concurrent versions, side by side: keep one, keep all under names of their own, or write what they make together.
// Whatever is chosen is written with the context of what is shown here, so that a version that came meanwhile is not lost.

import { ask, at, get, previewOf } from "../api.js";
import { empty, facts, h, put } from "../dom.js";
import { bytes, counted, leaf, when } from "../format.js";
import { live } from "../live.js";
import { explain, say, sayProblem } from "../notice.js";
import { isText, preview, readText } from "../preview.js";
import { go, paths } from "../router.js";

/** A body larger than this is not taken through the browser. */
const BODY_MAX = 256 << 20;
/** Texts larger than this, or of more lines, are not compared. */
const DIFF_MAX = 64 << 10;
const LINES_MAX = 2000;

export async function show(main, { name, query, signal }) {
  const key = query.get("key") || "";
  const known = await get(at(name, "meta", key), {}, signal);
  const versions = known.versions;
  const values = versions.filter((one) => one.kind === "value");
  const title = h("div", { class: "head" }, h("h1", {}, h("a", { href: "/console/conflicts" }, "Conflicts"), ` / ${name} / ${key}`));
  if (versions.length < 2) {
    put(main, title, h("div", { class: "sheet" }, empty("It has one version.",
      h("a", { href: paths.object(name, key) }, "See the object"))));
    return;
  }
  const write = (body, type) => ask("PUT", at(name, "objects", key), {
    body, headers: { "Holdfast-Context": known.context, ...(type ? { "Content-Type": type } : {}) },
  });
  const decided = (text) => {
    say(text);
    go(paths.object(name, key));
  };
  const attempt = (act) => async (event) => {
    event.target.disabled = true;
    try {
      await act();
    } catch (problem) {
      event.target.disabled = false;
      sayProblem(problem);
    }
  };
  const bodyOf = async (one) => {
    if (one.size > BODY_MAX) throw Object.assign(new Error(`it has ${bytes(one.size)}, too much to take through the browser`), { whatToDo: "use `holdfast cat` and `holdfast cp`", stateChanged: false });
    return (await ask("GET", at(name, "objects", key), { query: { sibling: one.dot } })).blob();
  };
  const keep = (one) => attempt(async () => {
    if (one.kind === "deleted") await ask("DELETE", at(name, "objects", key), { headers: { "Holdfast-Context": known.context } });
    else await write(await bodyOf(one), one.headers["content-type"]);
    decided(one.kind === "deleted" ? `${key} stays deleted.` : `${key} has one version again.`);
  });
  const keepAll = attempt(async () => {
    const names = values.map((_, index) => numbered(key, index + 1));
    for (const [index, one] of values.entries()) {
      await ask("PUT", at(name, "objects", names[index]), { body: await bodyOf(one), headers: { "Content-Type": one.headers["content-type"] || "application/octet-stream" } });
    }
    await ask("DELETE", at(name, "objects", key), { headers: { "Holdfast-Context": known.context } });
    say(`${names.join(", ")} are there instead of ${key}.`);
    go(paths.bucket(name, { prefix: key.slice(0, key.lastIndexOf("/") + 1) }));
  });

  const compared = h("section", { class: "sheet", hidden: true });
  put(main, title,
    h("div", { class: "siblings" }, versions.map((one, index) => card(name, key, one, index, keep(one), signal))),
    compared,
    h("div", { class: "two after" },
      h("section", { class: "sheet stack" }, h("h2", {}, "Keep all"),
        h("p", { class: "dim" }, `Under names of their own: ${values.map((_, index) => numbered(leaf(key), index + 1)).join(", ")}. ${leaf(key)} itself goes.`),
        h("button", { type: "button", on: { click: keepAll } }, `Keep ${counted(values.length, "version")}`)),
      merge(values, write, decided, key, name, signal)));
  if (values.length === 2 && values.every((one) => isText(one, key) && one.size <= DIFF_MAX)) {
    const texts = await Promise.all(values.map((one) => readText(name, key, one, { sibling: one.dot, signal })));
    const lines = texts.map((text) => text.split("\n"));
    if (lines.every((some) => some.length <= LINES_MAX)) {
      compared.hidden = false;
      put(compared, h("h2", {}, "What differs"), h("div", { class: "preview" }, h("pre", { class: "diff", tabindex: 0, "aria-label": "Differences" }, diff(lines[1], lines[0]))));
    }
  }
}

function card(name, key, one, index, keep, signal) {
  const [actor] = one.dot.split("-");
  return h("section", { class: "sheet stack" }, h("h2", {}, one.kind === "deleted" ? "Deleted" : index === 0 ? "Newest" : `Beside it${index > 1 ? `, ${index}` : ""}`),
    one.kind === "value" && preview(name, key, one, { sibling: one.dot, signal }),
    facts([["Size", bytes(one.size)], ["Written", when(one.modified)], ["Through", writer(actor)], ["Type", one.headers["content-type"]]]),
    h("div", { class: "row" }, h("button", { type: "button", class: "main", on: { click: keep } }, one.kind === "deleted" ? "Keep it deleted" : "Keep this one"),
      one.kind === "value" && h("a", { class: "button", href: previewOf(name, key, { sibling: one.dot, download: true }), download: leaf(key) }, "Download")));
}

/** The node whose disk gave the version its name. */
function writer(actor) {
  const one = live.view?.members.find((known) => known.facts?.actor === actor);
  return one ? h("a", { href: paths.node(one.name) }, one.name) : h("code", {}, actor);
}

function numbered(key, number) {
  const dot = key.lastIndexOf(".");
  return dot > key.lastIndexOf("/") + 1 ? `${key.slice(0, dot)}-${number}${key.slice(dot)}` : `${key}-${number}`;
}

function merge(values, write, decided, key, name, signal) {
  const text = h("textarea", { rows: 6, "aria-label": "What they make together", spellcheck: "false" });
  const file = h("input", { type: "file", "aria-label": "A file to write instead" });
  const wrong = h("p", { role: "alert" });
  const [newest] = values;
  if (newest && isText(newest, key) && newest.size <= DIFF_MAX) {
    readText(name, key, newest, { sibling: newest.dot, signal }).then((begin) => { text.value ||= begin; }).catch(() => {});
  }
  return h("form", { class: "sheet stack", on: { submit: async (event) => {
    event.preventDefault();
    const [chosen] = file.files;
    try {
      await write(chosen || text.value, chosen?.type || newest?.headers["content-type"] || "text/plain");
      decided(`${key} is what you made of it.`);
    } catch (problem) {
      wrong.textContent = explain(problem).join(" ");
    }
  } } }, h("h2", {}, "Write a merge"), text, h("div", { class: "row" }, file, h("button", { type: "submit" }, "Write it")), wrong);
}

/** Lines that only one has, by the longest common subsequence (Hunt and McIlroy), after what both begin and end with. */
function diff(before, after) {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < before.length - start && end < after.length - start && before.at(-1 - end) === after.at(-1 - end)) end += 1;
  const [a, b] = [before.slice(start, before.length - end), after.slice(start, after.length - end)];
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  const same = (line) => h("span", {}, `  ${line}`);
  const told = before.slice(0, start).map(same);
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      told.push(same(a[i]));
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && longest[i + 1][j] >= longest[i][j + 1])) {
      told.push(h("del", {}, `− ${a[i]}`));
      i += 1;
    } else {
      told.push(h("ins", {}, `+ ${b[j]}`));
      j += 1;
    }
  }
  return [...told, ...before.slice(before.length - end).map(same)];
}
