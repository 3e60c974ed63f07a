// Small helpers; every page works without them.
(function () {
  "use strict";

  // Logs: stay at the end while "follow" is ticked.
  function follow(log) {
    const box = document.querySelector(`[data-follow="${log.id}"]`);
    if (!box || box.checked) log.scrollTop = log.scrollHeight;
  }

  function begin(root) {
    root.querySelectorAll?.(".needs-script").forEach((element) => (element.hidden = false));
  }

  document.querySelectorAll(".log").forEach(follow);
  begin(document);
  document.body.addEventListener("htmx:afterSettle", function (event) {
    const target = event.detail.elt || event.target;
    const log = target.closest?.(".log");
    if (log) follow(log);
    begin(target);
  });

  // On a narrow screen the rail scrolls sideways: begin at the current step.
  const current = document.querySelector(".rail [aria-current]");
  const list = current?.closest("ol");
  if (list) list.scrollLeft = current.offsetLeft - list.offsetLeft - 24;

  // A form is sent once: a second click while the answer is on its way does nothing.
  document.addEventListener("submit", function (event) {
    const form = event.target;
    if (event.defaultPrevented || form.method === "get") return;
    if (form.dataset.sent) event.preventDefault();
    else if (!form.hasAttribute("hx-post")) form.dataset.sent = "1";
  });
  window.addEventListener("pageshow", function () {
    document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent);
  });

  // What went wrong between the page and the server is said, and taken back when it works again.
  const connection = document.getElementById("connection");

  function say(text) {
    if (!connection || connection.textContent === text) return;
    connection.replaceChildren();
    if (!text) return;
    const notice = document.createElement("p");
    notice.className = "notice error";
    notice.textContent = text;
    connection.append(notice);
  }

  function failure(request) {
    const { status, responseText } = request;
    // A refusal in plain text is a sentence for the person who waits.
    const isText = request.getResponseHeader("Content-Type")?.startsWith("text/plain");
    if (isText && (status === 429 || status === 413)) return responseText;
    if (status === 404) return "This is not here any more. Load the page again.";
    if (status === 403) return "The page is too old to do this. Load it again.";
    if (status === 429) return "Too many requests at once. Wait a minute, then try again.";
    if (status === 413) return "This is too large to send in one go. Nothing was stored.";
    return "The server met an error. Nothing that was finished is lost: load the page again.";
  }

  document.body.addEventListener("htmx:sendError", () =>
    say("The server cannot be reached. What runs there goes on; this page tries again by itself.")
  );
  document.body.addEventListener("htmx:timeout", () => say("The server takes long to answer."));
  // What was refused stays said until the same is answered well; a poll beside it says nothing.
  let refused = "";
  document.body.addEventListener("htmx:responseError", function (event) {
    const { xhr, elt, requestConfig, pathInfo } = event.detail;
    refused = pathInfo.requestPath;
    say(failure(xhr));
    // What is gone stays gone: its element asks no more.
    if (xhr.status === 404 && requestConfig.verb === "get") elt.dataset.gone = "1";
  });
  document.body.addEventListener("htmx:beforeRequest", function (event) {
    if (event.detail.elt.dataset.gone) event.preventDefault();
  });
  document.body.addEventListener("htmx:afterRequest", function (event) {
    if (!event.detail.successful) return;
    if (refused && refused !== event.detail.pathInfo.requestPath) return;
    refused = "";
    say("");
  });

  // Buttons that copy the text of the element they name.
  document.addEventListener("click", async function (event) {
    const button = event.target.closest?.("[data-copy]");
    const source = button && document.getElementById(button.dataset.copy);
    if (!source) return;
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: copy it";
    }
    setTimeout(() => (button.textContent = before), 2000);
  });
})();
