// stub
(function () {
  "use strict";
  const report = (window.report = window.report || {});
  const listeners = [];
  const read = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  report.state = {
    get: (key) => read().get(key),
    set(values) {
      const now = read();
      for (const [key, value] of Object.entries(values)) value === null ? now.delete(key) : now.set(key, value);
      history.replaceState(null, "", "#" + now);
    },
    subscribe: (listener) => listeners.push(listener),
  };
  window.addEventListener("hashchange", () => listeners.forEach((listener) => listener()));
})();
