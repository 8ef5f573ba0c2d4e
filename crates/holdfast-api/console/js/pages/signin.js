// Signed out: how to get in, and how to get a key.

import { send } from "../api.js";
import { command, h, put } from "../dom.js";
import { explain } from "../notice.js";

export function show(main, begin) {
  const wrong = h("div", { role: "alert" });
  const input = (label, name, more = {}) => h("label", { class: "field" }, label,
    h("input", { name, autocomplete: "off", spellcheck: "false", autocapitalize: "none", ...more }));
  const id = input("Access key ID", "id", { autocomplete: "username" });
  const secret = input("Secret access key", "secret", { type: "password", autocomplete: "current-password" });
  const token = input("Admin token", "token", { type: "password" });
  token.hidden = true;
  let byToken = false;
  const other = h("button", { type: "button", class: "plain", on: { click: () => {
    byToken = !byToken;
    id.hidden = secret.hidden = byToken;
    token.hidden = !byToken;
    other.textContent = byToken ? "Use an access key" : "Use the admin token";
  } } }, "Use the admin token");
  const go = h("button", { type: "submit", class: "main" }, "Sign in");
  const form = h("form", { on: { submit: async (event) => {
    event.preventDefault();
    go.disabled = true;
    const value = (label) => label.querySelector("input").value;
    try {
      const credentials = byToken
        ? { admin_token: value(token) }
        : { access_key_id: value(id), secret_access_key: value(secret) };
      begin(await send("POST", "/console/session", credentials));
    } catch (problem) {
      const [what, ...rest] = explain(problem).filter((text) => text !== "Nothing was changed.");
      put(wrong, h("div", { class: "problem" }, h("strong", {}, what), rest.map((text) => h("p", {}, text))));
      go.disabled = false;
    }
  } } }, h("h1", {}, "Sign in"), wrong, id, secret, token, h("div", { class: "row" }, go, other));

  put(main, h("div", { class: "signin" }, form, h("section", {},
    h("h2", {}, "No key yet?"),
    h("p", { class: "dim" }, "On a machine that can reach this cluster, with the root key in its environment:"),
    command("holdfast key create my-name"),
    h("h2", {}, "Started with holdfast dev?"),
    h("p", { class: "dim" }, "The keys are in the file that you gave to ", h("code", {}, "--env-file"), ":"),
    command("grep -E 'AWS_|ADMIN' ./try.env"),
    h("h2", {}, "A node of its own?"),
    h("p", { class: "dim" }, "Its data directory has ", h("code", {}, "root-key"), " and ", h("code", {}, "admin-token"), "."),
    h("p", { class: "dim small" }, "The secret is sent once, to this node, and kept nowhere; what the browser holds instead ends after a quarter of an hour without use, or when you sign out."))));
  id.querySelector("input").focus();
}
