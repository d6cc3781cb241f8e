// The customer's way: stages from left to right, in each its touchpoints, coloured by score.

import { html, useState } from "./vendor/preact.js";
import { REPLIES, RANGES, figure, intervalWords, metricName, ofMetric, sliceKey } from "./format.js";
import { Note } from "./parts.js";

const STAGES = ["entice", "enter", "engage", "exit", "extend"];
const THIRDS = [["bad", 0.45, "low"], ["warn", 0.7, "middling"], ["good", Infinity, "high"]];

/** Where a value lies on its metric's scale. With a goal, the goal decides. */
function level(metric, figures) {
  if (figures.goal) return figures.goal.gap >= 0 ? THIRDS[2] : figures.interval && figures.interval[1] >= figures.goal.value ? THIRDS[1] : THIRDS[0];
  const [low, high] = RANGES[metric];
  const share = (figures.value - low) / (high - low);
  return THIRDS.find(([, below]) => share < below);
}

function Touch({ name, metric, figures }) {
  const [kind, , word] = level(metric, figures);
  return html`<li class="touch ${kind}">
    <div>${name}</div>
    <strong>${ofMetric(metric, figures.value)}</strong><span class="small"> ${word}</span>
    <div class="small">${intervalWords(metric, { ...figures, confidence: null })} on ${figure(figures.n, 0)}</div>
  </li>`;
}

/** Touchpoints of each stage; those whose stage nobody keeps stand under "". */
function touchpoints(state, metric, window) {
  const found = new Map();
  for (const each of state.slices.values()) {
    const { stage, touchpoint, ...rest } = each.slice;
    const figures = each.metrics[metric]?.[window];
    if (!touchpoint || Object.keys(rest).length || !figures || figures.value === null) continue;
    const under = stage || "";
    if (!found.has(under)) found.set(under, []);
    found.get(under).push({ name: touchpoint, figures, key: sliceKey(each.slice) });
  }
  for (const list of found.values()) list.sort((a, b) => a.figures.value - b.figures.value);
  return found;
}

export function JourneyView({ state }) {
  const [wantedMetric, setMetric] = useState("csat");
  const [wantedWindow, setWindow] = useState("1h");
  const metrics = REPLIES.filter((name) => [...state.slices.values()].some((each) => each.slice.touchpoint && each.metrics[name]));
  const metric = metrics.includes(wantedMetric) ? wantedMetric : metrics[0];
  const windows = state.about?.windows || [];
  const window = windows.includes(wantedWindow) ? wantedWindow : windows[0];
  if (!metric) {
    return html`<h1>Journey</h1><${Note}>No touchpoint has been rated yet. The journey is drawn from slices by${" "}
      <code>touchpoint</code>, best with <code>stage</code>: <code>slices: [[stage, touchpoint]]</code> in the rules file.<//>`;
  }
  const found = touchpoints(state, metric, window);
  const staged = STAGES.some((stage) => found.has(stage));
  return html`
    <div class="head"><h1>Journey</h1><div class="controls">
      <label>Metric<select value=${metric} onChange=${(event) => setMetric(event.target.value)}>
        ${metrics.map((name) => html`<option key=${name} value=${name}>${metricName(name)}</option>`)}</select></label>
      <label>Window<select value=${window} onChange=${(event) => setWindow(event.target.value)}>
        ${windows.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
    </div></div>
    <p class="small">In each stage the lowest first. The colour says where the value lies: against its goal, or without one on the
      metric's own scale.</p>
    ${staged
      ? html`<div class="journey">${STAGES.map((stage) => html`<section class="stage card" key=${stage} aria-label=${`stage ${stage}`}>
          <h2>${stage[0].toUpperCase()}${stage.slice(1)}</h2>
          ${found.has(stage) ? html`<ul>${found.get(stage).map((each) => html`<${Touch} ...${each} metric=${metric} />`)}</ul>`
            : html`<p class="small">nothing rated</p>`}
        </section>`)}</div>`
      : html`<${Note}>Touchpoints without their stages: <code>slices: [[stage, touchpoint]]</code> in the rules file keeps both.<//>
        <section class="stage card"><ul class="cards">${(found.get("") || []).map((each) => html`<${Touch} ...${each} metric=${metric} />`)}</ul></section>`}`;
}
