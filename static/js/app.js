// Small helpers; every page works without them.
(function () {
  "use strict";

  function follow(log) {
    const box = document.querySelector(`[data-follow="${log.id}"]`);
    if (!box || box.checked) log.scrollTop = log.scrollHeight;
  }

  document.querySelectorAll(".log").forEach(follow);
  document.querySelectorAll(".needs-script").forEach((element) => (element.hidden = false));
  document.body.addEventListener("htmx:afterSettle", function (event) {
    const log = event.target.closest?.(".log") || event.detail.target?.closest?.(".log");
    if (log) follow(log);
  });
  // On a narrow screen the rail scrolls sideways: begin at the current step.
  const current = document.querySelector(".rail [aria-current]");
  const list = current?.closest("ol");
  if (list) list.scrollLeft = current.offsetLeft - list.offsetLeft - 24;
})();
