// Before the first paint, so that no theme flashes into the other: the chosen one, else the system's.
(function () {
  var root = document.documentElement;
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  try {
    var chosen = localStorage.getItem("llmops.theme");
    if (chosen === "light" || chosen === "dark") root.dataset.chosen = chosen;
  } catch (_) {
    // Storage may be forbidden: the system's theme holds.
  }
  function show() {
    root.dataset.theme = root.dataset.chosen || (dark.matches ? "dark" : "light");
  }
  dark.addEventListener("change", show);
  root.addEventListener("llmops-theme", show);
  show();
})();
