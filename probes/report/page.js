// Draws the figures in the colours of the page, and again when these change: light, dark, print.
(function () {
  "use strict";
  const data = JSON.parse(document.getElementById("figure-data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const printWidth = 680;

  function recolour(value) {
    if (typeof value === "string") return data.dark[value] || value;
    if (Array.isArray(value)) return value.map(recolour);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, recolour(part)]));
  }

  function config(slug) {
    return {
      responsive: true,
      displaylogo: false,
      displayModeBar: touch ? false : "hover",
      modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
      toImageButtonOptions: { format: "svg", filename: slug },
    };
  }

  function draw(isDark, width) {
    for (const [slug, figure] of Object.entries(data.figures)) {
      const node = document.getElementById("plot-" + slug);
      if (!node) continue;
      const copy = isDark ? recolour(figure) : JSON.parse(JSON.stringify(figure));
      copy.layout.dragmode = touch ? false : "zoom";
      copy.layout.width = width;
      copy.layout.autosize = !width;
      if (!node.classList.contains("drawn")) node.replaceChildren();
      node.classList.add("drawn");
      Plotly.react(node, copy.data, copy.layout, config(slug));
    }
  }

  draw(dark.matches);
  dark.addEventListener("change", () => draw(dark.matches));
  window.addEventListener("beforeprint", () => draw(false, printWidth));
  window.addEventListener("afterprint", () => draw(dark.matches));
})();
