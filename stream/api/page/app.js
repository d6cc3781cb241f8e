// The page: navigation, theme, sign-in, and the view that the address names.

import { html, render, useEffect, useRef, useState } from "./vendor/preact.js";
import { key } from "./api.js";
import { AlertsView } from "./alerts.js";
import { CustomersView } from "./customers.js";
import { moment } from "./format.js";
import { JourneyView } from "./journey.js";
import { OverviewView } from "./overview.js";
import { Badge, Note } from "./parts.js";
import { RulesView } from "./rules.js";
import { open, useStore } from "./store.js";

const VIEWS = [
  ["overview", "Overview", OverviewView],
  ["journey", "Journey", JourneyView],
  ["alerts", "Alerts", AlertsView],
  ["customers", "Customers", CustomersView],
  ["rules", "Rules", RulesView],
];
const THEME = "cx-theme";

function useRoute() {
  const read = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const turn = () => setRoute(read());
    addEventListener("hashchange", turn);
    return () => removeEventListener("hashchange", turn);
  }, []);
  return route;
}

function useTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const [theme, setTheme] = useState(localStorage.getItem(THEME) || (dark.matches ? "dark" : "light"));
  useEffect(() => { document.documentElement.dataset.theme = theme; }, [theme]);
  const turn = () => {
    const next = theme === "dark" ? "light" : "dark";
    localStorage.setItem(THEME, next);
    setTheme(next);
  };
  return [theme, turn];
}

function SignIn() {
  const [secret, setSecret] = useState("");
  const enter = (event) => {
    event.preventDefault();
    key.set(secret.trim());
    open();
  };
  return html`<section class="card"><form class="stack" onSubmit=${enter}>
    <h1>A key is needed</h1>
    <p>This cx-pulse has API keys. Yours stays in this tab and is forgotten with it.</p>
    <label>API key
      <input type="password" autocomplete="off" required value=${secret}
        onInput=${(event) => setSecret(event.target.value)} />
    </label>
    <div><button class="main" type="submit">Enter</button></div>
  </form></section>`;
}

function Top({ route, state, theme, turnTheme }) {
  const firing = state.alerts.firing;
  return html`<header class="top"><div class="bar">
    <a class="brand" href="#/overview"><img src="icon.svg" alt="" /><span>cx-pulse</span></a>
    <nav aria-label="Views">${VIEWS.map(([name, title]) => html`<a key=${name} href=${`#/${name}`}
        aria-current=${route === name ? "page" : undefined}>${title}${name === "alerts" && firing
          ? html`${" "}<span class="badge bad">${firing}<span class="hidden"> firing</span></span>` : null}</a>`)}</nav>
    <div class="state">
      ${state.as_of ? html`<span title="event time of the newest figures">as of ${moment(state.as_of)}</span>` : null}
      ${state.connected ? html`<${Badge} kind="good">live<//>` : html`<${Badge} kind="warn">not connected<//>`}
      <button type="button" onClick=${turnTheme} aria-label=${`switch to the ${theme === "dark" ? "light" : "dark"} theme`}>
        ${theme === "dark" ? "☀" : "☾"}</button>
    </div>
  </div></header>`;
}

function App() {
  const state = useStore();
  const [theme, turnTheme] = useTheme();
  const [name, ...rest] = useRoute();
  const place = useRef(null);
  const found = VIEWS.find(([view]) => view === name) || VIEWS[0];
  const [route, title, View] = found;
  const first = useRef(true);
  useEffect(() => {
    document.title = `${title} · cx-pulse`;
    if (!first.current) place.current.focus(); // who reads by ear hears that the view is another
    first.current = false;
  }, [route]);
  let shown = html`<${View} state=${state} theme=${theme} path=${rest} />`;
  if (state.locked) shown = html`<${SignIn} />`;
  else if (state.problem) shown = html`<${Note} bad>${state.problem}. Trying again…<//>`;
  else if (!state.loaded) shown = html`<p class="starting">Reading…</p>`;
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); place.current.focus(); }}>Skip to the content</a>
    <${Top} route=${route} state=${state} theme=${theme} turnTheme=${turnTheme} />
    <main id="main" tabindex="-1" ref=${place}>${shown}</main>
    <div class="toasts" role="status" aria-live="polite">
      ${state.news.map((item) => html`<div class="toast" key=${item.id}>${item.text}</div>`)}
    </div>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
open();
