// Small pieces that several views show.

import { html } from "./vendor/preact.js";
import { figure, intervalWords, ofMetric } from "./format.js";

const SEVERITIES = { critical: "▲", warning: "◆", info: "●" };

export function Badge({ kind, children }) {
  return html`<span class="badge ${kind}"><span aria-hidden="true">${SEVERITIES[kind] || "●"}</span>${children}</span>`;
}

export function Note({ bad, children }) {
  return html`<p class="note ${bad ? "bad" : ""}" role=${bad ? "alert" : "status"}>${children}</p>`;
}

export function Problem({ error }) {
  if (!error) return null;
  return html`<div class="note bad" role="alert">
    <strong>${error.message}</strong>
    ${error.errors?.length ? html`<ul>${error.errors.slice(0, 5).map((each) =>
      html`<li>${each.field ? `${each.field}: ` : ""}${each.detail}</li>`)}</ul>` : null}
  </div>`;
}

export function Facts({ items }) {
  const shown = items.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return html`<dl class="facts">${shown.map(([name, value]) =>
    html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** A value and its interval on the metric's scale; the words beside it say the same. */
export function Interval({ metric, figures, range }) {
  if (!figures?.interval || !range) return null;
  const [low, high] = range;
  const at = (value) => 2 + 96 * Math.min(1, Math.max(0, (value - low) / (high - low || 1)));
  const [from, to] = figures.interval.map(at);
  return html`<svg class="interval" viewBox="0 0 100 12" preserveAspectRatio="none" role="img"
      aria-label=${`interval ${intervalWords(metric, figures)}`}>
    <line x1="0" x2="100" y1="6" y2="6" stroke="var(--line)" stroke-width="2" />
    <line x1=${from} x2=${Math.max(to, from + 1)} y1="6" y2="6" stroke="currentColor" stroke-width="5" opacity=".45" />
    <line x1=${at(figures.value)} x2=${at(figures.value)} y1="1" y2="11" stroke="currentColor" stroke-width="2.5" />
  </svg>`;
}

/** The widest range that the values of a table ask for. */
export function rangeOf(all) {
  const ends = all.flatMap((figures) => figures?.interval || []);
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
}

export function Spark({ points }) {
  const shown = points.filter((point) => point.value !== null);
  if (shown.length < 2) return html`<svg class="spark" aria-hidden="true"></svg>`;
  const values = shown.map((point) => point.value);
  const times = shown.map((point) => Date.parse(point.at));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [times[0], times.at(-1)];
  const path = shown.map((point, i) => {
    const x = (100 * (times[i] - first)) / (last - first || 1);
    const y = 28 - (26 * (values[i] - low)) / (high - low || 1);
    return `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return html`<svg class="spark" viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true">
    <path d=${path.join("")} fill="none" stroke="currentColor" stroke-width="2" vector-effect="non-scaling-stroke" />
  </svg>`;
}

export function Gap({ metric, line, name }) {
  if (!line) return null;
  const above = line.gap >= 0;
  return html`<span class="small">${name} ${ofMetric(metric, line.value)}:${" "}
    ${figure(Math.abs(line.gap))} ${above ? "above" : "below"}</span>`;
}
