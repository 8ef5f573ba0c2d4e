// Find anything by typing: pages, buckets, nodes, keys, actions, and objects by prefix (`bucket/prefix`). Opened by `/` or Ctrl-K;
// arrows choose, Enter goes.

import { get } from "./api.js";
import { h, put } from "./dom.js";
import { bytes } from "./format.js";
import { live } from "./live.js";
import { go, paths } from "./router.js";

const SHOWN_MAX = 12;
const OBJECTS_MAX = 8;

export function open({ session, signOut }) {
  const known = pages();
  let shown = [];
  let at = 0;
  let asked = 0;
  const list = h("ul", { role: "listbox", id: "palette-list", "aria-label": "Found" });
  const input = h("input", {
    role: "combobox", "aria-expanded": "true", "aria-controls": "palette-list", "aria-autocomplete": "list", "aria-label": "Find",
    placeholder: "A page, node, bucket, key, or bucket/prefix", autocomplete: "off", spellcheck: "false", on: { input: find },
  });
  const dialog = h("dialog", { "aria-label": "Find", on: {
    close: () => dialog.remove(),
    click: (event) => { if (event.target === dialog) dialog.close(); },
    keydown: (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) choose((at + step + shown.length) % Math.max(1, shown.length));
      else if (event.key === "Enter" && shown[at]) take(shown[at]);
      else return;
      event.preventDefault();
    },
  } }, input, list);

  function pages() {
    const entry = (title, kind, path) => ({ title, kind, act: () => go(path) });
    const found = [
      entry("Ring", "page", "/console/"), entry("Buckets", "page", "/console/buckets"), entry("Nodes", "page", "/console/nodes"),
      entry("Conflicts", "page", "/console/conflicts"), entry("Activity", "page", "/console/activity"), entry("Keys", "page", "/console/keys"),
      ...(live.view?.members || []).map((one) => entry(one.name, "node", paths.node(one.name))),
      entry("New bucket", "action", "/console/buckets?new=1"),
      { title: "Sign out", kind: "action", act: signOut },
    ];
    get("/v1/buckets").then(({ buckets }) => {
      found.push(...buckets.map((one) => entry(one.name, "bucket", paths.bucket(one.name))));
      find();
    }).catch(() => {});
    if (session.manages_keys) {
      get("/v1/keys").then(({ keys }) => {
        found.push(...keys.map((one) => entry(one.name || one.access_key_id, "key", "/console/keys")));
        find();
      }).catch(() => {});
    }
    return found;
  }

  async function find() {
    asked += 1;
    const ours = asked;
    const text = input.value.trim();
    const wanted = text.toLowerCase();
    const rank = (title) => (title.toLowerCase().startsWith(wanted) ? 0 : 1);
    show(known.filter(({ title }) => title.toLowerCase().includes(wanted)).sort((a, b) => rank(a.title) - rank(b.title)));
    const [, bucket, prefix] = /^(?:s3:\/\/|hf:\/\/)?([a-z0-9.-]{3,63})\/(.*)$/.exec(text) || [];
    if (!bucket) return;
    try {
      const page = await get(`/v1/buckets/${encodeURIComponent(bucket)}/objects`, { prefix, limit: OBJECTS_MAX });
      if (ours !== asked) return;
      show([
        { title: `${bucket}/${prefix}…`, kind: "list", act: () => go(paths.bucket(bucket, { prefix })) },
        ...page.objects.map((one) => ({ title: `${bucket}/${one.key}`, kind: bytes(one.size), act: () => go(paths.object(bucket, one.key)) })),
      ]);
    } catch {
      // No such bucket yet: there may be when more is typed.
    }
  }

  function show(found) {
    shown = found.slice(0, SHOWN_MAX);
    put(list, shown.map((one, index) => h("li", { role: "option", id: `found-${index}`, on: { click: () => take(one), pointermove: () => choose(index) } },
      h("span", {}, one.title), h("span", {}, one.kind))));
    choose(0);
  }

  function choose(index) {
    at = index;
    [...list.children].forEach((one, place) => one.setAttribute("aria-selected", String(place === at)));
    const chosen = list.children[at];
    if (chosen) {
      input.setAttribute("aria-activedescendant", chosen.id);
      chosen.scrollIntoView({ block: "nearest" });
    }
  }

  function take(one) {
    dialog.close();
    one.act();
  }

  document.body.append(dialog);
  dialog.showModal();
  find();
}
