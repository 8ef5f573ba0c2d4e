// All buckets, and a new one.

import { get, send } from "../api.js";
import { command, confirm, empty, h, put, table } from "../dom.js";
import { bytes, count, when } from "../format.js";
import { problemSheet, say, sayProblem } from "../notice.js";
import { paths } from "../router.js";

export async function show(main, { query, signal }) {
  const list = h("div");
  const asked = h("div");
  const form = newBucket(() => load());
  form.hidden = !query.has("new");
  put(main, h("div", { class: "head" }, h("h1", {}, "Buckets"),
    h("button", { type: "button", class: "push main", on: { click: () => {
      form.hidden = !form.hidden;
      if (!form.hidden) form.querySelector("input").focus();
    } } }, "New bucket")), form, asked, list);

  async function load() {
    const { buckets } = await get("/v1/buckets", {}, signal);
    if (!buckets.length) {
      put(list, h("div", { class: "sheet" }, empty("There is no bucket yet.", command("holdfast mb hf://photos"))));
      return;
    }
    const figures = new Map(buckets.map((one) => [one.name, [h("span", {}, "…"), h("span", {}, "…")]]));
    const remove = (one) => put(asked, confirm({
      question: `Delete the bucket ${one.name} for good?`, detail: "Only an empty bucket is deleted.", word: one.name,
      button: `Delete ${one.name}`,
      act: async () => {
        try {
          await send("DELETE", `/v1/buckets/${encodeURIComponent(one.name)}`);
          say(`The bucket ${one.name} is deleted.`);
        } catch (problem) {
          sayProblem(problem);
        }
      },
      done: load,
    }));
    put(list, h("div", { class: "sheet" }, table("Buckets",
      [["Name"], ["Objects", "num"], ["Bytes", "num"], ["Copies", "num optional"], ["Concurrent versions", "optional"], ["Created", "optional"], [h("span", { class: "hide" }, "Actions"), "num"]],
      buckets.map((one) => [
        h("a", { href: paths.bucket(one.name) }, one.name), ...figures.get(one.name),
        h("span", { title: `A write needs ${one.w} synced copies, a read asks ${one.r}` }, `${one.n} (w ${one.w}, r ${one.r})`),
        one.conflict === "siblings" ? "kept for you" : "newest wins", when(one.created),
        h("button", { type: "button", class: "plain", "aria-label": `Delete ${one.name}`, on: { click: () => remove(one) } }, "Delete"),
      ]))));
    // Counted after the page is there: it asks many nodes.
    for (const one of buckets) {
      get(`/v1/buckets/${encodeURIComponent(one.name)}`, {}, signal).then((told) => {
        const [objects, size] = figures.get(one.name);
        objects.textContent = count(told.objects);
        size.textContent = bytes(told.bytes);
      }).catch(() => figures.get(one.name).forEach((cell) => { cell.textContent = "–"; }));
    }
  }
  await load();
}

function newBucket(done) {
  const name = h("input", { required: true, pattern: "[a-z0-9][a-z0-9.\\-]{1,61}[a-z0-9]", placeholder: "photos", spellcheck: "false", autocapitalize: "none" });
  const choice = (options, value) => h("select", {}, options.map(([key, title]) => h("option", { value: key, selected: key === value }, title)));
  const n = choice([["1", "1 copy"], ["2", "2 copies"], ["3", "3 copies"], ["4", "4 copies"], ["5", "5 copies"]], "3");
  const conflict = choice([["newest", "the newest wins"], ["siblings", "keep them for me to decide"]], "newest");
  const wrong = h("div");
  const form = h("form", { class: "sheet stack new", on: { submit: async (event) => {
    event.preventDefault();
    const copies = Number(n.value);
    const majority = Math.floor(copies / 2) + 1;
    try {
      await send("POST", "/v1/buckets", { name: name.value, n: copies, r: majority, w: majority, conflict: conflict.value });
      say(`The bucket ${name.value} is there.`);
      name.value = "";
      form.hidden = true;
      put(wrong);
      done();
    } catch (problem) {
      put(wrong, problemSheet(problem));
    }
  } } }, h("h2", {}, "A new bucket"), h("div", { class: "row" },
    h("label", { class: "field grow" }, "Name", name),
    h("label", { class: "field" }, "On how many nodes", n),
    h("label", { class: "field" }, "Of concurrent writes", conflict),
    h("button", { type: "submit", class: "main low" }, "Create")), wrong);
  return form;
}
