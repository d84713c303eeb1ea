"use strict";
// Looks how the run goes, and takes the parts of the page that have changed.
(() => {
  const SECOND = 1000, HIDDEN = 10;
  const here = new Map();
  let over = false, failed = 0, timer = 0;
  const at = (id) => document.getElementById(id);

  const say = (text) => {
    at("news").textContent = text;
    at("news").hidden = !text;
  };

  // What was opened stays open.
  const put = (element, html) => {
    const open = [...element.querySelectorAll("details")].map((one) => one.open);
    element.innerHTML = html;
    element.querySelectorAll("details").forEach((one, n) => { one.open = Boolean(open[n]); });
  };

  const link = (id, title) => {
    const one = document.createElement("a");
    one.href = "#" + id;
    one.textContent = title;
    return one;
  };

  const arrange = (parts) => {
    const known = new Set(parts.map((one) => one.id));
    for (const old of [...at("parts").children]) if (!known.has(old.id)) { here.delete(old.id); old.remove(); }
    at("links").replaceChildren(...parts.map((one) => link(one.id, one.title)));
    parts.forEach((one, n) => {
      let section = at(one.id);
      if (!section) {
        section = document.createElement("section");
        section.id = one.id;
        const heading = document.createElement("h2");
        heading.textContent = one.title;
        section.append(heading, document.createElement("div"));
      }
      if (at("parts").children[n] !== section) at("parts").insertBefore(section, at("parts").children[n] || null);
    });
  };

  const renew = async (one) => {
    const answer = await fetch("part/" + encodeURIComponent(one.id));
    if (!answer.ok) return;
    put(at(one.id).lastElementChild, await answer.text());
    here.set(one.id, answer.headers.get("X-Digest"));
  };

  const look = async () => {
    const answer = await fetch("now");
    if (!answer.ok) throw new Error(String(answer.status));
    const news = await answer.json();
    put(at("now"), news.html);
    if (at("options")) put(at("options"), news.options);
    say(news.trouble);
    arrange(news.parts);
    for (const one of news.parts) if (here.get(one.id) !== one.digest) await renew(one);
    over = news.over;
    failed = 0;
    if (over) await fetch("seen");
  };

  const run = async () => {
    clearTimeout(timer);
    try {
      await look();
    } catch (error) {
      failed += 1;
      say(over ? "The run has ended; this is its result." : "No answer from dxflow live: it has ended, or cannot be reached. This is what was there last.");
    }
    if (!over) timer = setTimeout(run, SECOND * (document.hidden ? HIDDEN : Math.min(1 + failed, HIDDEN)));
  };

  // Options are changed by the page alone: no other page may send this header.
  const ask = async (event) => {
    event.preventDefault();
    const form = event.target;
    const what = {
      algorithm: form.elements.algorithm.value,
      options: form.elements.options.value,
      again: form.elements.again.checked,
    };
    const headers = { "Content-Type": "application/json", "X-Dxflow": "1" };
    try {
      const answer = await fetch("ask", { method: "POST", headers, body: JSON.stringify(what) });
      const error = (await answer.json()).error;
      at("asked").textContent = error ? "Not asked for: " + error : "";
      if (!error) form.reset();
    } catch (error) {
      at("asked").textContent = "No answer from dxflow live.";
    }
    run();
  };

  if (at("ask")) at("ask").addEventListener("submit", ask);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && !over) run(); });
  run();
})();
