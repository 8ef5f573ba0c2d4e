// What is in an object, as far as it can be looked at. Elements read it from a path whose answers can run nothing (the server's
// console/preview.rs); text is read here and set as text.

import { ask, at, previewOf } from "./api.js";
import { h, put } from "./dom.js";
import { bytes } from "./format.js";

/** Text shown at most. */
const TEXT_MAX = 64 << 10;

const IMAGE = /^image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml|x-icon)$/;
const SOUND = /^audio\//;
const MOVING = /^video\//;
const TEXT = /^(text\/|application\/(json|xml|yaml|toml|javascript|x-sh|x-ndjson))/;
const BY_ENDING = {
  txt: "text/plain", md: "text/plain", log: "text/plain", csv: "text/plain", json: "application/json", yaml: "text/plain", yml: "text/plain",
  toml: "text/plain", rs: "text/plain", js: "text/plain", html: "text/plain", css: "text/plain", py: "text/plain", sh: "text/plain", xml: "text/plain",
};

const typeOf = (version, key) => {
  const told = (version.headers["content-type"] || "").split(";")[0].trim().toLowerCase();
  if (told && told !== "application/octet-stream" && told !== "binary/octet-stream") return told;
  return BY_ENDING[key.split(".").pop().toLowerCase()] || told;
};

/** A version to look at. `sibling` reads one of several. */
export function preview(bucket, key, version, { sibling, signal } = {}) {
  const type = typeOf(version, key);
  const path = previewOf(bucket, key, { sibling });
  const frame = h("div", { class: "preview" });
  const cannot = () => put(frame, h("p", { class: "dim" }, "It cannot be shown. ",
    h("a", { href: previewOf(bucket, key, { sibling, download: true }), download: "" }, "Download it")));
  const on = { error: cannot };
  if (version.size === 0) put(frame, h("p", { class: "dim" }, "It is empty."));
  else if (IMAGE.test(type)) put(frame, h("img", { src: path, alt: `Preview of ${key}`, on }));
  else if (SOUND.test(type)) put(frame, h("audio", { src: path, controls: true, preload: "metadata", "aria-label": key, on }));
  else if (MOVING.test(type)) put(frame, h("video", { src: path, controls: true, preload: "metadata", "aria-label": key, on }));
  else if (type === "application/pdf") {
    // A viewer may run what a document carries, so it is not started before somebody wants it.
    const show = () => put(frame, h("iframe", { src: path, title: `Preview of ${key}` }));
    put(frame, h("div", { class: "asks" }, h("p", {}, "A document. Your browser's viewer may run what it carries; that cannot reach this console, but it may open a dialog: tell it nothing."),
      h("button", { type: "button", on: { click: show } }, "Show the document")));
  }
  else if (TEXT.test(type)) text(bucket, key, version, { sibling, signal }).then((shown) => put(frame, shown)).catch(cannot);
  else put(frame, h("p", { class: "dim" }, `${type || "Its kind is unknown"}: not shown here.`));
  return frame;
}

/** The beginning of a text. */
export async function readText(bucket, key, version, { sibling, signal, max = TEXT_MAX } = {}) {
  const headers = version.size > max ? { Range: `bytes=0-${max - 1}` } : {};
  const answer = await ask("GET", at(bucket, "objects", key), { query: { sibling }, headers, signal });
  return new TextDecoder().decode(await answer.arrayBuffer());
}

/** Whether a version is text. */
export const isText = (version, key) => TEXT.test(typeOf(version, key));
export const isImage = (version, key) => IMAGE.test(typeOf(version, key));

async function text(bucket, key, version, options) {
  let shown = await readText(bucket, key, version, options);
  if (typeOf(version, key) === "application/json" && version.size <= TEXT_MAX) {
    try {
      shown = JSON.stringify(JSON.parse(shown), null, 2);
    } catch {
      // It is not what it says it is: shown as it stands.
    }
  }
  const more = version.size > TEXT_MAX && h("p", { class: "dim small" }, `The first ${bytes(TEXT_MAX)} of ${bytes(version.size)}.`);
  return [h("pre", { tabindex: 0, "aria-label": "Text of the object" }, shown), more];
}
