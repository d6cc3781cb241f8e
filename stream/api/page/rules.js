// The rules in force, in words; and a rules file tried on a history before it goes live.

import { html, useEffect, useState } from "./vendor/preact.js";
import * as api from "./api.js";
import { figure, lasting, moment } from "./format.js";
import { Badge, Facts, Note, Problem } from "./parts.js";

const MOST_BYTES = 32 * 1024 * 1024;

function InForce() {
  const [found, setFound] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => { api.rules().then(setFound, setError); }, []);
  if (error) return html`<${Problem} error=${error} />`;
  if (!found) return html`<p class="small">Reading…</p>`;
  const now = found.versions.find((version) => version.in_force);
  if (!found.rules.length) return html`<${Note}>No rules are in force here: metrics without alerts.<//>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="rules in force"><table>
    <caption>${now ? now.name : "Rules"}${now?.valid_from ? `, in force since ${moment(now.valid_from)}` : ""}</caption>
    <thead><tr><th scope="col">Alert</th><th scope="col">Severity</th><th scope="col">About</th><th scope="col">Fires when</th><th scope="col">Over when</th></tr></thead>
    <tbody>${found.rules.map((rule) => html`<tr key=${rule.alert}><th scope="row">${rule.alert}</th>
      <td><${Badge} kind=${rule.severity}>${rule.severity}<//></td><td>${rule.about}</td><td>${rule.fires_when}</td><td>${rule.over_when || "–"}</td></tr>`)}</tbody>
  </table></div>`;
}

function Result({ found }) {
  return html`<div aria-live="polite">
    <${Facts} items=${[
      ["From", moment(found.since)], ["To", moment(found.until)], ["Alerts", figure(found.alerts_in_all, 0)],
      ...Object.entries(found.verdicts).map(([name, n]) => [`lines ${name.replaceAll("_", " ")}`, figure(n, 0)]),
    ]} />
    <div class="scroll" tabindex="0" role="region" aria-label="scores"><table>
      <caption>${found.judged ? "Right and wrong against the outcomes given." : "Without outcomes nothing can be said about right and wrong."}</caption>
      <thead><tr>${["Rule", "Alerts", "A day", "Firing", "Precision", "Recall", "Delay"].map((name, i) => html`<th scope="col" key=${name} class=${i ? "number" : ""}>${name}</th>`)}</tr></thead>
      <tbody>${found.scores.map((score) => html`<tr key=${score.rule}><th scope="row">${score.rule}</th>
        <td class="number">${figure(score.alerts, 0)}</td><td class="number">${figure(score.per_day)}</td><td class="number">${lasting(score.firing_seconds)}</td>
        <td class="number">${figure(score.precision, 2)}</td><td class="number">${figure(score.recall, 2)}</td><td class="number">${lasting(score.delay_seconds)}</td></tr>`)}</tbody>
    </table></div>
    <h3>Alerts</h3>
    <ol>${found.alerts.slice(0, 200).map((event) => html`<li key=${event.id}>${moment(event.time)}: <strong>${event.data.alert}</strong> ${event.data.state},
      ${" "}${event.subject}. ${event.data.annotations?.summary || ""}</li>`)}</ol>
  </div>`;
}

function TryOut() {
  const [rules, setRules] = useState("");
  const [name, setName] = useState("rules.yml");
  const [events, setEvents] = useState(null);
  const [outcomes, setOutcomes] = useState(null);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  const [checked, setChecked] = useState(null);
  const [found, setFound] = useState(null);
  const file = (set) => async (event) => {
    const [chosen] = event.target.files;
    if (chosen && chosen.size > MOST_BYTES) { setError(new Error(`${chosen.name} is larger than 32 MB: cx rules test takes any size`)); return; }
    set(chosen ? await chosen.text() : null);
    if (chosen && set === setRules) setName(chosen.name);
  };
  const run = (work, set) => async (event) => {
    event.preventDefault();
    setBusy(true); setError(null); setChecked(null); setFound(null);
    try { set(await work()); } catch (problem) { setError(problem); }
    setBusy(false);
  };
  const check = run(() => api.checkRules({ rules, name }), setChecked);
  const test = run(() => api.backtest({ rules, name, events, ...(outcomes ? { outcomes } : {}) }), setFound);
  return html`<form class="stack" style=${{ maxWidth: "none" }} onSubmit=${test}>
    <label>Rules file<input type="file" accept=".yml,.yaml,text/yaml" onChange=${file(setRules)} /></label>
    <label>or its text<textarea rows="10" spellcheck="false" value=${rules} onInput=${(event) => setRules(event.target.value)}></textarea></label>
    <div class="controls">
      <label>History: events, one a line<input type="file" accept=".ndjson,.jsonl,.json" onChange=${file(setEvents)} /></label>
      <label>Outcomes, if known<input type="file" accept=".ndjson,.jsonl,.json" onChange=${file(setOutcomes)} /></label>
    </div>
    <div class="controls">
      <button type="button" disabled=${busy || !rules} onClick=${check}>Check</button>
      <button class="main" type="submit" disabled=${busy || !rules || !events}>${busy ? "Working…" : "Try on the history"}</button>
    </div>
    <${Problem} error=${error} />
    ${checked ? html`<div aria-live="polite">
      <${Note} bad=${!checked.ok}>${checked.ok ? `Fine: ${checked.window_rules.length + checked.customer_rules.length} rules.`
        : `Line ${checked.error.line}, ${checked.error.rule ? `${checked.error.rule}, ` : ""}${checked.error.field}: ${checked.error.problem}`}<//>
      ${checked.warnings.length ? html`<ul>${checked.warnings.map((each, i) => html`<li key=${i}>Line ${each.line}: ${each.problem}</li>`)}</ul>` : null}
    </div>` : null}
    ${found ? html`<${Result} found=${found} />` : null}
  </form>`;
}

export function RulesView() {
  return html`<h1>Rules</h1>
    <section class="card" aria-labelledby="inforce"><h2 id="inforce">In force</h2><${InForce} /></section>
    <section class="card" aria-labelledby="tryout"><h2 id="tryout">Try a rules file on a history</h2>
      <p class="small">The same judging as the workers', over a file; nothing goes live, and the files are not kept.</p><${TryOut} /></section>`;
}
