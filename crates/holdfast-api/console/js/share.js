// Handing an object to others: a link that ends by itself, and commands that read it.

import { at, send } from "./api.js";
import { command, h, put } from "./dom.js";
import { when } from "./format.js";
import { live } from "./live.js";
import { explain } from "./notice.js";

const EXPIRIES = [[3600, "an hour"], [86400, "a day"], [604800, "seven days"]];

/** A link with an expiry. */
export function shareForm(bucket, key) {
  const result = h("div", { "aria-live": "polite" });
  const expiry = h("select", { "aria-label": "Good for" }, EXPIRIES.map(([seconds, title]) => h("option", { value: seconds }, `Good for ${title}`)));
  const make = async () => {
    try {
      const link = await send("POST", at(bucket, "share", key), undefined, { query: { expires_s: expiry.value } });
      put(result, command(link.url), h("p", { class: "dim small" },
        `Whoever has it can read this object until ${when(link.until)}. Signed with ${link.signed_by}; turning that key off ends it.`));
    } catch (problem) {
      put(result, h("p", {}, explain(problem).join(" ")));
    }
  };
  return h("section", { class: "sheet" }, h("h2", {}, "Share"),
    h("div", { class: "row" }, expiry, h("button", { type: "button", on: { click: make } }, "Make a link")), result);
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Commands that read it. */
export function copyAs(bucket, key, region) {
  const endpoint = live.view?.members.find((one) => one.self)?.s3 || "";
  const path = key.split("/").map(encodeURIComponent).join("/");
  const kinds = {
    holdfast: `holdfast cp ${quoted(`hf://${bucket}/${key}`)} .`,
    aws: `aws --endpoint-url ${endpoint} s3 cp ${quoted(`s3://${bucket}/${key}`)} .`,
    curl: `curl -O --aws-sigv4 aws:amz:${region}:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" ${quoted(`${endpoint}/${bucket}/${path}`)}`,
    "s3://": `s3://${bucket}/${key}`,
  };
  const shown = h("div");
  const buttons = h("div", { class: "group", role: "group", "aria-label": "Copy as" }, Object.keys(kinds).map((kind) =>
    h("button", { type: "button", on: { click: () => choose(kind) } }, kind)));
  const choose = (kind) => {
    for (const button of buttons.children) button.setAttribute("aria-pressed", String(button.textContent === kind));
    put(shown, command(kinds[kind]));
  };
  choose("holdfast");
  return h("section", { class: "sheet" }, h("h2", {}, "Copy as"), buttons, shown);
}
