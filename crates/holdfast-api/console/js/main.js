// Where it begins: who is signed in decides what is shown; the address decides which page.

import { Problem, ask, onSignedOut, send } from "./api.js";
import { h, put, skeleton } from "./dom.js";
import { mark, mountFrame, unmountFrame } from "./frame.js";
import { hush, listen, on } from "./live.js";
import { mountNotices, problemSheet, say, sayProblem } from "./notice.js";
import { follow, route } from "./router.js";

const RENEW_MS = 4 * 60 * 1000;

const main = document.getElementById("main");
let session = null;
let leaving = new AbortController();
let renewal;

/** Shows the page that the address names. */
async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const here = { ...route(), session, signal };
  if (!session) return signIn();
  document.title = `${here.title} · Holdfast`;
  mark(here.page);
  if (!here.page) {
    put(main, h("h1", {}, "There is no such page"), h("p", {}, h("a", { href: "/console/" }, "Go to the ring")));
    return;
  }
  const late = setTimeout(() => put(main, skeleton()), 80);
  try {
    const { show: showPage } = await import(`./pages/${here.page}.js`);
    if (signal.aborted) return;
    clearTimeout(late);
    put(main);
    await showPage(main, here);
  } catch (problem) {
    if (signal.aborted || problem.name === "AbortError") return;
    console.error(problem);
    put(main, problemSheet(problem, show));
  } finally {
    clearTimeout(late);
  }
}

async function signIn() {
  document.title = "Sign in · Holdfast";
  unmountFrame();
  const { show: showSignIn } = await import("./pages/signin.js");
  showSignIn(main, begin);
}

function begin(told) {
  session = told;
  mountFrame({ session, openPalette, signOut });
  listen();
  clearInterval(renewal);
  renewal = setInterval(renew, RENEW_MS);
  show();
}

function end() {
  if (!session) return;
  session = null;
  clearInterval(renewal);
  hush();
  show();
}

async function signOut() {
  try {
    await send("DELETE", "/console/session");
    end();
    say("Signed out.");
  } catch (problem) {
    sayProblem(problem);
  }
}

async function renew() {
  // A failure shows where it matters: at the next thing that is asked for.
  await ask("GET", "/console/session").catch(() => {});
}

async function openPalette() {
  const palette = await import("./palette.js");
  palette.open({ session, signOut });
}

addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  const wants = (event.key === "k" && (event.ctrlKey || event.metaKey)) || (event.key === "/" && !isTyping);
  if (!session || !wants || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  openPalette();
});

mountNotices();
onSignedOut(end);
on("over", end);
follow(() => {
  show();
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
});
try {
  begin(await send("GET", "/console/session"));
} catch (problem) {
  if (problem instanceof Problem && (problem.status === 401 || problem.status === 403)) show();
  else put(main, problemSheet(problem, () => location.reload()));
}
