// A metric over time, with the band of its interval and its goal.

import { html, useEffect, useRef } from "./vendor/preact.js";
import uPlot from "./vendor/uplot.js";
import { ofMetric } from "./format.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function columns(points, goal) {
  const rows = [[], [], [], [], []];
  for (const point of points) {
    const end = (i) => (point.interval ? point.interval[i] : null);
    const row = [Date.parse(point.at) / 1000, point.value, end(0), end(1), goal ?? null];
    row.forEach((value, i) => rows[i].push(value));
  }
  return goal === undefined || goal === null ? rows.slice(0, 4) : rows;
}

function options(metric, width, height, goal) {
  const write = (_, value) => (value === null || value === undefined ? "–" : ofMetric(metric, value));
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  const edge = { stroke: "transparent", points: { show: false } };
  const series = [
    {},
    { label: "value", stroke: colour("--accent"), width: 2, value: write, points: { show: false } },
    { ...edge, label: "interval from", value: write },
    { ...edge, label: "to", value: write },
  ];
  if (goal !== undefined && goal !== null) {
    series.push({ label: "goal", stroke: colour("--good"), dash: [6, 4], width: 1.5, value: write, points: { show: false } });
  }
  return {
    width, height, series,
    bands: [{ series: [3, 2], fill: colour("--band") }],
    axes: [axis, { ...axis, size: 64, values: (_, all) => all.map((value) => ofMetric(metric, value)) }],
    scales: { x: { time: true } },
    cursor: { drag: { x: true, y: false } },
  };
}

/** `points` belongs to the caller; `version` says that it has changed. */
export function Chart({ metric, points, goal, version, label, theme }) {
  const place = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    const holder = place.current;
    const size = () => [holder.clientWidth, Math.max(200, Math.min(300, holder.clientWidth * 0.5))];
    plot.current = new uPlot(options(metric, ...size(), goal), columns(points, goal), holder);
    const watch = new ResizeObserver(() => {
      const [width, height] = size();
      plot.current?.setSize({ width, height });
    });
    watch.observe(holder);
    return () => {
      watch.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [metric, goal, theme, points]);
  useEffect(() => plot.current?.setData(columns(points, goal)), [version]);
  return html`<div class="chart" ref=${place} role="img" aria-label=${label}></div>`;
}
