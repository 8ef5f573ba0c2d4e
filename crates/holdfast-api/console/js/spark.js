// A figure over time, as one line: of the last quarter of an hour, or as much of it as the browser has seen. Plain SVG.

import { s } from "./dom.js";

const SPAN_S_MIN = 60;
const SPAN_S_MAX = 15 * 60;
const WIDTH = 200;
const HEIGHT = 40;
/** A hole of this many seconds is not drawn over. */
const HOLE_S = 8;

/** Points are { at, [name] }, oldest first, `at` in Unix seconds. */
export function spark(points, name, label) {
  const told = points.filter((point) => typeof point[name] === "number");
  const now = Date.now() / 1000;
  const span = Math.min(SPAN_S_MAX, Math.max(SPAN_S_MIN, now - (told[0]?.at ?? now)));
  const top = Math.max(...told.map((point) => point[name]), 1e-9);
  const x = (point) => ((1 - (now - point.at) / span) * WIDTH).toFixed(1);
  const y = (point) => (HEIGHT - 2 - (point[name] / top) * (HEIGHT - 4)).toFixed(1);
  let line = "";
  let under = "";
  let before = null;
  told.forEach((point, index) => {
    const isNew = !before || point.at - before.at > HOLE_S;
    const next = told[index + 1];
    line += `${isNew ? "M" : "L"}${x(point)} ${y(point)}`;
    under += `${isNew ? `M${x(point)} ${HEIGHT}` : ""}L${x(point)} ${y(point)}`;
    if (!next || next.at - point.at > HOLE_S) under += `L${x(point)} ${HEIGHT}Z`;
    before = point;
  });
  return s("svg", { class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    s("line", { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
    s("path", { class: "under", d: under }), s("path", { d: line }));
}
