// Text that packing.py packed: base64 of gzip, in a script element that no browser runs.
(function () {
  "use strict";
  const report = (window.report = window.report || {});

  report.unpack = async function (id) {
    const packed = atob(document.getElementById(id).textContent.trim());
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };

  if (!("DecompressionStream" in window)) {
    const line = document.createElement("p");
    line.textContent = "This browser is too old to show figures and draws (it lacks DecompressionStream). The tables are whole.";
    document.querySelector("header").append(line);
  }
})();
