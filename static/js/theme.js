// Loaded in the head, before the first paint, so that a remembered theme does not flash.
(function () {
  "use strict";
  const names = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
  const order = Object.keys(names);
  const root = document.documentElement;

  function read() {
    try {
      return order.includes(localStorage.theme) ? localStorage.theme : "auto";
    } catch {
      return "auto";
    }
  }

  function apply(theme) {
    root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) {
      button.textContent = names[theme];
      button.hidden = false;
    }
  }

  apply(read());
  document.addEventListener("DOMContentLoaded", function () {
    apply(root.dataset.theme);
    document.getElementById("theme")?.addEventListener("click", function () {
      const next = order[(order.indexOf(root.dataset.theme) + 1) % order.length];
      try {
        localStorage.theme = next;
      } catch {
        // Private windows may refuse storage: the switch then lasts for this page.
      }
      apply(next);
    });
  });
})();
