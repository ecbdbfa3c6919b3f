// The browser of problems: a filtered list, and the draws of the chosen problem. All text is inserted as text.
(function () {
  "use strict";
  const report = window.report;
  const byId = (id) => document.getElementById(`evidence-${id}`);
  const CHANGES = {
    all: "all problems",
    lost: "lost: solved by the base only",
    gained: "gained: solved by this arm only",
    kept: "solved by both",
    never: "solved by neither",
  };
  const MARKS = { correct: "✓", wrong: "✗" };
  const PAGE = 200;
  let data = null;
  let shown = [];
  let limit = PAGE;

  function element(tag, text, className) {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = visible(String(text));
    if (className) node.className = className;
    return node;
  }

  // Control characters as symbols, so that a text cannot hide part of itself.
  function visible(text) {
    return text.replace(/[\x00-\x08\x0b-\x1f\x7f]/g, (c) => (c === "\x7f" ? "␡" : String.fromCharCode(0x2400 + c.charCodeAt(0))))
      .replace(/[\x80-\x9f]/g, "�");
  }

  const untrusted = (text) => element("bdi", text, "untrusted");
  const rate = (problem, arm) => problem.c[arm] / problem.n[arm];
  const percent = (value) => `${(100 * value).toFixed(1)}%`;
  const later = () => data.arms.map((_, i) => i).slice(1);
  const nameOf = (i) => (i === 0 ? `${data.arms[0].label} (base)` : data.arms[i].arm || data.arms[i].label);

  function changeOf(problem, arm) {
    const was = problem.c[0] > 0;
    const is = problem.c[arm] > 0;
    return was ? (is ? "kept" : "lost") : is ? "gained" : "never";
  }

  // The chosen arm, and what is chosen for it; a value that the page does not know falls back to the first.
  function chosen() {
    const known = (value, values) => (values.includes(value) ? value : values[0]);
    const arm = known(report.state.get("evidence"), [...later().map(String).reverse(), "0"]);
    return {
      arm: Number(arm),
      show: known(report.state.get("show"), Object.keys(CHANGES)),
      sort: known(report.state.get("sort"), ["change", "base", "order"]),
      search: report.state.get("search") || "",
      problem: report.state.get("problem"),
    };
  }

  function filtered({ arm, show, sort, search }) {
    const wanted = search.toLowerCase();
    const found = data.problems.filter(
      (problem) =>
        (show === "all" || changeOf(problem, arm) === show) &&
        (!wanted || [problem.id, problem.question, problem.answer].some((text) => text.toLowerCase().includes(wanted))),
    );
    const keys = { change: (p) => rate(p, arm) - rate(p, 0), base: (p) => rate(p, 0), order: () => 0 };
    return found.map((p) => [keys[sort](p), p]).sort((a, b) => a[0] - b[0]).map(([, p]) => p);
  }

  function showFilters({ arm, show, sort, search }) {
    fill(byId("arm"), (later().length ? later() : [0]).map((i) => [String(i), nameOf(i)]), String(arm));
    const counts = data.problems.map((problem) => changeOf(problem, arm));
    const number = (key) => (key === "all" ? counts.length : counts.filter((each) => each === key).length);
    fill(byId("show"), Object.entries(CHANGES).map(([key, text]) => [key, `${text} (${number(key)})`]), show);
    byId("sort").value = sort;
    if (byId("search").value !== search) byId("search").value = search;
  }

  function fill(select, options, value) {
    select.replaceChildren(
      ...options.map(([key, text]) => {
        const option = element("option", text);
        option.value = key;
        return option;
      }),
    );
    select.value = value;
  }

  function showList(state) {
    shown = filtered(state);
    const more = shown.length > limit ? ` The first ${limit} are listed.` : "";
    byId("count").textContent = `${shown.length} of ${data.problems.length} problems.${more}`;
    byId("list").replaceChildren(...shown.slice(0, limit).map((problem) => row(problem, state)));
    if (shown.length > limit) byId("list").append(moreButton());
  }

  function row(problem, { arm, problem: open }) {
    const item = element("li");
    item.id = `problem-${data.problems.indexOf(problem)}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(problem.id === open));
    const change = changeOf(problem, arm);
    item.append(element("span", change, `tag ${change}`), untrusted(problem.question.slice(0, 90)));
    item.append(element("span", `${percent(rate(problem, 0))} → ${percent(rate(problem, arm))}`, "note"));
    item.addEventListener("click", () => open_(problem));
    return item;
  }

  function moreButton() {
    const button = element("button", "List more");
    button.type = "button";
    button.addEventListener("click", () => ((limit += PAGE), showList(chosen())));
    const item = element("li");
    item.setAttribute("role", "presentation");
    item.append(button);
    return item;
  }

  function open_(problem) {
    report.state.set({ problem: problem.id });
    for (const item of byId("list").querySelectorAll("[role=option]")) item.setAttribute("aria-selected", "false");
    const item = document.getElementById(`problem-${data.problems.indexOf(problem)}`);
    if (item) {
      item.setAttribute("aria-selected", "true");
      byId("list").setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    }
    showProblem(problem, chosen());
  }

  function showProblem(problem, { arm }) {
    const pane = byId("problem");
    if (!problem) return pane.replaceChildren(element("p", "Choose a problem to read its draws.", "note"));
    const title = element("h3", "Problem ");
    title.append(untrusted(problem.id));
    const question = element("pre", problem.question, "untrusted");
    const answer = element("p", "Gold answer: ");
    answer.append(untrusted(problem.answer));
    const sides = element("div", undefined, "sides");
    for (const i of new Set([0, arm])) sides.append(drawsOf(problem, i));
    pane.replaceChildren(title, question, answer, ratesOf(problem), sides);
  }

  function ratesOf(problem) {
    const table = element("table");
    table.append(element("caption", "Correct draws of judged draws that count"));
    const head = table.createTHead().insertRow();
    for (const text of ["", "correct", "draws", "rate"]) head.append(element("th", text));
    const body = table.createTBody();
    data.arms.forEach((_, i) => {
      const cells = body.insertRow();
      const name = element("th");
      name.scope = "row";
      name.append(untrusted(nameOf(i)));
      cells.append(name, element("td", problem.c[i]), element("td", problem.n[i]), element("td", percent(rate(problem, i))));
    });
    const scroll = element("div", undefined, "scroll");
    scroll.append(table);
    return scroll;
  }

  function drawsOf(problem, arm) {
    const side = element("section");
    const title = element("h4");
    title.append(untrusted(nameOf(arm)));
    side.append(title);
    const draws = problem.draws[arm];
    if (!draws.length) side.append(element("p", "No draw of this problem is in this file.", "note"));
    const list = element("ul", undefined, "draws");
    for (const draw of draws) list.append(drawOf(draw));
    side.append(list);
    return side;
  }

  function drawOf(draw) {
    const item = element("li", undefined, draw.outcome === "correct" || draw.outcome === "wrong" ? draw.outcome : "other");
    item.dataset.outcome = draw.outcome;
    const head = element("p", undefined, "draw-head");
    head.append(element("strong", `${MARKS[draw.outcome] || "–"} ${draw.outcome}`), ` · draw ${draw.index}`);
    if (draw.tokens >= 0) head.append(` · ${draw.tokens} tokens`);
    if (draw.truncated) head.append(" · cut off at the token limit");
    if (draw.answer !== null) head.append(" · answer ", untrusted(draw.answer));
    if (draw.reason) head.append(" · ", untrusted(draw.reason));
    const text = element("pre", draw.head, "untrusted");
    if (draw.cut) text.append(element("span", ` … ${draw.cut.toLocaleString("en")} characters left out … `, "cut"));
    if (draw.tail) text.append(visible(draw.tail));
    if (!draw.head) text.append(element("span", "empty completion", "cut"));
    item.append(head, text);
    return item;
  }

  function show() {
    const state = chosen();
    showFilters(state);
    showList(state);
    showProblem(data.problems.find((problem) => problem.id === state.problem), state);
  }

  function move(step) {
    const at = shown.findIndex((problem) => problem.id === report.state.get("problem"));
    const next = shown[Math.min(Math.max(at + step, 0), Math.min(shown.length, limit) - 1)];
    if (next) open_(next);
  }

  function listen() {
    const onChange = { arm: "evidence", show: "show", sort: "sort", search: "search" };
    for (const [id, key] of Object.entries(onChange)) {
      byId(id).addEventListener(id === "search" ? "input" : "change", () => {
        limit = PAGE;
        report.state.set({ [key]: byId(id).value });
        show();
      });
    }
    byId("list").addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity }[event.key];
      if (event.key === "Enter") byId("problem").focus();
      if (step === undefined) return;
      event.preventDefault();
      move(step === -Infinity ? -shown.length : step === Infinity ? shown.length : step);
    });
    report.state.subscribe(show);
  }

  async function start() {
    if (!document.getElementById("evidence-data")) return;
    data = JSON.parse(await report.unpack("evidence-data"));
    byId("stated").textContent = data.stated;
    document.getElementById("explorer").hidden = false;
    listen();
    show();
  }

  // Other parts of the page open the list: report.explorer.open({ show: "lost", place: 1 }).
  report.explorer = {
    open({ arm, place, show: wanted }) {
      if (!data) return;
      const found = later().find((i) => (arm ? data.arms[i].arm === arm : i === place));
      report.state.set({ evidence: found === undefined ? null : String(found), show: wanted, problem: null });
      show();
      document.getElementById("evidence").scrollIntoView();
    },
  };
  start();
})();
