// Access keys: who may ask. A secret is shown once, when its key is made.

import { get, send } from "../api.js";
import { command, confirm, h, put, state, table } from "../dom.js";
import { when } from "../format.js";
import { problemSheet, say, sayProblem } from "../notice.js";

export async function show(main, { session, signal }) {
  const list = h("div");
  const asked = h("div");
  const made = h("div", { "aria-live": "polite" });
  const name = h("input", { class: "grow", placeholder: "What it is for", "aria-label": "Name of the new key", maxlength: 200 });
  const form = h("form", { class: "row filters", on: { submit: async (event) => {
    event.preventDefault();
    try {
      const key = await send("POST", "/v1/keys", { name: name.value });
      name.value = "";
      put(made, shown(key));
      await load();
    } catch (problem) {
      sayProblem(problem);
    }
  } } }, name, h("button", { type: "submit", class: "main" }, "New key"));
  put(main, h("div", { class: "head" }, h("h1", {}, "Keys")), session.manages_keys && form, made, asked, list);

  async function load() {
    let keys;
    try {
      ({ keys } = await get("/v1/keys", {}, signal));
    } catch (problem) {
      if (problem.name === "AbortError") return;
      put(list, problem.status === 403
        ? h("div", { class: "sheet" }, h("p", {}, "Only the root key and the admin token may look after keys."),
          h("p", { class: "dim" }, "You are signed in as ", h("code", {}, session.principal), "."))
        : problemSheet(problem, load));
      return;
    }
    put(list, h("div", { class: "sheet" }, table("Access keys", [["Key"], ["Name"], ["State"], ["Created", "optional"], [h("span", { class: "hide" }, "Actions"), "num"]], keys.map(row))));
  }

  const change = async (key, what, undo) => {
    try {
      await send(what === "delete" ? "DELETE" : "POST", `/v1/keys/${encodeURIComponent(key.access_key_id)}${what === "delete" ? "" : `/${what}`}`);
      const label = key.name || key.access_key_id;
      say({ disable: `${label} is turned off.`, enable: `${label} is turned on.`, delete: `${label} is deleted.` }[what],
        undo ? { action: "Undo", act: () => change(key, undo) } : {});
    } catch (problem) {
      sayProblem(problem);
    }
    await load();
  };

  function row(key) {
    const isOn = key.state === "enabled";
    const remove = () => put(asked, confirm({
      question: `Delete the key ${key.name || key.access_key_id} for good?`,
      detail: "Whoever uses it is refused from then on, and links signed with it end.", word: key.name || key.access_key_id,
      button: "Delete the key", act: () => change(key, "delete"),
    }));
    const label = key.name || key.access_key_id;
    // The root key has no time: it is as old as the cluster, and cannot be turned off.
    const acts = key.created && [
      h("button", { type: "button", class: "plain", "aria-label": `${isOn ? "Turn off" : "Turn on"} ${label}`, on: { click: () => (isOn ? change(key, "disable", "enable") : change(key, "enable", "disable")) } }, isOn ? "Turn off" : "Turn on"),
      h("button", { type: "button", class: "plain", "aria-label": `Delete ${label}`, on: { click: remove } }, "Delete"),
    ];
    return [h("code", {}, key.access_key_id), key.name || "–", state(isOn ? "good" : "away", isOn ? "on" : "off"), when(key.created), acts || h("span", { class: "dim" }, "root")];
  }
  await load();
}

function shown(key) {
  return h("section", { class: "sheet stack" }, h("h2", {}, `The key ${key.name || key.access_key_id}`),
    h("p", {}, "The secret is shown this once: nobody can ask for it again."),
    command(`export AWS_ACCESS_KEY_ID=${key.access_key_id}\nexport AWS_SECRET_ACCESS_KEY=${key.secret_access_key}`));
}
