// What the chosen settings mean, while they are typed. Without it the page says it for the defaults.
(function () {
  "use strict";
  const form = document.getElementById("start-training");
  const steps = document.getElementById("plan-steps");
  const batch = document.getElementById("plan-batch");
  if (!form || !steps || !batch) return;

  function value(name) {
    const field = form.elements[name];
    const number = Number(field.value || field.defaultValue);
    return number > 0 ? number : NaN;
  }

  // As the engine counts: the last batch of an epoch may be smaller, and is still a step.
  function show() {
    const [micro, accumulation] = [value("micro_batch"), value("gradient_accumulation")];
    const batches = Math.ceil(Number(form.dataset.rows) / micro);
    const total = Math.ceil(value("epochs") * Math.ceil(batches / accumulation));
    steps.textContent = Number.isFinite(total) ? total.toLocaleString("en") : "–";
    batch.textContent = Number.isFinite(micro * accumulation)
      ? `One step learns from ${micro} × ${accumulation} = ${micro * accumulation} examples before the weights move.`
      : "";
  }

  form.addEventListener("input", show);
  show();
})();
