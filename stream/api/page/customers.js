// Whom it would cost most to lose, and all that is known of one customer.

import { html, useEffect, useState } from "./vendor/preact.js";
import * as api from "./api.js";
import { figure, metricName, moment, money } from "./format.js";
import { Facts, Note, Problem } from "./parts.js";

const MOMENT = /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)$/;
const words = (name) => name.replaceAll("_", " ");

function written(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return figure(value, 3);
  if (typeof value === "boolean") return value ? "yes" : "no";
  return MOMENT.test(value) ? moment(value) : String(value);
}

const scalar = (value) => value === null || typeof value !== "object";

const share = (value) => (value === null || value === undefined ? "–" : `${figure(value * 100)} %`);
const COLUMNS = [
  ["value_at_risk", "Value at risk", money],
  ["expected_value", "Expected value", money],
  ["churn_probability", "Likely to leave", share],
  ["expected_purchases", "Purchases to come", (value) => figure(value)],
  ["as_of", "Last seen", moment],
];

/** Whatever a profile holds: figures side by side, lists of alike things as tables, the rest one below the other. */
function Held({ name, value, level }) {
  if (Array.isArray(value)) {
    if (!value.length) return null;
    if (value.every(scalar)) return html`<div><h3>${words(name)}</h3><p>${value.map(written).join(", ")}</p></div>`;
    const columns = [...new Set(value.flatMap((row) => Object.keys(row)))];
    return html`<div><h3>${words(name)}</h3><div class="scroll" tabindex="0" role="region" aria-label=${words(name)}><table>
      <thead><tr>${columns.map((column) => html`<th scope="col" key=${column}>${words(column)}</th>`)}</tr></thead>
      <tbody>${value.map((row, i) => html`<tr key=${i}>${columns.map((column) => html`<td key=${column}>
        ${scalar(row[column] ?? null) ? written(row[column]) : JSON.stringify(row[column])}</td>`)}</tr>`)}</tbody></table></div></div>`;
  }
  const entries = Object.entries(value);
  const flat = entries.filter(([, each]) => scalar(each));
  const deep = entries.filter(([, each]) => !scalar(each));
  if (!entries.length) return null;
  // A mapping of names to alike objects reads better as a table.
  if (level && deep.length === entries.length && deep.every(([, each]) => !Array.isArray(each) && Object.values(each).every(scalar))) {
    return html`<${Held} name=${name} level=${level} value=${deep.map(([key, each]) => ({ [words(name)]: metricName(key), ...each }))} />`;
  }
  return html`<div>${level ? html`<h3>${words(name)}</h3>` : null}
    <${Facts} items=${flat.map(([key, each]) => [words(key), written(each)])} />
    ${deep.map(([key, each]) => html`<${Held} key=${key} name=${key} value=${each} level=${level + 1} />`)}</div>`;
}

function Customer({ id }) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    let gone = false;
    setFound(null);
    setError(null);
    api.customer(id).then((all) => { if (!gone) setFound(all); }, (problem) => { if (!gone) setError(problem); });
    return () => { gone = true; };
  }, [id]);
  return html`<section class="card" aria-live="polite">
    <div class="head"><h2>${id}</h2><a href="#/customers">close</a></div>
    <${Problem} error=${error} />
    ${found ? html`<${Held} name="profile" value=${found} level=${0} />` : error ? null : html`<p class="small">Reading…</p>`}
  </section>`;
}

export function CustomersView({ state, path }) {
  const [top, setTop] = useState(null);
  const [error, setError] = useState(null);
  const [wanted, setWanted] = useState("");
  const id = path[0];
  useEffect(() => {
    let gone = false;
    const read = () => api.topCustomers(50).then(
      (found) => { if (!gone) { setTop(found.customers); setError(null); } },
      (problem) => { if (!gone) setError(problem); },
    );
    read();
    const again = setInterval(read, 15_000);
    return () => { gone = true; clearInterval(again); };
  }, []);
  const go = (event) => {
    event.preventDefault();
    if (wanted.trim()) location.hash = `#/customers/${encodeURIComponent(wanted.trim())}`;
  };
  return html`
    <div class="head"><h1>Customers</h1><form class="controls" onSubmit=${go}>
      <label>Customer id<input value=${wanted} maxlength="256" autocomplete="off" onInput=${(event) => setWanted(event.target.value)} /></label>
      <button type="submit">Show</button></form></div>
    ${id ? html`<${Customer} id=${id} key=${id} />` : null}
    <section class="card" aria-labelledby="top"><h2 id="top">By value at risk</h2>
      <${Problem} error=${error} />
      ${top && !top.length ? html`<${Note}>No customer is at risk yet.<//>` : null}
      ${top?.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="customers by value at risk"><table>
        <caption>Whom it would cost most to lose: what is expected of them, times the probability that they leave.</caption>
        <thead><tr><th scope="col" class="number">Rank</th><th scope="col">Customer</th>
          ${COLUMNS.map(([name, title]) => html`<th scope="col" key=${name} class="number">${title}</th>`)}</tr></thead>
        <tbody>${top.map((row) => html`<tr key=${row.customer_id}><td class="number">${row.rank}</td>
          <th scope="row"><a href=${`#/customers/${encodeURIComponent(row.customer_id)}`}>${row.customer_id}</a></th>
          ${COLUMNS.map(([name, , write]) => html`<td key=${name} class="number">${write(row[name], row.currency)}</td>`)}</tr>`)}</tbody>
      </table></div>` : null}
    </section>`;
}
