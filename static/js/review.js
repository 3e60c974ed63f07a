// Keys of the review table, and selecting a page of it. Without this file every button still works.
(function () {
  "use strict";

  const rows = () => [...document.querySelectorAll("tbody.example")];
  let current = null; // The id of the row that keys act on.
  let index = 0; // Its place, for when it is gone.

  function row() {
    return (current && document.getElementById(current)) || null;
  }

  function mark(element) {
    rows().forEach((each) => each.classList.toggle("current", each === element));
    if (!element) return;
    current = element.id;
    index = rows().indexOf(element);
  }

  function go(step) {
    const all = rows();
    if (!all.length) return;
    const from = row();
    const place = from ? all.indexOf(from) + step : Math.min(index, all.length - 1);
    const next = all[Math.max(0, Math.min(all.length - 1, place))];
    mark(next);
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }

  function press(key) {
    const button = row()?.querySelector(`[data-key="${key}"]`);
    if (button && !button.disabled) click(button);
  }

  // What was swapped a moment ago is not htmx's yet: a click would leave the page.
  function click(element) {
    htmx.process(element.closest("form") || element);
    element.click();
  }

  // A closed row has no link to press.
  function edit() {
    const element = row();
    if (!element || element.querySelector(".editing")) return;
    htmx.ajax("GET", element.dataset.edit, { target: element, swap: "outerHTML" });
  }

  const keys = {
    j: () => go(1),
    k: () => go(-1),
    a: () => press("a"),
    x: () => press("x"),
    d: () => press("d"),
    o: () => press("o"),
    e: edit,
    u: () => {
      const button = document.getElementById("undo");
      if (button) click(button);
    },
    s: () => {
      const box = row()?.querySelector('[name="examples"]');
      if (box) box.click();
    },
    "?": () => document.getElementById("keys")?.showModal(),
  };

  function isTyping(element) {
    return element.closest("input:not([type='checkbox']), textarea, select, [contenteditable]");
  }

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && event.target.closest(".editing")) {
      event.target.closest(".editing").querySelector('[data-key="Escape"]').click();
      return;
    }
    if (isTyping(event.target) || !document.getElementById("examples")) return;
    // On a link or a button Enter is theirs.
    const act = event.key === "Enter" && event.target.matches("tbody.example") ? keys.o : keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  document.addEventListener("focusin", function (event) {
    const element = event.target.closest("tbody.example");
    if (element) mark(element);
  });

  // A row that was swapped keeps the focus, wherever in it the focus was.
  document.addEventListener("htmx:afterSettle", function () {
    count();
    const element = row();
    if (!element) return;
    mark(element);
    const lost = document.activeElement === document.body;
    if (lost) element.focus({ preventScroll: true });
  });

  // Selecting: a page, one by one, or everything that fits.
  function boxes() {
    return [...document.querySelectorAll('tbody.example [name="examples"]')];
  }

  function count() {
    const text = document.getElementById("picked");
    if (!text) return;
    const all = boxes();
    const picked = all.filter((box) => box.checked).length;
    const everything = document.querySelector('#bulk [name="scope"]')?.checked;
    text.textContent = everything ? "Selected:" : `${picked} selected`;
    const page = document.getElementById("pick-page");
    if (!page) return;
    page.checked = picked > 0 && picked === all.length;
    page.indeterminate = picked > 0 && picked < all.length;
  }

  document.addEventListener("change", function (event) {
    if (event.target.id === "pick-page") boxes().forEach((box) => (box.checked = event.target.checked));
    count();
  });

  document.addEventListener("click", function (event) {
    if (event.target.closest("#help")) keys["?"]();
  });

  document.addEventListener("htmx:historyRestore", function () {
    document.querySelectorAll(".needs-script").forEach((element) => (element.hidden = false));
    count();
  });
  count();
})();
