// Draws the figures after the words are painted, in the colours of the page, and saves them for papers.
(function () {
  "use strict";
  const report = window.report;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const printWidth = 680;
  const paper = { width: 900, scale: 3 };
  let data = null;

  function recolour(value) {
    if (typeof value === "string") return data.dark[value] || value;
    if (Array.isArray(value)) return value.map(recolour);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, recolour(part)]));
  }

  function config() {
    return {
      responsive: true,
      displaylogo: false,
      displayModeBar: touch ? false : "hover",
      modeBarButtons: [["zoom2d", "pan2d", "resetScale2d"]],
    };
  }

  const slugOf = (node) => node.id.slice("plot-".length);
  const isShown = (node) => node.offsetParent !== null;
  const nodes = () => [...document.querySelectorAll(".plot")].filter((node) => data.figures[slugOf(node)]);

  function draw(node, isDark, width) {
    const figure = data.figures[slugOf(node)];
    const copy = isDark ? recolour(figure) : JSON.parse(JSON.stringify(figure));
    copy.layout.dragmode = touch ? false : "zoom";
    copy.layout.width = width;
    copy.layout.autosize = !width;
    if (!node.classList.contains("drawn")) {
      node.replaceChildren();
      node.after(saveButtons(slugOf(node)));
      node.classList.add("drawn");
    }
    Plotly.newPlot(node, copy.data, copy.layout, config()); // not react, whose moving of a flow would be half done in print
    if (slugOf(node).endsWith("gained_and_lost")) linkToProblems(node);
  }

  // A bar of gained or lost problems opens their list.
  function linkToProblems(node) {
    const arm = node.closest(".arm");
    node.removeAllListeners("plotly_click");
    node.on("plotly_click", ({ points: [point] }) => {
      const place = point.pointIndex + 1; // among the probes, of which the first has no bar
      report.explorer.open({ arm: arm && arm.dataset.name, place, show: point.data.name });
    });
  }

  // One figure a turn, so that the page answers meanwhile.
  function drawNext() {
    const node = nodes().find((each) => isShown(each) && !each.classList.contains("drawn"));
    if (!node) return document.documentElement.classList.add("all-drawn");
    draw(node, dark.matches);
    setTimeout(drawNext);
  }

  function redraw(isDark, width) {
    if (data) nodes().filter(isShown).forEach((node) => draw(node, isDark, width));
  }

  function saveButtons(slug) {
    const row = document.createElement("p");
    row.className = "save";
    row.append("Save: ");
    for (const format of ["svg", "png", "csv"]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = format.toUpperCase();
      button.setAttribute("aria-label", `Save this figure as ${format.toUpperCase()}`);
      button.addEventListener("click", () => save(slug, format));
      row.append(button);
    }
    return row;
  }

  async function save(slug, format) {
    const url = format === "csv" ? tableOf(data.figures[slug]) : await imageOf(data.figures[slug], format);
    const link = document.createElement("a");
    link.href = url;
    link.download = `${slug}.${format}`;
    link.click();
    return url;
  }

  function imageOf(figure, format) {
    const layout = { ...figure.layout, width: paper.width, autosize: false, paper_bgcolor: "#ffffff" };
    const size = { width: paper.width, height: figure.layout.height, scale: format === "png" ? paper.scale : 1 };
    return Plotly.toImage({ data: figure.data, layout }, { format, ...size });
  }

  // What is drawn, one row a point. Bands are left out: their ends stand beside each point.
  function tableOf(figure) {
    const rows = [["series", "x", "y", "z", "note"]];
    for (const trace of figure.data) rows.push(...pointsOf(trace));
    return "data:text/csv;charset=utf-8," + encodeURIComponent(rows.map((row) => row.map(cell).join(",")).join("\r\n"));
  }

  function pointsOf(trace) {
    const name = trace.name || "";
    if (trace.link) {
      const { source, target, value } = trace.link;
      const ends = trace.node.customdata;
      return value.map((amount, i) => [name, ends[source[i]], ends[target[i]], amount, ""]);
    }
    if (trace.z) return trace.z.flatMap((row, i) => row.map((z, j) => [name, trace.x[j], trace.y[i], z, note(trace, i, j)]));
    if (trace.hoverinfo === "skip" || !trace.x) return [];
    return trace.x.map((x, i) => [name, x, trace.y[i], "", note(trace, i)]);
  }

  function note(trace, i, j) {
    const found = trace.customdata && trace.customdata[i];
    return (Array.isArray(found) && j !== undefined ? found[j] : found) ?? "";
  }

  function cell(value) {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function showArm() {
    const select = document.getElementById("arm");
    if (!select) return;
    const wanted = report.state.get("arm");
    const names = [...select.options].map((option) => option.value);
    select.value = names.includes(wanted) ? wanted : names[0];
    for (const section of document.querySelectorAll(".arm")) section.hidden = section.dataset.arm !== select.value;
    if (data) drawNext();
  }

  async function start() {
    const select = document.getElementById("arm");
    if (select) select.addEventListener("change", () => (report.state.set({ arm: select.value }), showArm()));
    report.state.subscribe(showArm);
    showArm();
    await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)));
    const [library, figures] = await Promise.all([report.unpack("library"), report.unpack("figure-data")]);
    const script = document.createElement("script");
    script.textContent = library;
    document.body.append(script);
    data = JSON.parse(figures);
    drawNext();
    document.addEventListener("toggle", drawNext, true);
    dark.addEventListener("change", () => redraw(dark.matches));
    window.addEventListener("beforeprint", () => redraw(false, printWidth));
    window.addEventListener("afterprint", () => redraw(dark.matches));
  }

  report.figures = { save };
  start();
})();
