// Figures and moments in words. The browser's language decides how they are written.

const NAMES = {
  nps: "NPS", csat: "CSAT", ces: "Ease (CES)", loyalty: "Loyalty index", engagement: "Engagement",
  referral_rate: "Referral rate", churn_rate: "Churn rate", retention_rate: "Retention rate",
  lifetime_value: "Lifetime value", acquisition_cost: "Acquisition cost", resolution_time: "Resolution time",
  reopen_rate: "Reopen rate", waiting_time: "Waiting time", abandonment: "Abandonment",
  cart_abandonment: "Carts given up", queue_abandonment: "Queues given up",
  self_service_deflection: "Self-service", revenue: "Revenue", cost: "Cost", customers: "Customers",
  value_at_risk: "Value at risk", drivers: "Key drivers",
};
const PERCENT = new Set([
  "csat", "referral_rate", "churn_rate", "retention_rate", "reopen_rate", "abandonment", "cart_abandonment",
  "queue_abandonment", "self_service_deflection",
]);
const SECONDS = new Set(["resolution_time", "waiting_time"]);
/** Reply metrics: a higher value is better, and their range is known. */
export const RANGES = { nps: [-100, 100], csat: [0, 100], ces: [1, 7], loyalty: [0, 100], engagement: [0, 100] };
export const REPLIES = Object.keys(RANGES);

export const metricName = (metric) => NAMES[metric] || metric.replaceAll("_", " ");

export function figure(value, digits = 1) {
  if (value === null || value === undefined) return "–";
  return new Intl.NumberFormat(undefined, { maximumFractionDigits: digits }).format(value);
}

export function ofMetric(metric, value, currency) {
  if (value === null || value === undefined) return "–";
  if (SECONDS.has(metric)) return lasting(value);
  if (PERCENT.has(metric)) return `${figure(value)} %`;
  if (currency && currency !== "XXX") return money(value, currency);
  return figure(value, metric === "ces" ? 2 : 1);
}

/** The value, or where there is no single right one (money in several currencies), its parts. */
export function ofFigures(metric, figures) {
  const parts = Object.entries(figures.parts || {});
  if (figures.value === null && parts.length && parts.every(([name]) => /^[A-Z]{3}$/.test(name))) {
    return parts.map(([currency, value]) => money(value, currency)).join(", ");
  }
  return ofMetric(metric, figures.value, figures.currency);
}

export function money(value, currency) {
  if (value === null || value === undefined) return "–";
  if (!currency || currency === "XXX") return figure(value, 2);
  try {
    return new Intl.NumberFormat(undefined, { style: "currency", currency, maximumFractionDigits: 0 }).format(value);
  } catch {
    return `${figure(value, 2)} ${currency}`;
  }
}

export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const parts = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]];
  for (const [unit, size] of parts) {
    if (seconds >= size || unit === "s") return `${figure(seconds / size)} ${unit}`;
  }
  return "";
}

export function moment(text) {
  if (!text) return "–";
  return new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(new Date(text));
}

export function sliceName(slice) {
  const members = Object.entries(slice || {});
  return members.length ? members.map(([name, member]) => `${name} ${member}`).join(", ") : "all customers";
}

export const sliceKey = (slice) => JSON.stringify(Object.entries(slice || {}).sort());

/** "4.1 to 20.9, 95 % sure" – an interval in words; empty where there is none. */
export function intervalWords(metric, figures) {
  if (!figures?.interval) return "";
  const [low, high] = figures.interval.map((end) => ofMetric(metric, end, figures.currency));
  const sure = figures.confidence ? `, ${figure(figures.confidence * 100)} % sure` : "";
  return `${low} to ${high}${sure}`;
}
