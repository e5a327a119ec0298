// What pages do beside plain HTML: a form that decides something is sent once, and parts that change are loaded anew by
// htmx where that is installed. Without this file every page works.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
});
// A page that the browser kept and shows again may be sent again.
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
