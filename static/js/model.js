// The model field as a combobox: suggestions below it, arrows choose, Enter takes, Escape closes.
(function () {
  "use strict";

  const status = () => document.getElementById("model-status");
  const input = () => document.getElementById("id_base_model");
  const box = () => document.getElementById("model-options");
  const options = () => Array.from(box()?.querySelectorAll("[role=option]") || []);
  const active = () => box()?.querySelector("[aria-selected=true]");
  let isOpen = false;

  function begin() {
    const field = input();
    if (!field || field.getAttribute("role") === "combobox") return;
    field.removeAttribute("list"); // The browser's own list would lie over ours.
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", "model-listbox");
    field.setAttribute("aria-expanded", "false");
  }

  function open() {
    if (!box()) return;
    isOpen = true;
    box().hidden = false;
    input().setAttribute("aria-expanded", String(options().length > 0));
  }

  function close() {
    if (!box()) return;
    isOpen = false;
    box().hidden = true;
    select(null);
    input().setAttribute("aria-expanded", "false");
  }

  function select(option) {
    options().forEach((one) => one.setAttribute("aria-selected", String(one === option)));
    if (option) {
      input().setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else {
      input().removeAttribute("aria-activedescendant");
    }
  }

  function take(option) {
    input().value = option.dataset.value;
    close();
    if (status()) status().textContent = `${option.dataset.value} is entered.`;
  }

  function move(step) {
    const list = options();
    if (!list.length) return;
    const at = list.indexOf(active());
    const next = at < 0 ? (step > 0 ? 0 : list.length - 1) : at + step;
    select(list[(next + list.length) % list.length]);
  }

  document.addEventListener("keydown", function (event) {
    if (event.target !== input() || event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!isOpen) open();
      move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && isOpen && active()) {
      event.preventDefault(); // Enter takes the suggestion; the next one sends the form.
      take(active());
    } else if (event.key === "Escape" && isOpen) {
      event.preventDefault();
      close();
    }
  });

  document.addEventListener("mousedown", function (event) {
    const option = event.target.closest?.("#model-options [role=option]");
    if (option) {
      event.preventDefault(); // The field keeps the focus.
      take(option);
    } else if (event.target === input()) open();
    else if (event.target.closest?.("#model-options")) event.preventDefault();
  });

  document.addEventListener("focusin", (event) => event.target === input() && input().select());
  document.addEventListener("input", function (event) {
    if (event.target !== input()) return;
    select(null); // What was marked belongs to the former text.
    open();
  });
  document.addEventListener("submit", (event) => event.target.closest("#step-form") && close());
  document.addEventListener("focusout", (event) => event.target === input() && close());

  document.body.addEventListener("htmx:afterSettle", function () {
    begin();
    if (!isOpen || document.activeElement !== input() || !box()?.hidden) return;
    open();
    const found = options().length;
    const words = found === 1 ? "1 suggestion" : `${found} suggestions`;
    status().textContent = found ? words : box().textContent.trim();
  });

  begin();
})();
