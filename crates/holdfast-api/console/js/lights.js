// Requests that light their path over the ring as they happen, and hints that travel home. A few at a time, and none for who
// asked for less motion: the list beside the ring tells the same.

import { s } from "./dom.js";

const AT_ONCE_MAX = 48;

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Draws into a layer; `line(from, to)` is the way between two members, by their indexes. */
export function lights(layer, line) {
  const light = (from, to, kind) => {
    const way = from !== to && line(from, to);
    if (!way || layer.childElementCount > AT_ONCE_MAX) return;
    const path = s("path", { class: `light ${kind}`, d: way, pathLength: 1 });
    path.addEventListener("animationend", () => path.remove());
    layer.append(path);
  };
  return {
    /** Lights what one request did. */
    request(request) {
      if (still.matches || document.hidden) return;
      const { verb, via, coordinator, answered, hinted, homes, down } = request;
      light(via, coordinator, `${verb} via`);
      const asked = verb === "get" ? answered : homes.filter((home) => !down.includes(home));
      for (const home of asked) light(coordinator, home, verb);
      for (const [, standIn] of hinted) light(coordinator, standIn, "hint");
    },
    /** Sends a bead from who holds to whom it belongs. */
    homeward(from, to) {
      const way = line(from, to);
      if (!way || still.matches || document.hidden || layer.childElementCount > AT_ONCE_MAX) return;
      const bead = s("circle", { class: "homeward", r: 4 },
        s("animateMotion", { dur: "1.1s", path: way, fill: "freeze", begin: "indefinite" }));
      layer.append(bead);
      bead.firstChild.beginElement();
      setTimeout(() => bead.remove(), 1100);
    },
  };
}
