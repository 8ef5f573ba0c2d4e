// What is in a bucket: a page of keys below a prefix, and all that is done to several at once. The bucket is never counted
// whole; a page goes on where the last one ended.

import { ask, at, get } from "../api.js";
import { command, confirm, empty, h, put, table } from "../dom.js";
import { bytes, counted, leaf, when } from "../format.js";
import { say, sayProblem } from "../notice.js";
import { go, paths } from "../router.js";
import { chosenFiles, droppedFiles, upload } from "../upload.js";

const PAGE = 100;
/** Deletions under way at once. */
const AT_ONCE = 6;

export async function show(main, { name, query, signal }) {
  const prefix = query.get("prefix") || "";
  const after = query.get("after") || "";
  const chosen = new Set();
  const list = h("div", { class: "sheet" });
  const asked = h("div");
  const remove = h("button", { type: "button", class: "danger", hidden: true, on: { click: () => confirmRemoval() } });

  const find = h("input", {
    type: "search", class: "grow", "aria-label": "Keys that begin with", placeholder: "Keys that begin with…", value: prefix,
    spellcheck: "false", autocapitalize: "none",
  });
  let timer;
  find.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      go(paths.bucket(name, { prefix: find.value }), { replace: true, quiet: true });
      load(find.value, "");
    }, 200);
  });

  const filesInput = fileInput({}, (files) => add(files));
  const folderInput = fileInput({ webkitdirectory: true }, (files) => add(files));
  const add = (files) => upload(name, folder(find.value), files, () => !signal.aborted && load(find.value, ""));

  put(main,
    h("div", { class: "head" }, crumbs(name, prefix), h("div", { class: "row push" }, remove,
      h("button", { type: "button", on: { click: () => folderInput.click() } }, "Upload folder"),
      h("button", { type: "button", class: "main", on: { click: () => filesInput.click() } }, "Upload files"))),
    filesInput, folderInput,
    h("div", { class: "row filters" }, find), asked, list);
  acceptDrops(main, add, signal);

  const choose = () => {
    remove.hidden = chosen.size === 0;
    remove.textContent = `Delete ${counted(chosen.size, "object")}`;
  };

  function confirmRemoval() {
    const keys = [...chosen];
    const named = keys.slice(0, 5).join(", ") + (keys.length > 5 ? ` and ${keys.length - 5} more` : "");
    put(asked, confirm({
      question: `Delete ${counted(keys.length, "object")} of ${name} for good?`, detail: named, word: keys.length,
      button: `Delete ${counted(keys.length, "object")}`,
      act: () => removeAll(name, keys),
      done: () => load(find.value, ""),
    }));
  }

  async function load(from, behind) {
    const page = await get(`/v1/buckets/${encodeURIComponent(name)}/objects`,
      { prefix: from, delimiter: "/", after: behind, limit: PAGE }, signal);
    chosen.clear();
    choose();
    main.querySelector(".crumbs").replaceWith(crumbs(name, from));
    put(list, page.objects.length || page.prefixes.length
      ? rows(name, page, chosen, choose)
      : nothing(name, from), pager(name, from, behind, page.next));
  }
  await load(prefix, after);
}

/** Where uploads go: the folder that is shown, whatever follows it in the search. */
const folder = (prefix) => prefix.slice(0, prefix.lastIndexOf("/") + 1);

function crumbs(name, prefix) {
  const parts = folder(prefix).split("/").filter(Boolean);
  let path = "";
  const links = parts.map((part) => {
    path += `${part}/`;
    return [" / ", h("a", { href: paths.bucket(name, { prefix: path }) }, part)];
  });
  return h("h1", { class: "crumbs" }, h("a", { href: "/console/buckets" }, "Buckets"), " / ",
    h("a", { href: paths.bucket(name) }, name), links);
}

function rows(name, page, chosen, choose) {
  const boxes = [];
  const all = h("input", { type: "checkbox", "aria-label": "Choose all objects of this page", on: { change: () => {
    for (const [box, key] of boxes) {
      box.checked = all.checked;
      if (all.checked) chosen.add(key);
      else chosen.delete(key);
    }
    choose();
  } } });
  const box = (key) => {
    const input = h("input", { type: "checkbox", "aria-label": `Choose ${key}`, on: { change: () => {
      if (input.checked) chosen.add(key);
      else chosen.delete(key);
      all.checked = chosen.size === boxes.length;
      all.indeterminate = chosen.size > 0 && !all.checked;
      choose();
    } } });
    boxes.push([input, key]);
    return input;
  };
  const folders = page.prefixes.map((prefix) => [
    h("a", { href: paths.bucket(name, { prefix }), class: "break" }, leaf(prefix)), h("span", { class: "dim" }, "folder"), "", "",
  ]);
  const objects = page.objects.map((one) => [
    [h("a", { href: paths.object(name, one.key), class: "break" }, leaf(one.key) || one.key),
      one.siblings > 1 && [" ", h("a", { class: "tag watch", href: paths.conflict(name, one.key) }, `${one.siblings} versions`)]],
    bytes(one.size), when(one.modified), box(one.key),
  ]);
  return table(`Objects of ${name}`, [["Name"], ["Size", "num"], ["Modified", "optional"], [objects.length ? all : h("span", { class: "hide" }, "Choose"), "num"]], [...folders, ...objects]);
}

function nothing(name, prefix) {
  if (prefix) return empty(`No key of ${name} begins with “${prefix}”.`, h("a", { href: paths.bucket(name) }, "All of the bucket"));
  return empty("Nothing is in this bucket yet. Drop files here, or:", command(`holdfast cp -r . hf://${name}`));
}

function pager(name, prefix, after, next) {
  if (!after && !next) return null;
  return h("div", { class: "row pager" },
    after && h("a", { class: "button", href: paths.bucket(name, { prefix }) }, "First page"),
    next && h("a", { class: "button", href: paths.bucket(name, { prefix, after: next }) }, "Next page"));
}

function fileInput(props, take) {
  const input = h("input", { type: "file", multiple: true, hidden: true, ...props, on: { change: () => {
    take(chosenFiles(input.files));
    input.value = "";
  } } });
  return input;
}

function acceptDrops(main, add, signal) {
  const isFiles = (event) => [...event.dataTransfer.types].includes("Files");
  const listen = (kind, act) => addEventListener(kind, (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    act(event);
  }, { signal });
  listen("dragover", () => main.classList.add("dropping"));
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) main.classList.remove("dropping"); }, { signal });
  listen("drop", async (event) => {
    main.classList.remove("dropping");
    add(await droppedFiles(event.dataTransfer));
  });
  signal.addEventListener("abort", () => main.classList.remove("dropping"));
}

async function removeAll(name, keys) {
  const failed = [];
  const queue = [...keys];
  const worker = async () => {
    for (let key = queue.shift(); key !== undefined; key = queue.shift()) {
      try {
        await ask("DELETE", at(name, "objects", key));
      } catch (problem) {
        failed.push([key, problem]);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (!failed.length) {
    say(`${counted(keys.length, "object is", "objects are")} deleted.`);
    return;
  }
  const [key, problem] = failed[0];
  problem.message = `${failed.length} of ${keys.length} were not deleted, ${key} among them: ${problem.message}`;
  sayProblem(problem);
}
