// What the page knows: the newest values of every slice, alerts, the state of the connection. Bounded.

import { useEffect, useReducer } from "./vendor/preact.js";
import * as api from "./api.js";
import { sliceKey } from "./format.js";

const MOST_SLICES = 5000;
const MOST_POINTS = 600;

const state = {
  about: null, problem: null, locked: false, connected: false, loaded: false,
  slices: new Map(), // key -> cx.metrics object, the newest of each
  alerts: { alerts: [], firing: 0, firing_customers: 0 },
  news: [], // what was told while the page is open, for the toasts
  as_of: null,
};
const listeners = new Set();
const ticks = new Set(); // told every value of a slice, as it comes: charts
let drawing = false;

/** Many changes, one drawing: whatever comes between two frames is drawn once. */
function changed() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    for (const listener of listeners) listener();
  });
}

export function useStore() {
  const [, redraw] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    listeners.add(redraw);
    return () => listeners.delete(redraw);
  }, []);
  return state;
}

export function useTicks(take, parts) {
  useEffect(() => {
    ticks.add(take);
    return () => ticks.delete(take);
  }, parts);
}

function takeSlice(found) {
  const key = sliceKey(found.slice);
  const known = state.slices.get(key);
  if (known && Date.parse(known.as_of) > Date.parse(found.as_of)) return;
  state.slices.delete(key);
  state.slices.set(key, found);
  if (state.slices.size > MOST_SLICES) state.slices.delete(state.slices.keys().next().value);
  if (!state.as_of || Date.parse(found.as_of) > Date.parse(state.as_of)) state.as_of = found.as_of;
  for (const tick of ticks) tick(key, found);
}

let customers = false;
const askAlerts = () => api.alerts({ state: "all", limit: 300, customers });

/** Whether alerts about single customers are wanted as well. */
export function wantCustomers(wanted) {
  customers = wanted;
  refreshAlerts(0);
}

let asking = 0;
let newest = 0;
/** Reads the list; of answers that overtake each other the last question's stays. */
async function readAlerts() {
  const turn = ++asking;
  const found = await askAlerts();
  if (turn < newest) return;
  newest = turn;
  state.alerts = found;
  changed();
}

let waiting = null;
/** Soon, once for all that asks until then: news that keep coming must not put it off. */
export function refreshAlerts(soon = 400) {
  if (waiting !== null && soon) return;
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    waiting = null;
    readAlerts().catch(() => { /* the stream or the next alert asks again */ });
  }, soon);
}

export function told(text) {
  const item = { text, id: crypto.randomUUID ? crypto.randomUUID() : String(Math.random()) };
  state.news = [...state.news.slice(-2), item];
  changed();
  setTimeout(() => {
    state.news = state.news.filter((each) => each !== item);
    changed();
  }, 6000);
}

function take(kind, data) {
  if (kind === "metrics") takeSlice(data);
  else if (kind === "reset") load(); // more was missed than the stream can give again
  else if (kind === "changed") refreshAlerts(); // somebody acted on an alert or silenced some, here or elsewhere
  else if (kind === "alert") {
    refreshAlerts();
    if (!data.subject.startsWith("customer:")) told(`${data.data.alert}: ${data.data.state}, ${data.subject}`);
  }
  changed();
}

let following = null;
export async function open() {
  following?.abort();
  following = new AbortController();
  const { signal } = following;
  state.problem = null;
  state.locked = false;
  try {
    state.about = await api.about();
    // The stream first: what is published while the slices are read is not missed.
    api.follow(take, (connected) => {
      if (connected && state.loaded) { load(); }
      state.connected = connected;
      changed();
    }, signal);
    await load();
  } catch (error) {
    if (error.status === 401 || error.status === 403) state.locked = true;
    else {
      state.problem = error.message;
      setTimeout(() => { if (!signal.aborted) open(); }, 3000);
    }
  }
  changed();
}

async function load() {
  for (const found of await api.slices()) takeSlice(found);
  await readAlerts();
  state.loaded = true;
  changed();
}

/** Points of a chart: what is kept is bounded, what comes twice counts once. */
export class Points {
  constructor(points) {
    this.points = points.slice(-MOST_POINTS);
  }

  add(point) {
    const last = this.points.at(-1);
    if (last && Date.parse(last.at) >= Date.parse(point.at)) return false;
    this.points.push(point);
    if (this.points.length > MOST_POINTS) this.points.shift();
    return true;
  }
}
