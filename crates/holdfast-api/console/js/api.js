// REST as everybody has it, with the session's cookie and the header that shows that the console asks (see the server's
// console/guard.rs). Every failure becomes a Problem that says what happened, whether anything changed, and what to do.

/** What was not done, and why. */
export class Problem extends Error {
  constructor(status, told) {
    super(told.message || `the node answered ${status}`);
    this.status = status;
    this.error = told.error || "";
    this.whatToDo = told.what_to_do || "";
    this.stateChanged = told.state_changed;
  }
}

export const HEADERS = { "Holdfast-Console": "1" };

let signedOut = () => {};

/** Called when a session turns out to be over. */
export function onSignedOut(listener) {
  signedOut = listener;
}

/** The path of an object, a bucket, or anything else that has a key. */
export const at = (bucket, kind, key) =>
  `/v1/buckets/${encodeURIComponent(bucket)}/${kind}/${key.split("/").map(encodeURIComponent).join("/")}`;

/** Asks; answers the response, or throws a Problem. */
export async function ask(method, path, { query = {}, headers = {}, body, signal } = {}) {
  const told = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = told.length ? `?${new URLSearchParams(told)}` : "";
  let answer;
  try {
    answer = await fetch(path + search, { method, headers: { ...HEADERS, ...headers }, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, {
      message: "this node does not answer",
      what_to_do: "try again in a moment, or open the console of another node",
      state_changed: method === "GET" ? false : null,
    });
  }
  if (answer.ok || answer.status === 300) return answer;
  const problem = new Problem(answer.status, await answer.json().catch(() => ({})));
  if (answer.status === 401) signedOut();
  throw problem;
}

/** Asks for JSON. */
export async function get(path, query, signal) {
  return (await ask("GET", path, { query, signal })).json();
}

/** What is known of a key: from all of its homes that are up, where that can be had, else from as many as a read asks. */
export async function metaOf(bucket, key, members, signal) {
  const location = await get("/v1/locate", { bucket, key }, signal);
  const homes = location.preference_list.slice(0, location.homes);
  const up = homes.filter((home) => members?.find((member) => member.id === home.id)?.up).length;
  const path = at(bucket, "meta", key);
  try {
    return await get(path, { r: up || undefined }, signal);
  } catch (problem) {
    if (problem.status !== 503) throw problem;
    return get(path, {}, signal);
  }
}

/** Sends JSON, answers JSON. */
export async function send(method, path, document, options = {}) {
  const body = document === undefined ? undefined : JSON.stringify(document);
  const headers = { ...(body ? { "Content-Type": "application/json" } : {}), ...options.headers };
  return (await ask(method, path, { ...options, headers, body })).json();
}

/** Where elements of a page read an object. */
export function previewOf(bucket, key, { sibling, download } = {}) {
  const path = `/console/preview/${encodeURIComponent(bucket)}/${key.split("/").map(encodeURIComponent).join("/")}`;
  const query = [sibling && `sibling=${sibling}`, download && "download"].filter(Boolean).join("&");
  return query ? `${path}?${query}` : path;
}
