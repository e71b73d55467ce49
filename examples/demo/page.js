// The page of the demo: shows what the stream /demo/events says, and gives orders.
"use strict";

const SHARES = [5, 25, 50, 100];
const TOKEN = document.querySelector("meta[name=token]").content;
const $ = id => document.getElementById(id);

let routes = [];        // as they were told last
let broken = null;      // whether the new app is; null: not told yet
const rows = new Map(); // route -> its <tbody>
const seen = [];        // what was told in the last seconds, for rates

// ------------------------------------------------------------- orders

async function give(order) {
  const answer = await fetch("orders", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Demo-Token": TOKEN },
    body: JSON.stringify(order),
  });
  const text = await answer.text();
  $("trouble").hidden = answer.ok;
  $("trouble").textContent = answer.ok ? "" : text;
}

// A button that gives orders, one after the other, and waits for each.
function ordering(button, orders) {
  button.addEventListener("click", async () => {
    document.body.classList.add("busy");
    button.disabled = true;
    try {
      for (const order of orders()) await give(order);
    } catch (error) {
      $("trouble").hidden = false;
      $("trouble").textContent = `The server does not answer: ${error.message}`;
    } finally {
      button.disabled = false;
      document.body.classList.remove("busy");
      name_buttons();
    }
  });
}

const level = route => ({ canary: route.share, new: 100 })[route.mode] ?? 0;
const next = () => SHARES.find(share => share > Math.min(...routes.map(level)));

ordering($("raise"), () => {
  const share = next();
  return routes.filter(each => level(each) < share).map(each => ({ route: each.route, share }));
});
ordering($("back"), () =>
  routes.filter(each => each.mode !== "old").map(each => ({ route: each.route, share: 0 })));
ordering($("break"), () => [{ broken: !broken }]);

function name_buttons() {
  $("break").disabled = broken === null;
  const share = routes.length ? next() : SHARES[0];
  $("raise").textContent = share ? `Raise the share to ${share} %` : "All visitors are on the new app";
  $("raise").disabled = !share;
  $("back").disabled = routes.every(each => each.mode === "old");
  $("break").textContent = broken ? "Mend the new app" : "Break the new app";
  $("break").setAttribute("aria-pressed", String(Boolean(broken)));
}

// ------------------------------------------------------------- the table

function row_of(route) {
  if (rows.has(route.route)) return rows.get(route.route);
  const row = $("row").content.firstElementChild.cloneNode(true);
  row.id = `route-${route.route}`;
  row.querySelector(".name").textContent = route.route;
  row.querySelector(".paths").textContent = route.paths.join(" ").replaceAll(":int", "");
  const group = row.querySelector("[role=group]");
  group.setAttribute("aria-label", `Share of the new app: ${route.route}`);
  for (const share of [0, ...SHARES]) {
    const button = document.createElement("button");
    button.dataset.share = share;
    button.textContent = share ? `${share} %` : "old";
    ordering(button, () => [{ route: route.route, share }]);
    group.append(button);
  }
  $("routes").append(row);
  rows.set(route.route, row);
  return row;
}

// What the old app answered instead is a request that the new one failed, too.
const of_new = route => ({
  requests: route.new.requests + route.rescued,
  errors: route.new.errors + route.rescued,
  p95: route.new.p95,
});

const milliseconds = seconds =>
  seconds >= 1 ? `${seconds.toFixed(1)}\u00a0s` : `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)}\u00a0ms`;

function show_side(cell, side) {
  const failed = side.requests ? 100 * side.errors / side.requests : 0;
  const count = document.createElement("b");
  count.textContent = `${side.requests.toLocaleString("en")} requests`;
  const errors = document.createElement("span");
  errors.textContent = side.requests ? `${failed.toFixed(1)} % failed` : "none yet";
  errors.classList.toggle("failed", side.errors > 0);
  const p95 = document.createElement("span");
  p95.textContent = side.p95 === null || !side.requests ? "" : `, p95\u00a0${milliseconds(side.p95)}`;
  cell.replaceChildren(count, errors, p95);
}

function show_split(row, name) {
  const [first, last] = [seen[0], seen.at(-1)];
  const time = (last.at - first.at) / 1000;
  const rate = side => {
    const before = first.sides.get(name)?.[side] ?? 0;
    return time > 0 ? Math.max(0, (last.sides.get(name)[side] - before) / time) : 0;
  };
  const [old_rate, new_rate] = [rate(0), rate(1)];
  const all = old_rate + new_rate;
  row.querySelector(".is-old").style.width = all ? `${100 * old_rate / all}%` : "0";
  row.querySelector(".is-new").style.width = all ? `${100 * new_rate / all}%` : "0";
  row.querySelector(".rates").textContent =
    `${old_rate.toFixed(0)} old, ${new_rate.toFixed(0)} new a second`;
}

function show_gate(row, route) {
  const back = route.steps === "rolled back";
  const chip = row.querySelector(".chip");
  chip.className = `chip ${back ? "breaks" : route.gate}`;
  chip.textContent = back ? "taken back" : route.gate || "not needed";
  const said = row.querySelector(".said");
  said.classList.toggle("bad", back);
  said.firstElementChild.textContent = saying(route, back);
}

function saying(route, back) {
  if (back) return `The gate took it back: ${route.reason}.`;
  if (route.not_kept) return route.not_kept;
  if (route.gate === "waits") return `The gate waits: ${route.reason}.`;
  if (route.gate === "holds") return "The gate holds: the new app is not worse than the old one.";
  return "Everything goes to the old app.";
}

function show(route) {
  const row = row_of(route);
  for (const button of row.querySelectorAll("[data-share]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.share) === level(route)));
  }
  show_side(row.querySelector(".old-side"), route.old);
  show_side(row.querySelector(".new-side"), of_new(route));
  show_split(row, route.route);
  show_gate(row, route);
}

// ------------------------------------------------------------- what has happened

function log(kind, text) {
  $("log").querySelector(".none")?.remove();
  const line = document.createElement("li");
  line.className = kind;
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString("en-GB");
  line.append(time, text);
  $("log").prepend(line);
  while ($("log").children.length > 30) $("log").lastElementChild.remove();
}

function log_changes(before, told) {
  for (const route of told.routes) {
    const was = before.find(each => each.route === route.route);
    if (!was || (level(was) === level(route) && was.rollbacks === route.rollbacks)) continue;
    if (route.rollbacks > was.rollbacks) {
      log("bad", `${route.route}: the gate took it back, from ${level(was)} %: ${route.reason}`);
    } else if (level(route) > level(was)) {
      log("up", `${route.route}: ${level(route)} % of the visitors get the new app`);
    } else {
      log("down", `${route.route}: ${level(route) ? `${level(route)} % get the new app` : "all get the old app"}`);
    }
  }
  if (broken !== null && told.broken !== broken) {
    log(told.broken ? "bad" : "up",
      told.broken ? "The new app is broken: some of its requests fail" : "The new app is mended");
  }
}

// ------------------------------------------------------------- two visitors

async function look(who) {
  const answer = await fetch(`look/${who}`);
  const by = answer.headers.get("x-served-by");
  const badge = $(`by-${who}`);
  badge.textContent = `X-Served-By: ${by}`;
  if (badge.className === `is-${by}`) return; // it is there
  badge.className = `is-${by}`;
  $(who).srcdoc = await answer.text();
}

const look_at_both = () => Promise.allSettled([look("first"), look("last")]);

// ------------------------------------------------------------- the stream

function take(told) {
  if (!told.routes.length) return;
  const changed = JSON.stringify(routes.map(level)) !== JSON.stringify(told.routes.map(level));
  const sides = told.routes.map(each => [each.route, [each.old.requests, of_new(each).requests]]);
  seen.push({ at: performance.now(), sides: new Map(sides) });
  while (seen.length > 4) seen.shift();
  log_changes(routes, told);
  routes = told.routes;
  broken = told.broken;
  routes.forEach(show);
  $("answers").textContent = told.load.answers.toLocaleString("en");
  $("errors").textContent = told.load.errors.toLocaleString("en");
  $("visitors").classList.toggle("bad", told.load.errors > 0);
  if (!document.body.classList.contains("busy")) name_buttons();
  if (changed) look_at_both();
}

const stream = new EventSource("events");
stream.onopen = () => $("live").classList.remove("gone");
stream.onmessage = event => take(JSON.parse(event.data));
stream.onerror = () => $("live").classList.add("gone"); // the browser asks again by itself
setInterval(look_at_both, 5000);
// Browsers keep a page that is left for the Back button, with its stream.
addEventListener("pagehide", () => stream.close());
addEventListener("pageshow", event => event.persisted && location.reload());
