// The HTTP API, as the page uses it: one function a question, and the stream of what is new.

const KEY = "cx-api-key";
const QUIET_MS = 45_000; // the stream says something every 15 s; silent for longer, it is taken for cut

/** What went wrong, in the words of the API's problem document. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem?.detail || problem?.title || `HTTP ${status}`);
    this.status = status;
    this.errors = problem?.errors || [];
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

function headers(more = {}) {
  const secret = key.get();
  return secret ? { Authorization: `Bearer ${secret}`, ...more } : more;
}

async function ask(path, { query, body, method } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query || {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.append(name, value);
  }
  const answer = await fetch(url, {
    method: method || (body === undefined ? "GET" : "POST"),
    headers: headers(body === undefined ? {} : { "Content-Type": "application/json" }),
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) {
    let problem = null;
    try { problem = await answer.json(); } catch { /* a proxy's page, perhaps */ }
    throw new ApiError(answer.status, problem);
  }
  return answer.status === 204 ? null : answer.json();
}

const enc = encodeURIComponent;
export const about = () => ask("/v1/about");
export const series = (query) => ask("/v1/series", { query });
export const alerts = (query) => ask("/v1/alerts", { query });
export const explain = (fingerprint) => ask(`/v1/alerts/${enc(fingerprint)}/explain`);
export const act = (fingerprint, body) => ask(`/v1/alerts/${enc(fingerprint)}/actions`, { body });
export const silence = (body) => ask("/v1/silences", { body });
export const topCustomers = (n) => ask("/v1/customers", { query: { n } });
export const customer = (id) => ask(`/v1/customers/${enc(id)}`);
export const rules = () => ask("/v1/rules");
export const checkRules = (body) => ask("/v1/rules/check", { body });
export const backtest = (body) => ask("/v1/rules/backtest", { body });

/** Every slice there is, page by page. */
export async function slices(most = 2000) {
  const found = [];
  for (let after; ;) {
    const page = await ask("/v1/metrics", { query: { limit: 500, after } });
    found.push(...page.slices);
    if (!page.next || found.length >= most) return found;
    after = page.next;
  }
}

/**
 * Follow the stream until `signal` says stop. A cut is followed by another try, which goes on after the last id.
 * Fetch and not EventSource: the key belongs into a header, never into an address.
 */
export async function follow(take, connected, signal) {
  let last = null;
  for (let pause = 500; !signal.aborted; ) {
    const cut = new AbortController();
    const stop = () => cut.abort();
    signal.addEventListener("abort", stop);
    let quiet = setTimeout(stop, QUIET_MS);
    try {
      const more = { Accept: "text/event-stream" };
      if (last !== null) more["Last-Event-ID"] = last;
      const answer = await fetch("/v1/stream", { headers: headers(more), signal: cut.signal, cache: "no-store" });
      if (!answer.ok) throw new ApiError(answer.status, null);
      connected(true);
      pause = 500;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ;) {
        const { done, value } = await reader.read();
        if (done) break;
        clearTimeout(quiet);
        quiet = setTimeout(stop, QUIET_MS);
        const events = (rest + value).split(/\r?\n\r?\n/);
        rest = events.pop();
        for (const text of events) {
          const event = parse(text);
          if (event.id !== undefined) last = event.id;
          if (event.data) take(event.event || "message", JSON.parse(event.data));
        }
      }
    } catch (error) {
      if (error.status === 401 || error.status === 403) return;
      if (error.status === 410 || error.status === 400) last = null; // too long ago: from now on
    } finally {
      clearTimeout(quiet);
      signal.removeEventListener("abort", stop);
    }
    connected(false);
    await new Promise((resume) => setTimeout(resume, pause));
    pause = Math.min(pause * 2, 10_000);
  }
}

function parse(text) {
  const event = { data: "" };
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") event.data += (event.data ? "\n" : "") + value;
    else event[name] = value;
  }
  return event;
}
