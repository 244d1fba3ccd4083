// Browsers give pages that are opened from the disk no workers: there the search runs in a hidden
// frame instead. Pages that come from a server are left alone.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const source = new URL(url, document.baseURI).href.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.worker = this;
      frame.srcdoc =
        "<!doctype html><script>" +
        "self.postMessage = (data) => frameElement.worker.answer(data);" +
        "self.importScripts = (...urls) => Promise.all(urls.map((src) => new Promise((done, failed) => {" +
        "  const script = document.createElement('script');" +
        "  Object.assign(script, { src, async: false, onload: done, onerror: failed });" +
        "  document.head.append(script); })));" +
        `<\/script><script src="${source}"><\/script>`;
      this.ready = new Promise((done) => frame.addEventListener("load", () => done(frame.contentWindow)));
      document.body.append(frame);
    }

    postMessage(data) {
      this.ready.then((inner) => inner.dispatchEvent(new MessageEvent("message", { data })));
    }

    answer(data) {
      this.dispatchEvent(new MessageEvent("message", { data }));
    }
  };
}
