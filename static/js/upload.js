// Adding documents: dropped anywhere on the page or chosen; each file is a request of its own, so
// that one failure never loses the others. Without this script the form sends them all at once.
(function () {
  "use strict";
  const form = document.getElementById("upload");
  if (!form) return;
  const input = form.querySelector("input[type=file]");
  const list = document.getElementById("uploads");
  const status = document.getElementById("upload-status");
  const AT_ONCE = 2;
  const waiting = [];
  let running = 0;
  let added = 0;
  let refused = 0;

  // The browser's own control says "no file chosen" even after an upload: a button stands for it.
  const choose = document.getElementById("upload-choose");
  choose.addEventListener("click", () => input.click());
  input.hidden = document.getElementById("upload-add").hidden = true;
  input.addEventListener("change", function () {
    add(input.files);
    input.value = "";
  });

  // Drag and drop, anywhere on the page; what is no file is left to the browser.
  const hasFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  document.addEventListener("dragover", function (event) {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    form.classList.add("over");
  });
  document.addEventListener("dragleave", function (event) {
    if (!event.relatedTarget) form.classList.remove("over");
  });
  document.addEventListener("drop", function (event) {
    if (!hasFiles(event)) return;
    event.preventDefault();
    form.classList.remove("over");
    add(event.dataTransfer.files);
  });

  function add(files) {
    if (!running && !waiting.length) {
      added = refused = 0;
      list.replaceChildren();
    }
    for (const file of files) waiting.push({ file, row: rowOf(file) });
    list.hidden = !list.children.length;
    next();
  }

  function rowOf(file) {
    const row = document.createElement("li");
    const name = Object.assign(document.createElement("b"), { textContent: file.name });
    const bar = Object.assign(document.createElement("progress"), { max: 1, value: 0 });
    bar.setAttribute("aria-label", `Upload of ${file.name}`);
    const text = Object.assign(document.createElement("span"), { textContent: "waits" });
    row.append(name, bar, text);
    list.append(row);
    return { row, bar, text };
  }

  function next() {
    while (running < AT_ONCE && waiting.length) send(waiting.shift());
    if (!running && !waiting.length) finish();
  }

  function send(item) {
    running += 1;
    // Looked up each time: the list comes anew with the room that is left.
    const limit = Number(document.getElementById("upload-limits").dataset.fileBytes);
    if (item.file.size > limit) {
      const size = (item.file.size / 2 ** 20).toFixed(1);
      return end(item, `${item.file.name} has ${size} MB. At most ${form.dataset.fileLimit} are taken, and no more than the project has room for. Split it.`);
    }
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRFToken", form.querySelector("[name=csrfmiddlewaretoken]").value);
    request.upload.addEventListener("progress", (event) => progress(item, event));
    request.addEventListener("load", () =>
      request.status === 429 ? later(item, request) : end(item, failureOf(request))
    );
    request.addEventListener("error", () =>
      end(item, "The server cannot be reached, or the file changed meanwhile.", true)
    );
    const body = new FormData();
    body.append("files", item.file);
    request.send(body);
  }

  function progress(item, event) {
    if (!event.lengthComputable) return;
    item.row.bar.value = event.loaded / event.total;
    const percent = Math.round((100 * event.loaded) / event.total);
    item.row.text.textContent = percent < 100 ? `${percent} %` : "is being stored";
  }

  // The server takes only so many files a minute: the rest wait in their place for the next one.
  function later(item, request) {
    const seconds = Number(request.getResponseHeader("Retry-After")) || 30;
    item.row.bar.value = 0;
    item.row.text.textContent = `waits ${seconds} s: many files were added within a minute`;
    setTimeout(function () {
      running -= 1;
      waiting.unshift(item);
      next();
    }, 1000 * seconds);
  }

  // What went wrong, in words; empty when the file was taken.
  function failureOf(request) {
    let answer = null;
    try {
      answer = JSON.parse(request.responseText);
    } catch {
      // Not our answer: a limit in front of it, the login page, an error.
    }
    if (answer?.added?.length) return "";
    if (answer?.refused?.length) return answer.refused.join(" ");
    if (request.status === 413) return "This is too large to send. Split it.";
    if (request.status === 403) return "The page is too old to do this. Load it again.";
    if (request.status === 404) return "The project is not here any more.";
    if (request.status < 400) return "You are signed out. Load the page again and sign in.";
    return "The server met an error. Nothing of this file was stored.";
  }

  function end(item, problem, isLost = false) {
    running -= 1;
    const { row, bar, text } = item.row;
    bar.remove();
    text.textContent = problem || "added";
    row.classList.toggle("failed", Boolean(problem));
    row.classList.toggle("done", !problem);
    if (problem) refused += 1;
    else added += 1;
    if (isLost) row.append(againButton(item)); // What never arrived can be sent once more.
    next();
  }

  function againButton(item) {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.textContent = "Try again";
    button.setAttribute("aria-label", `Try again to add ${item.file.name}`);
    button.addEventListener("click", function () {
      item.row.row.remove();
      waiting.push({ file: item.file, row: rowOf(item.file) });
      choose.focus();
      next();
    });
    return button;
  }

  function finish() {
    const problems = [...list.querySelectorAll(".failed span")].map((text) => text.textContent);
    const words = [`${added} ${added === 1 ? "file" : "files"} added.`];
    if (refused) words.push(`${refused} not added:`, ...problems);
    status.textContent = words.join(" ");
    if (!added) return;
    choose.classList.remove("primary");
    htmx.trigger(document.body, "job-done"); // What a job's end makes anew: the table, the rail.
  }
})();
