// Every metric of one slice, with interval, goal and history; and the slices of one grouping side by side.

import { html, useEffect, useMemo, useState } from "./vendor/preact.js";
import * as api from "./api.js";
import { Chart } from "./chart.js";
import { figure, intervalWords, metricName, moment, ofFigures, ofMetric, sliceKey, sliceName } from "./format.js";
import { Gap, Interval, Note, Problem, Spark, rangeOf } from "./parts.js";
import { Points, useTicks } from "./store.js";

const WHOLE = sliceKey({});
const MOST_SPARKS = 24;

/** Windows of the metrics, in the order of the deployment's own. */
function windowsOf(state, found) {
  const there = new Set(Object.values(found?.metrics || {}).flatMap((windows) => Object.keys(windows)));
  const named = (state.about?.windows || []).filter((name) => there.has(name));
  return [...named, ...[...there].filter((name) => !named.includes(name) && name !== "ever")];
}

const figuresOf = (found, metric, window) =>
  found?.metrics[metric]?.[window] ?? found?.metrics[metric]?.ever ?? null;

function useHistory(slice, metric, window) {
  const [points, setPoints] = useState(null);
  const [version, setVersion] = useState(0);
  const [error, setError] = useState(null);
  const key = sliceKey(slice);
  useEffect(() => {
    let gone = false;
    setPoints(null);
    setError(null);
    if (metric) {
      api.series({ metric, window, ...slice }).then(
        (found) => { if (!gone) setPoints(new Points(found.points)); },
        (problem) => { if (!gone) setError(problem); },
      );
    }
    return () => { gone = true; };
  }, [key, metric, window]);
  useTicks((of, found) => {
    const figures = of === key && found.metrics[metric]?.[window];
    if (points && figures && points.add({ at: found.as_of, ...figures })) setVersion((n) => n + 1);
  }, [key, metric, window, points]);
  return { points, version, error };
}

function MetricCard({ metric, figures, slice, window, chosen, choose, draw }) {
  const [points, setPoints] = useState([]);
  const key = sliceKey(slice);
  useEffect(() => {
    let gone = false;
    if (draw) {
      api.series({ metric, window, ...slice }).then(
        (found) => { if (!gone) setPoints(found.points.slice(-120)); }, () => { },
      );
    }
    return () => { gone = true; };
  }, [key, metric, window, draw]);
  return html`<li><button type="button" class="metric" aria-pressed=${chosen} onClick=${() => choose(metric)}>
    <span class="name">${metricName(metric)}</span>
    <span class="value">${ofFigures(metric, figures)}</span>
    <span class="small">${intervalWords(metric, { ...figures, confidence: null }) || " "}</span>
    <span class="small">on ${figure(figures.n, 0)}${figures.goal ? ", " : ""}<${Gap} metric=${metric} line=${figures.goal} name="goal" /></span>
    <${Spark} points=${points} />
  </button></li>`;
}

function History({ metric, slice, window, figures, theme }) {
  const { points, version, error } = useHistory(slice, metric, window);
  const title = `${metricName(metric)} of ${sliceName(slice)}, window ${window}`;
  const lines = ["goal", "baseline", "benchmark"].filter((name) => figures?.[name]);
  return html`<section class="card" aria-labelledby="history">
    <div class="head"><h2 id="history">${title}</h2></div>
    <p class="small">${intervalWords(metric, figures) ? `Now ${ofMetric(metric, figures.value, figures.currency)}, interval ${intervalWords(metric, figures)}, on ${figure(figures.n, 0)}. ` : ""}
      ${lines.map((name) => html`<${Gap} key=${name} metric=${metric} line=${figures[name]} name=${name} />${". "}`)}</p>
    <${Problem} error=${error} />
    ${points && points.points.length > 1
      ? html`<${Chart} metric=${metric} points=${points.points} version=${version} goal=${figures?.goal?.value} theme=${theme} label=${`${title}: chart`} />`
      : html`<p class="small">${points ? "There is no history yet." : "Reading the history…"}</p>`}
  </section>`;
}

function Slices({ state, metric, window, show }) {
  const groupings = useMemo(() => {
    const names = new Set();
    for (const found of state.slices.values()) {
      const dims = Object.keys(found.slice);
      if (dims.length && found.metrics[metric]) names.add(dims.sort().join(", "));
    }
    return [...names].sort((a, b) => a.split(",").length - b.split(",").length || a.localeCompare(b));
  }, [state.slices.size, metric]);
  const [wanted, setWanted] = useState("");
  const grouping = groupings.includes(wanted) ? wanted : groupings[0];
  if (!grouping) return null;
  const rows = [...state.slices.values()]
    .filter((found) => Object.keys(found.slice).sort().join(", ") === grouping && figuresOf(found, metric, window))
    .map((found) => ({ slice: found.slice, figures: figuresOf(found, metric, window) }))
    .sort((a, b) => (a.figures.value ?? Infinity) - (b.figures.value ?? Infinity))
    .slice(0, 100);
  const range = rangeOf(rows.map((row) => row.figures));
  return html`<section class="card" aria-labelledby="slices">
    <div class="head"><h2 id="slices">${metricName(metric)} by</h2>
      <label>Grouping<select value=${grouping} onChange=${(event) => setWanted(event.target.value)}>
        ${groupings.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label></div>
    <div class="scroll" tabindex="0" role="region" aria-label="table of slices"><table>
      <caption>The lowest first; the bar is the interval, the mark in it the value.</caption>
      <thead><tr><th scope="col">Slice</th><th scope="col" class="number">Value</th><th scope="col">Interval</th>
        <th scope="col" class="number">On</th></tr></thead>
      <tbody>${rows.map(({ slice, figures }) => html`<tr key=${sliceKey(slice)}>
        <th scope="row"><button type="button" class="link" onClick=${() => show(slice)}>${Object.values(slice).join(" · ")}</button></th>
        <td class="number">${ofFigures(metric, figures)}</td>
        <td><${Interval} metric=${metric} figures=${figures} range=${range} />
          <span class="small">${intervalWords(metric, { ...figures, confidence: null })}</span></td>
        <td class="number">${figure(figures.n, 0)}</td></tr>`)}</tbody>
    </table></div>
  </section>`;
}

export function OverviewView({ state, theme }) {
  const [chosenSlice, setSlice] = useState(WHOLE);
  const [chosenWindow, setWindow] = useState("1h");
  const [chosenMetric, setMetric] = useState("nps");
  const found = state.slices.get(chosenSlice) || state.slices.get(WHOLE);
  if (!found) {
    return html`<h1>Overview</h1><${Note}>Nothing has been measured yet. Figures appear here as soon as a worker has seen replies.<//>`;
  }
  const windows = windowsOf(state, found);
  const window = windows.includes(chosenWindow) ? chosenWindow : windows[0];
  const metrics = Object.keys(found.metrics).filter((name) => name !== "drivers" && figuresOf(found, name, window));
  const metric = metrics.includes(chosenMetric) ? chosenMetric : metrics[0];
  const figures = figuresOf(found, metric, window);
  const show = (slice) => { setSlice(sliceKey(slice)); scrollTo({ top: 0 }); };
  return html`
    <div class="head"><h1>${sliceName(found.slice)}</h1><div class="controls">
      ${found.slice && Object.keys(found.slice).length
        ? html`<button type="button" onClick=${() => setSlice(WHOLE)}>Back to all customers</button>` : null}
      <label>Window<select value=${window} onChange=${(event) => setWindow(event.target.value)}>
        ${windows.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
    </div></div>
    <p class="small">As of ${moment(found.as_of)}, ${found.final ? "final" : "provisional: later records may still change it"}.</p>
    <ul class="cards">${metrics.map((name, i) => html`<${MetricCard} key=${name} metric=${name} slice=${found.slice} window=${window}
      figures=${figuresOf(found, name, window)} chosen=${name === metric} choose=${setMetric} draw=${i < MOST_SPARKS} />`)}</ul>
    ${metric ? html`<${History} metric=${metric} slice=${found.slice} window=${window} figures=${figures} theme=${theme} />
      <${Slices} state=${state} metric=${metric} window=${window} show=${show} />` : null}`;
}
