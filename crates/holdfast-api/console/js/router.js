// Paths to pages. A path can be sent to somebody, survives a reload, and the browser's back goes back.

const ROUTES = [
  [/^\/console\/?$/, "ring", "Ring"],
  [/^\/console\/buckets\/?$/, "buckets", "Buckets"],
  [/^\/console\/buckets\/([^/]+)\/object$/, "object", "Object"],
  [/^\/console\/buckets\/([^/]+)\/?$/, "objects", "Objects"],
  [/^\/console\/nodes\/?$/, "nodes", "Nodes"],
  [/^\/console\/nodes\/([^/]+)$/, "node", "Node"],
  [/^\/console\/conflicts\/?$/, "conflicts", "Conflicts"],
  [/^\/console\/conflicts\/([^/]+)$/, "conflict", "Conflict"],
  [/^\/console\/activity\/?$/, "activity", "Activity"],
  [/^\/console\/keys\/?$/, "keys", "Keys"],
];

export const paths = {
  bucket: (name, query = {}) => withQuery(`/console/buckets/${encodeURIComponent(name)}`, query),
  object: (bucket, key) => withQuery(`/console/buckets/${encodeURIComponent(bucket)}/object`, { key }),
  node: (name) => `/console/nodes/${encodeURIComponent(name)}`,
  conflict: (bucket, key) => withQuery(`/console/conflicts/${encodeURIComponent(bucket)}`, { key }),
};

function withQuery(path, query) {
  const told = Object.entries(query).filter(([, value]) => value);
  return told.length ? `${path}?${new URLSearchParams(told)}` : path;
}

let onRoute = () => {};

/** What the address names. */
export function route() {
  for (const [pattern, page, title] of ROUTES) {
    const found = pattern.exec(location.pathname);
    if (found) return { page, title, name: found[1] && decodeURIComponent(found[1]), query: new URLSearchParams(location.search) };
  }
  return { page: null, title: "Not found", query: new URLSearchParams() };
}

/** Goes somewhere. `replace` for what is not a step back, such as a filter being typed. */
export function go(path, { replace = false, quiet = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", path);
  if (!quiet) onRoute();
}

/** Follows links within the console without loading it again. */
export function follow(listener) {
  onRoute = listener;
  addEventListener("popstate", listener);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const to = new URL(link.href);
    const isOurs = to.origin === location.origin && /^\/console(\/|$)/.test(to.pathname) && !link.target && !link.hasAttribute("download");
    if (!isOurs || to.pathname.startsWith("/console/preview/") || (to.hash && to.pathname === location.pathname)) return;
    event.preventDefault();
    go(to.pathname + to.search);
  });
}
