// What a reader chose, in the URL's fragment, so that a link shows the same: #arm=arm-1&problem=ab12. A plain anchor stays one.
(function () {
  "use strict";
  const report = (window.report = window.report || {});
  const listeners = [];

  function read() {
    const fragment = location.hash.slice(1);
    return new URLSearchParams(fragment.includes("=") ? fragment : "");
  }

  report.state = {
    get: (key) => read().get(key),
    set(values) {
      const state = read();
      for (const [key, value] of Object.entries(values)) {
        if (value === null || value === "") state.delete(key);
        else state.set(key, value);
      }
      history.replaceState(null, "", state.size ? `#${state}` : location.pathname + location.search);
    },
    subscribe: (listener) => listeners.push(listener),
  };
  window.addEventListener("hashchange", () => listeners.forEach((listener) => listener()));
})();
