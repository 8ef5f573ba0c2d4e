// Numbers and times as people read them. One place, so that the same figure looks the same everywhere.

const NUMBER = new Intl.NumberFormat("en");
const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** 1,234,567 */
export const count = (number) => (number === null || number === undefined ? "–" : NUMBER.format(number));

/** `1 object`, `2 objects` */
export const counted = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** 12.3 MiB */
export function bytes(number) {
  if (number === null || number === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = number;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** 3.2 ms, 1.4 s */
export function ms(number) {
  if (number === null || number === undefined) return "–";
  if (number >= 1000) return `${(number / 1000).toFixed(1)} s`;
  return `${number >= 100 ? Math.round(number) : number.toFixed(1)} ms`;
}

/** 42, 3.4: a rate without noise */
export const rate = (number) => (number === null || number === undefined ? "–" : NUMBER.format(number >= 10 ? Math.round(number) : number));

/** A span of time in one unit. */
export function span(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** How long ago a time was. */
export const ago = (time) => `${span((Date.now() - new Date(time)) / 1000)} ago`;

/** A date and a time. */
export const when = (time) => (time ? DATE.format(new Date(time)) : "–");

/** Only the time of day. */
export const clock = (time) => CLOCK.format(new Date(time));

/** A share of the whole. */
export const percent = (part) => `${(part * 100).toFixed(part < 0.1 ? 1 : 0)} %`;

/** The last part of a key. */
export const leaf = (key) => key.slice(key.replace(/\/+$/, "").lastIndexOf("/") + 1);
