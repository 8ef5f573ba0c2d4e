// Files into a bucket: small ones in one request, large ones in parts, several at a time; each can be paused, gone on with,
// tried again and given up. What is already there of a large one is not sent again.

import { HEADERS, Problem, at, send } from "./api.js";
import { h, put } from "./dom.js";
import { bytes } from "./format.js";
import { dock, explain, say } from "./notice.js";

const WHOLE_MAX = 16 << 20;
const PART = 8 << 20;
const PARTS_MAX = 9000;
/** Requests under way at once, of all files together. */
const AT_ONCE = 4;
const TRIES = 4;

const queue = [];
let underWay = 0;
let panel = null;

/** Files of an input: { path, file }. */
export const chosenFiles = (files) => [...files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));

/** Files of a drop, those within folders too. */
export async function droppedFiles(transfer) {
  // All at once: after the first wait the browser has emptied the list.
  const items = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter(Boolean);
  const found = [];
  const walk = async (entry, path) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      found.push({ path: path + entry.name, file });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const inner of some) await walk(inner, `${path}${entry.name}/`);
    }
  };
  for (const item of items) {
    if (item instanceof File) found.push({ path: item.name, file: item });
    else await walk(item, "");
  }
  return found;
}

/** Uploads below a prefix. */
export function upload(bucket, prefix, files, done) {
  if (!files.length) return;
  const batch = { left: files.length, done };
  for (const { path, file } of files) queue.push(new Transfer(bucket, prefix + path, file, batch));
  showPanel();
  work();
}

class Transfer {
  constructor(bucket, key, file, batch) {
    Object.assign(this, { bucket, key, file, batch, state: "waiting", upload: null, parts: [], sent: new Map(), requests: new Set() });
    this.partBytes = Math.max(PART, Math.ceil(file.size / PARTS_MAX));
    this.inParts = file.size > WHOLE_MAX;
    this.next = 1;
    this.count = this.inParts ? Math.ceil(file.size / this.partBytes) : 1;
    this.bar = h("progress", { max: Math.max(1, file.size), value: 0, "aria-label": `${key}, sent` });
    this.word = h("span", { class: "dim small" });
    this.acts = h("span", { class: "row" });
    this.row = h("li", {}, h("span", { class: "name", title: key }, key), this.acts, this.bar, this.word);
    this.tell();
  }

  /** The next piece to send, if any is left. */
  get isHungry() {
    return (this.state === "waiting" || this.state === "sending") && (this.next <= this.count) && !(this.inParts && !this.upload && this.state === "sending");
  }

  tell(problem) {
    const sent = [...this.sent.values()].reduce((all, one) => all + one, 0);
    this.bar.value = this.state === "done" ? this.bar.max : sent;
    const size = bytes(this.file.size);
    this.word.textContent = {
      waiting: `waits, ${size}`, sending: `${bytes(sent)} of ${size}`, paused: `paused at ${bytes(sent)} of ${size}`,
      done: `${size}, on disk`, failed: problem ? explain(problem).join(" ") : "failed", over: "given up",
    }[this.state];
    const act = (title, run) => h("button", { type: "button", on: { click: run } }, title);
    put(this.acts, {
      waiting: [act("Give up", () => this.giveUp())],
      sending: [act("Pause", () => this.pause()), act("Give up", () => this.giveUp())],
      paused: [act("Go on", () => this.resume()), act("Give up", () => this.giveUp())],
      failed: [act("Try again", () => this.resume()), act("Give up", () => this.giveUp())],
      done: [], over: [],
    }[this.state]);
    tellPanel();
  }

  pause() {
    this.state = "paused";
    for (const request of this.requests) request.abort();
    this.tell();
  }

  resume() {
    this.state = "sending";
    this.next = 1;
    this.tell();
    work();
  }

  async giveUp() {
    this.pause();
    this.state = "over";
    this.tell();
    this.batch.left -= 1;
    if (this.upload) await send("DELETE", at(this.bucket, "uploads", this.key), undefined, { query: { upload: this.upload } }).catch(() => {});
  }

  fail(problem) {
    if (this.state !== "sending") return;
    this.pause();
    this.state = "failed";
    this.tell(problem);
  }

  finish() {
    this.state = "done";
    this.tell();
    this.batch.left -= 1;
    this.batch.done();
  }

  /** Sends one piece; what is there is passed over. */
  async step() {
    this.state = "sending";
    const number = this.next;
    this.next += 1;
    if (this.parts[number - 1]) return;
    const type = this.file.type || "application/octet-stream";
    if (!this.inParts) {
      await this.send(at(this.bucket, "objects", this.key), this.file, 1, { "Content-Type": type });
      this.finish();
      return;
    }
    if (!this.upload) {
      const told = await send("POST", at(this.bucket, "uploads", this.key), undefined, { headers: { "Content-Type": type } });
      this.upload = told.upload;
      work();
    }
    const from = (number - 1) * this.partBytes;
    const path = `${at(this.bucket, "uploads", this.key)}?upload=${this.upload}&part=${number}`;
    this.parts[number - 1] = await this.send(path, this.file.slice(from, from + this.partBytes), number);
    if (this.parts.filter(Boolean).length === this.count && this.state === "sending") await this.complete();
  }

  async complete() {
    const parts = this.parts.map(({ number, etag }) => ({ number, etag }));
    await send("POST", at(this.bucket, "uploads", this.key), { parts }, { query: { upload: this.upload } });
    this.finish();
  }

  async send(path, blob, number, headers = {}) {
    for (let tried = 1; ; tried += 1) {
      try {
        return await this.sendOnce(path, blob, number, headers);
      } catch (problem) {
        const passes = problem.status === 0 || problem.status === 503 || problem.status === 408;
        if (!passes || tried === TRIES || this.state !== "sending") throw problem;
        await new Promise((resolve) => setTimeout(resolve, 400 * 2 ** tried));
      }
    }
  }

  /** By XMLHttpRequest, which alone tells how much has been sent. */
  sendOnce(path, blob, number, headers) {
    const request = new XMLHttpRequest();
    this.requests.add(request);
    return new Promise((resolve, reject) => {
      request.open("PUT", path);
      for (const [name, value] of Object.entries({ ...HEADERS, ...headers })) request.setRequestHeader(name, value);
      request.upload.onprogress = ({ loaded }) => {
        this.sent.set(number, loaded);
        this.tell();
      };
      request.onload = () => {
        const told = parsed(request.responseText);
        if (request.status < 300) {
          this.sent.set(number, blob.size);
          resolve(told);
        } else {
          reject(new Problem(request.status, told));
        }
      };
      request.onerror = () => reject(new Problem(0, { message: "the connection broke", what_to_do: "try again", state_changed: null }));
      request.onabort = () => reject(new Problem(0, { message: "paused" }));
      request.onloadend = () => this.requests.delete(request);
      request.send(blob);
    }).catch((problem) => {
      this.sent.delete(number);
      throw problem;
    });
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

function work() {
  while (underWay < AT_ONCE) {
    const transfer = queue.find((one) => one.isHungry);
    if (!transfer) return;
    underWay += 1;
    transfer.step().catch((problem) => transfer.fail(problem)).finally(() => {
      underWay -= 1;
      work();
    });
  }
}

function showPanel() {
  if (!panel) {
    const title = h("h2", { "aria-live": "polite" });
    const close = h("button", { type: "button", class: "plain push", "aria-label": "Close the list of uploads", on: { click: () => {
      if (queue.some((one) => ["waiting", "sending"].includes(one.state))) {
        say("Uploads are still under way. Pause or give them up first.", { bad: true });
        return;
      }
      queue.length = 0;
      panel.root.remove();
      panel = null;
    } } }, "✕");
    const list = h("ul", {});
    panel = { title, list, root: h("section", { class: "transfers", "aria-label": "Uploads" }, h("div", { class: "head" }, title, close), list) };
    dock.append(panel.root);
  }
  const shown = new Set(panel.list.children);
  panel.list.append(...queue.filter((one) => !shown.has(one.row)).map((one) => one.row));
  tellPanel();
}

function tellPanel() {
  if (!panel) return;
  const done = queue.filter((one) => one.state === "done").length;
  const text = `${done} of ${queue.length} uploaded`;
  if (panel.title.textContent !== text) panel.title.textContent = text;
}

addEventListener("beforeunload", (event) => {
  if (queue.some((one) => one.state === "sending")) event.preventDefault();
});
