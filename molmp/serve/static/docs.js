for (const sample of document.querySelectorAll(".sample")) {
  sample.textContent = sample.textContent.replace("HERE/", new URL("./", location.href).href);
}
