// Keys with concurrent versions. There is no list of them in the cluster: buckets are looked through, page by page, as far as
// somebody wants.

import { get } from "../api.js";
import { command, empty, h, put, table } from "../dom.js";
import { bytes, count, when } from "../format.js";
import { on } from "../live.js";
import { problemSheet } from "../notice.js";
import { paths } from "../router.js";

/** Keys looked at before asking whether to go on. */
const LOOK_MAX = 5000;

export async function show(main, { signal }) {
  const found = new Map();
  const list = h("div", { class: "sheet" });
  const status = h("p", { class: "dim", role: "status" });
  put(main, h("div", { class: "head" }, h("h1", {}, "Conflicts"),
    h("p", { class: "lead" }, "Keys that were written by several at once, each without having seen the others. Nothing was dropped: decide which stays.")),
  h("div", { class: "stack" }, list, status));

  const { buckets } = await get("/v1/buckets", {}, signal);
  // First where conflicts are kept on purpose.
  buckets.sort((a, b) => (b.conflict === "siblings") - (a.conflict === "siblings"));
  let looked = 0;
  let budget = LOOK_MAX;

  const update = (isOver) => {
    if (found.size) {
      put(list, table("Keys with concurrent versions", [["Key"], ["Versions", "num"], ["Newest", "num"], ["Modified", "optional"]],
        [...found.values()].map(({ bucket, one }) => [
          h("a", { class: "break", href: paths.conflict(bucket, one.key) }, `${bucket}/${one.key}`), count(one.siblings), bytes(one.size), when(one.modified),
        ])));
    } else if (isOver) {
      put(list, buckets.some((one) => one.conflict === "siblings")
        ? empty("No key has concurrent versions.")
        : empty("No key has concurrent versions, and no bucket keeps them for you to decide. One that does:",
          command("holdfast mb hf://carts --conflict siblings")));
    }
  };

  const steps = look();
  async function* look() {
    for (const { name } of buckets) {
      let after = "";
      do {
        const page = await get(`/v1/buckets/${encodeURIComponent(name)}/objects`, { after, limit: 1000 }, signal);
        looked += page.objects.length;
        budget -= page.objects.length;
        for (const one of page.objects) if (one.siblings > 1) found.set(`${name}/${one.key}`, { bucket: name, one });
        yield;
        after = page.next;
      } while (after);
    }
  }
  const work = async () => {
    budget = LOOK_MAX;
    try {
      for (;;) {
        const { done } = await steps.next();
        status.textContent = `${count(looked)} keys looked at.`;
        update(done);
        if (done) return;
        if (budget <= 0) {
          status.append(" ", h("button", { type: "button", on: { click: work } }, "Look further"));
          return;
        }
      }
    } catch (problem) {
      if (problem.name !== "AbortError") put(status, problemSheet(problem));
    }
  };
  on("happened", (event) => {
    if (event.event === "siblings_made" && event.bucket) {
      found.set(`${event.bucket}/${event.key}`, { bucket: event.bucket, one: { key: event.key, siblings: event.count, modified: event.at } });
      update();
    }
  }, signal);
  await work();
}
