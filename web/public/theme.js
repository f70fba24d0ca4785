// Before the first paint, so that a chosen theme does not flash into the other.
(function () {
  try {
    var theme = localStorage.getItem("llmops.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch (_) {
    // Storage may be forbidden: the system's theme holds.
  }
})();
