// Improves pages that work without it: times in the viewer's zone, copying, and
// pages that follow what happens.
"use strict";
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const form = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

  const localTimes = (root) => {
    for (const t of root.querySelectorAll("time[datetime*='T']")) {
      const at = new Date(t.dateTime);
      if (isNaN(at)) continue;
      // Under a day of UTC stands the time alone, unless the day is another one here.
      const alone = t.className === "clock" && at.getDate() === at.getUTCDate();
      t.textContent = (alone ? clock : form).format(at);
    }
    const said = document.getElementById("zone");
    if (said && zone && zone !== "UTC" && zone !== "Etc/UTC") said.textContent = `Times are in ${zone}; point at one for UTC.`;
  };

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return false; // not over https, or not allowed: there is a page for it
    }
  };

  // A button that copies what stands in a field.
  const copyButtons = (root) => {
    if (!navigator.clipboard) return;
    for (const field of root.querySelectorAll("[data-copy]")) {
      if (field.dataset.ready) continue;
      field.dataset.ready = "1";
      const line = document.createElement("p");
      const button = document.createElement("button");
      const said = document.createElement("span");
      button.type = "button";
      button.textContent = "Copy";
      said.className = "said";
      said.setAttribute("role", "status");
      button.addEventListener("click", async () => {
        said.textContent = (await copy(field.value)) ? " Copied." : " Select it and copy by hand.";
      });
      line.append(button, said);
      field.after(line);
    }
  };

  // "Copy a message" copies at once; without a clipboard it leads to the page that
  // has the message.
  let making = 0; // messages under way
  document.addEventListener("submit", async (e) => {
    const f = e.target;
    if (!f.matches("form[data-message]") || !navigator.clipboard) return;
    e.preventDefault();
    const said = f.querySelector(".said");
    said.textContent = "Making a link…";
    making++;
    try {
      const res = await fetch(f.action, { method: "POST", body: new URLSearchParams(new FormData(f)) });
      const page = new DOMParser().parseFromString(await res.text(), "text/html");
      const text = page.getElementById("text");
      if (!res.ok || !text) throw new Error();
      if (await copy(text.value)) {
        said.textContent = "Copied. Send it to the merchant.";
        return;
      }
      document.getElementById("main").replaceChildren(...page.getElementById("main").childNodes);
      ready(document);
    } catch {
      said.textContent = "That did not work. Reload the page and try again.";
    } finally {
      making--;
      catchUp();
    }
  });

  document.addEventListener("change", (e) => {
    if (e.target.matches("[data-submit]")) e.target.form.requestSubmit();
  });

  // occupied tells whether somebody is in the middle of something: typing, choosing,
  // selecting, or looking at what is shown only once.
  const occupied = (main) => {
    const active = document.activeElement;
    return making > 0 || document.hidden || document.getElementById("text") || !getSelection().isCollapsed ||
      (main.contains(active) && active.matches("input, select, textarea"));
  };

  // twin finds what stands for an element in another version of the page.
  const twin = (root, e) => [...root.querySelectorAll(e.tagName)].find((t) =>
    t.id === e.id && t.getAttribute("href") === e.getAttribute("href") && t.textContent === e.textContent && t.form?.action === e.form?.action);

  // takeOver replaces what the page shows and keeps what its reader did to it.
  const takeOver = (main, fresh) => {
    const active = main.contains(document.activeElement) && document.activeElement !== main ? document.activeElement : null;
    const open = new Set([...main.querySelectorAll("details[open]")].map((d) => d.dataset.key));
    for (const d of fresh.querySelectorAll("details")) d.open = open.has(d.dataset.key);
    for (const f of main.querySelectorAll("form[data-message]")) {
      const same = [...fresh.querySelectorAll("form[data-message]")].find((o) => o.action === f.action);
      if (!same) continue;
      same.querySelector(".said").textContent = f.querySelector(".said").textContent;
      same.elements.locale.value = f.elements.locale.value;
    }
    main.replaceChildren(...fresh.childNodes);
    ready(main);
    // Who works with the keyboard goes on from where they were.
    if (active) (twin(main, active) ?? main).focus({ preventScroll: true });
  };

  // follow asks for the page again when something happened, and if somebody is in
  // the middle of something then, once they are done.
  let catchUp = () => {};
  const follow = (address) => {
    const main = document.getElementById("main");
    let busy = false;
    let behind = false;
    const update = async () => {
      behind = true;
      if (busy || occupied(main)) return;
      busy = true;
      behind = false;
      try {
        const res = await fetch(location.href, { headers: { Accept: "text/html" } });
        if (res.ok && !res.redirected) {
          const page = new DOMParser().parseFromString(await res.text(), "text/html");
          const fresh = page.getElementById("main");
          localTimes(fresh);
          if (occupied(main)) behind = true;
          else if (fresh && fresh.innerHTML !== main.dataset.seen) {
            main.dataset.seen = fresh.innerHTML;
            takeOver(main, fresh);
          }
        }
      } finally {
        busy = false;
        if (behind && !occupied(main)) update();
      }
    };
    catchUp = () => { if (behind) update(); };
    for (const what of ["visibilitychange", "focusin", "focusout", "selectionchange"]) {
      document.addEventListener(what, () => setTimeout(catchUp));
    }
    new EventSource(address).onmessage = update;
  };

  const ready = (root) => {
    localTimes(root);
    copyButtons(root);
    for (const f of root.querySelectorAll("form.filter")) {
      // Without a field to type in, a change is enough.
      if (!f.querySelector("input:not([type=hidden], [data-submit])")) f.querySelector("button[type=submit]").hidden = true;
    }
  };
  ready(document);
  const live = document.body.dataset.live;
  if (live) follow(live);
})();
