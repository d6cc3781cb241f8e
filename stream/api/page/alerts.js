// What fires, on what evidence, what drives it, what it puts at risk, and what is done about it.

import { html, useEffect, useState } from "./vendor/preact.js";
import * as api from "./api.js";
import { figure, lasting, metricName, moment, money, ofMetric, sliceName } from "./format.js";
import { Badge, Facts, Note, Problem } from "./parts.js";
import { refreshAlerts, told, wantCustomers } from "./store.js";

function evidence(claim) {
  if (!claim) return "";
  const parts = [];
  if (claim.metric) {
    const line = claim.below !== undefined && claim.below !== null ? `below ${figure(claim.below)}`
      : claim.above !== undefined && claim.above !== null ? `above ${figure(claim.above)}` : "";
    parts.push(`${metricName(claim.metric)} is ${ofMetric(claim.metric, claim.value, claim.currency)}`);
    if (line) parts.push(`the line: ${line}`);
    if (claim.n !== null && claim.n !== undefined) parts.push(`on ${figure(claim.n, 0)}`);
    if (claim.interval) parts.push(`interval ${claim.interval.map((end) => ofMetric(claim.metric, end, claim.currency)).join(" to ")}`);
    if (claim.window) parts.push(`window ${claim.window}`);
  } else if (claim.signal) parts.push(`${claim.signal} is ${figure(claim.value)}`);
  return parts.join(", ");
}

function Drivers({ drivers, metric }) {
  if (!drivers?.length) return null;
  const widest = Math.max(...drivers.map((each) => Math.abs(each.service) + Math.abs(each.mix)), 1e-9);
  return html`<div><h3>What moved it</h3>
    <div class="scroll" tabindex="0" role="region" aria-label="drivers"><table>
      <caption>Service: customers there were served worse or better. Mix: more or fewer of them.</caption>
      <thead><tr><th scope="col">Slice</th><th scope="col" class="number">Service</th><th scope="col" class="number">Mix</th><th scope="col">Share</th></tr></thead>
      <tbody>${drivers.map((each) => html`<tr key=${sliceName(each.slice)}><th scope="row">${sliceName(each.slice)}</th>
        <td class="number">${figure(each.service, 2)}</td><td class="number">${figure(each.mix, 2)}</td>
        <td><svg class="interval" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
          <rect x="0" y="2" height="8" width=${(100 * (Math.abs(each.service) + Math.abs(each.mix))) / widest} fill="currentColor" opacity=".6" /></svg></td>
      </tr>`)}</tbody></table></div></div>`;
}

function Why({ fingerprint }) {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    let gone = false;
    api.explain(fingerprint).then((all) => { if (!gone) setFound(all); }, (problem) => { if (!gone) setError(problem); });
    return () => { gone = true; };
  }, [fingerprint]);
  if (error) return html`<${Problem} error=${error} />`;
  if (!found) return html`<p class="small">Reading…</p>`;
  const newest = found.events.at(-1)?.data;
  return html`
    <dl class="why">${found.lines.map((line, i) => html`<dt key=${`n${i}`}>${line.heading}</dt><dd key=${`t${i}`}>${line.text}</dd>`)}</dl>
    <${Drivers} drivers=${newest?.drivers} metric=${newest?.claim?.metric} />
    <h3>What was told</h3>
    <ol>${found.events.map((event) => html`<li key=${event.id}>${moment(event.time)}: <strong>${event.data.state}</strong>
      ${" "}(${event.data.reason.replaceAll("_", " ")}) ${event.data.annotations?.summary || evidence(event.data.claim)}</li>`)}</ol>
    ${found.actions.length ? html`<h3>What was done</h3><ul>${found.actions.map((each, i) => html`<li key=${i}>
      ${moment(each.at)}: ${each.status}${each.by ? ` by ${each.by}` : ""}${each.outcome ? `, ${each.outcome.replaceAll("_", " ")}` : ""}${each.note ? ` – ${each.note}` : ""}</li>`)}</ul>` : null}`;
}

const NAME = "cx-name"; // who acts, where no key says it

function SilenceForm({ row, nameless, done }) {
  const [author, setAuthor] = useState(localStorage.getItem(NAME) || "");
  const [hours, setHours] = useState("2h");
  const [comment, setComment] = useState("");
  const [error, setError] = useState(null);
  const send = async (event) => {
    event.preventDefault();
    const labels = { alertname: row.alert, ...row.labels };
    try {
      await api.silence({ matchers: Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`), for: hours, comment,
        ...(nameless ? { author } : {}) });
      if (nameless) localStorage.setItem(NAME, author);
      told(`${row.alert} is silenced for ${hours}`);
      refreshAlerts();
      done();
    } catch (problem) { setError(problem); }
  };
  return html`<form class="stack" onSubmit=${send}>
    <${Problem} error=${error} />
    <label>For how long<select value=${hours} onChange=${(event) => setHours(event.target.value)}>
      ${["30m", "2h", "8h", "1d", "7d"].map((each) => html`<option key=${each}>${each}</option>`)}</select></label>
    ${nameless ? html`<label>Your name<input required maxlength="200" autocomplete="name" value=${author}
      onInput=${(event) => setAuthor(event.target.value)} /></label>` : null}
    <label>Why<input required maxlength="2000" value=${comment} onInput=${(event) => setComment(event.target.value)} /></label>
    <div class="controls"><button class="main" type="submit">Silence</button><button type="button" onClick=${done}>Cancel</button></div>
  </form>`;
}

function AlertCard({ row, may, nameless }) {
  const [open, setOpen] = useState(false);
  const [silencing, setSilencing] = useState(false);
  const [error, setError] = useState(null);
  const data = row.event?.data;
  const act = async (body) => {
    try {
      await api.act(row.fingerprint, body);
      told(`${row.alert}: ${body.outcome || body.status}`);
      refreshAlerts();
    } catch (problem) { setError(problem); }
  };
  const action = data?.action;
  return html`<li class="card alert ${row.severity}">
    <div class="row">
      <h2 class="name">${row.alert}</h2>
      <${Badge} kind=${row.firing ? row.severity : "good"}>${row.firing ? row.severity || "firing" : row.state || "not told"}<//>
      ${row.held_back ? html`<span class="badge warn">held back: ${row.held_back.replaceAll("_", " ")}</span>` : null}
      ${row.action ? html`<span class="badge good">${row.action.status}${row.action.by ? ` by ${row.action.by}` : ""}</span>` : null}
      <span class="small">${row.subject}</span>
    </div>
    <div>${row.summary || row.headline}</div>
    <${Facts} items=${[
      ["Evidence", evidence(data?.claim)],
      ["Since", moment(row.since)],
      ["At risk", data?.at_risk ? `${figure(data.at_risk.customers, 0)} customers${data.at_risk.value ? `, ${money(data.at_risk.value, data.at_risk.currency)}` : ""}` : null],
      ["To do", action ? `${action.type}${action.owner ? `, ${action.owner}` : ""}${action.due_by ? `, by ${moment(action.due_by)}` : ""}` : null],
      ["Held out", data?.hold_out ? "yes: the action is withheld, to measure its worth" : null],
    ]} />
    <${Problem} error=${error} />
    <div class="row">
      <button type="button" aria-expanded=${open} onClick=${() => setOpen(!open)}>${open ? "Less" : "Why?"}</button>
      ${may && row.event ? html`
        ${row.action?.status === "acknowledged" ? null : html`<button type="button" onClick=${() => act({ status: "acknowledged" })}>Acknowledge</button>`}
        <button type="button" onClick=${() => act({ status: "done", outcome: "useful" })}>Was useful</button>
        <button type="button" onClick=${() => act({ status: "dismissed", outcome: "not_useful" })}>Was noise</button>
        <button type="button" aria-expanded=${silencing} onClick=${() => setSilencing(!silencing)}>Silence…</button>` : null}
      ${Object.entries(data?.links || {}).map(([name, href]) => /^https?:/.test(href) ? html`<a key=${name} href=${href} rel="noreferrer">${name}</a>` : null)}
    </div>
    ${silencing ? html`<${SilenceForm} row=${row} nameless=${nameless} done=${() => setSilencing(false)} />` : null}
    ${open ? html`<${Why} fingerprint=${row.fingerprint} />` : null}
  </li>`;
}

export function AlertsView({ state }) {
  const [customers, setCustomers] = useState(false);
  const [over, setOver] = useState(true);
  const may = state.about?.roles.includes("operate");
  const nameless = !state.about?.key;
  const { alerts, firing, firing_customers: ofCustomers } = state.alerts;
  const shown = alerts.filter((row) => (customers || !row.of_customer) && (over || row.firing || row.held_back));
  const now = shown.filter((row) => row.firing || row.held_back);
  const past = shown.filter((row) => !row.firing && !row.held_back && row.event);
  return html`
    <div class="head"><h1>Alerts</h1><div class="controls">
      <label class="line"><input type="checkbox" checked=${customers} onChange=${() => { wantCustomers(!customers); setCustomers(!customers); }} /> single customers' too (${figure(ofCustomers, 0)})</label>
      <label class="line"><input type="checkbox" checked=${over} onChange=${() => setOver(!over)} /> what is over</label>
    </div></div>
    <p>${firing ? `${figure(firing, 0)} firing.` : "Nothing fires."}</p>
    ${now.length ? html`<ul class="alerts">${now.map((row) => html`<${AlertCard} key=${row.fingerprint} row=${row} may=${may} nameless=${nameless} />`)}</ul>` : null}
    ${past.length ? html`<h2>Over</h2><ul class="alerts">${past.map((row) => html`<${AlertCard} key=${row.fingerprint} row=${row} may=${may} nameless=${nameless} />`)}</ul>` : null}
    ${now.length || past.length ? null : html`<${Note}>No alert has been told, and none is held back.<//>`}`;
}
