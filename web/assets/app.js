// The live parts of the pages. Everything else works without this file.
//
// Each visible tab is told by the daemon of what happens, fetches its own page again, and
// lays the new one over the old. Where the browser has locks, one tab listens for all.

const body = document.body;
const base = body.dataset.base;
const about = decodeURIComponent(body.dataset.live); // a connector; "*": all; "": this page is not live
const place = new URL(base, location.href).pathname; // of the pages
const skew = Date.parse(body.dataset.now) - Date.now(); // the daemon's clock less ours
const now = () => Date.now() + skew;

// ---- Times ----

let local = false;
try { local = localStorage.getItem("times") === "local"; } catch { /* no storage, no choice */ }

function span(seconds) {
	const s = Math.floor(seconds);
	if (s < 60) return `${s} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min`;
	if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
	if (s < 30 * 86400) return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
	return `${Math.floor(s / 86400)} d`;
}

function distance(at) {
	const text = span(Math.abs(now() - at) / 1000);
	return text === "0 s" ? "now" : at > now() ? "in " + text : text + " ago";
}

const two = n => String(n).padStart(2, "0");
const utc = d => d.toISOString().slice(0, 19).replace("T", " ") + " UTC";
function here(d) {
	const zone = -d.getTimezoneOffset();
	const offset = (zone < 0 ? "-" : "+") + two(Math.floor(Math.abs(zone) / 60)) + ":" + two(Math.abs(zone) % 60);
	return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())} ${offset}`;
}

function put(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

function times() {
	for (const t of document.querySelectorAll("main time")) {
		const at = new Date(t.dateTime);
		const title = `${utc(at)} = ${here(at)}`;
		if (t.title !== title) t.title = title;
		if (selected(t)) continue;
		put(t, t.className === "rel" ? distance(at.getTime()) : local ? here(at) : utc(at));
	}
}

function zone() {
	const p = document.getElementById("zone");
	const b = document.createElement("button");
	b.className = "quiet";
	const say = () => {
		p.firstChild.data = local ? "Times are local. " : "Times are UTC. ";
		b.textContent = local ? "Show UTC" : "Show local times";
	};
	b.addEventListener("click", () => {
		local = !local;
		try { localStorage.setItem("times", local ? "local" : "utc"); } catch { /* for this page only */ }
		say();
		times();
	});
	p.append(b);
	say();
}

// ---- Forms ----

const edited = new WeakSet();

// dirty marks a form that somebody has changed: nothing is laid over it any more.
function dirty(event) {
	const form = event.target.form;
	if (!form) return;
	edit(form);
	const mode = form.querySelector(`input[name=mode][value="${CSS.escape(event.target.name)}"]`);
	if (mode) mode.checked = true; // who types an interval wants one
}

function edit(form) {
	edited.add(form);
	for (const b of form.querySelectorAll("[data-dirty]")) {
		b.textContent = b.dataset.dirty;
	}
}

// once keeps a form from being sent twice.
function once(event) {
	const form = event.target, by = event.submitter;
	if (form.dataset.sent) { event.preventDefault(); return; }
	const to = new URL(by?.hasAttribute("formaction") ? by.formAction : form.action);
	if (to.pathname.endsWith("/check") && !edited.has(form) && "HTMLDialogElement" in window) {
		event.preventDefault();
		check(to.pathname.slice(place.length), () => { edited.add(form); form.requestSubmit(by); });
		return;
	}
	if (form.method === "post") {
		form.dataset.sent = "yes";
		if (by) by.setAttribute("aria-busy", "true");
		leaving = true;
	}
}

// check draws a check stage by stage, as it runs. Where the daemon does not tell of
// stages, the form is sent as it would be without this.
async function check(path, otherwise) {
	const dialog = document.createElement("dialog");
	dialog.setAttribute("aria-labelledby", "checked");
	dialog.innerHTML = '<h2 id="checked">Check</h2><ol class="plain stages"></ol><p class="outcome" role="status"></p><p class="hint" hidden></p><form method="dialog" class="buttons"><button>Close</button></form>';
	const list = dialog.querySelector("ol"), outcome = dialog.querySelector(".outcome"), hint = dialog.querySelector(".hint");
	const ended = new AbortController();
	dialog.addEventListener("close", () => { ended.abort(); dialog.remove(); });
	body.append(dialog);
	dialog.showModal();
	let line = null;
	const on = {
		begin(stage) {
			line = document.createElement("li");
			line.textContent = stage.stage + " …";
			list.append(line);
		},
		stage(stage) {
			if (!line) on.begin(stage);
			line.className = stage.ok ? "passed" : "failed";
			line.textContent = `${stage.stage}: ${stage.ok ? "passed" : "failed"}, ${stage.ms} ms, ${stage.detail}`;
			line = null;
		},
		check(whole) {
			outcome.textContent = whole.connection_status + (whole.error ? ": " + whole.error : "");
			outcome.classList.add(whole.connection_status === "Connection Valid" ? "passed" : "failed");
			hint.textContent = whole.hint;
			hint.hidden = !whole.hint;
			refresh();
		},
	};
	try {
		const answer = await fetch(base + "api/v1/" + path, { method: "POST", headers: { Accept: "text/event-stream" }, signal: ended.signal });
		if (!answer.ok || !answer.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new Error(answer.statusText);
		const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
		for (let rest = ""; ;) {
			const { value, done } = await reader.read();
			if (done) break;
			const events = (rest + value).split("\n\n");
			rest = events.pop();
			for (const e of events) {
				const event = /^event: (.*)$/m.exec(e)?.[1], data = /^data: (.*)$/m.exec(e)?.[1];
				if (event && data && on[event]) on[event](JSON.parse(data));
			}
		}
	} catch {
		if (ended.signal.aborted) return;
		dialog.close();
		otherwise();
	}
}

// copies puts a button beside what is to be copied. Without the clipboard of a secure
// page it selects the text.
function copies() {
	for (const code of document.querySelectorAll("code.copy")) {
		const b = document.createElement("button");
		b.type = "button";
		b.className = "quiet";
		b.textContent = "Copy";
		const name = code.closest("div")?.querySelector("dt")?.textContent;
		if (name) b.setAttribute("aria-label", "Copy " + name);
		b.addEventListener("click", async () => {
			const range = document.createRange();
			range.selectNodeContents(code);
			getSelection().removeAllRanges();
			getSelection().addRange(range);
			let done = false;
			try { await navigator.clipboard.writeText(code.textContent); done = true; } catch {
				try { done = document.execCommand("copy"); } catch { /* it is selected */ }
			}
			b.textContent = done ? "Copied" : "Selected: press Ctrl+C";
			announce(b.textContent);
		});
		code.after(" ", b);
	}
}

// ---- The page, laid over itself ----

const main = document.getElementById("main");
const announced = document.getElementById("announce");
function announce(text) { put(announced, text); }

function selected(node) {
	const s = getSelection();
	return s && !s.isCollapsed && s.containsNode(node, true);
}

const typing = "input, textarea, select";

// kept reports whether a node is to stay as it is: what somebody edits, or has selected.
function kept(node) {
	if (node.nodeType === Node.TEXT_NODE) return selected(node);
	if (node.nodeType !== Node.ELEMENT_NODE) return false;
	if (node.tagName === "FORM") {
		return edited.has(node) || node.contains(document.activeElement) && document.activeElement.matches(typing);
	}
	return node === document.activeElement && node.matches(typing);
}

function holds(node) { // or something below it
	return kept(node) || node.nodeType === Node.ELEMENT_NODE &&
		(node.contains(document.activeElement) || selected(node) || [...node.querySelectorAll("form")].some(f => edited.has(f)));
}

const callbacks = {
	beforeNodeMorphed: (old, fresh) => !kept(old) && !(old.nodeType === Node.ELEMENT_NODE && old.isEqualNode(fresh)),
	beforeNodeRemoved: node => !holds(node),
	beforeAttributeUpdated: (name, node) => !(name === "open" && node.tagName === "DETAILS"),
};

let seen = Date.now(); // when the page was known to be true
let page = "";         // the last text, laid over

function lay(text) {
	if (text === page) return;
	page = text;
	const doc = new DOMParser().parseFromString(text, "text/html");
	const fresh = doc.getElementById("main");
	if (!fresh) return;
	const before = main.querySelector("[data-announce]")?.textContent;
	Idiomorph.morph(main, fresh, { ignoreActiveValue: true, callbacks });
	times();
	const after = main.querySelector("[data-announce]")?.textContent;
	if (after && after !== before) announce(after.trim());
	document.title = doc.title;
	const icon = document.querySelector("link[rel=icon]"), other = doc.querySelector("link[rel=icon]");
	if (other && icon.getAttribute("href") !== other.getAttribute("href")) icon.setAttribute("href", other.getAttribute("href"));
}

let leaving = false, asking = false, again = false, next = 0;

// refresh fetches the page, at most twice a second, and less often where that takes long.
async function refresh() {
	if (!about || leaving || document.hidden) return;
	if (asking) { again = true; return; }
	const wait = next - Date.now();
	if (wait > 0) {
		again = true;
		setTimeout(() => { if (again) { again = false; refresh(); } }, wait);
		return;
	}
	asking = true;
	again = false;
	const began = Date.now();
	try {
		const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(20000) });
		if (answer.redirected) { location.reload(); return; } // to sign in
		const text = await answer.text();
		if (answer.ok) {
			lay(text);
			heard();
		} else if (answer.status >= 500) {
			lost();
		}
	} catch {
		if (!leaving) lost();
	} finally {
		asking = false;
		next = Date.now() + Math.max(500, 3 * (Date.now() - began));
		if (again) refresh();
	}
}

// ---- Whether the daemon is there ----

const gone = document.getElementById("gone"), live = document.getElementById("live");
let since = 0; // it does not answer since then

function heard() {
	seen = Date.now();
	if (!since) return;
	since = 0;
	gone.hidden = true;
	gone.textContent = "";
	announce("The daemon answers again.");
}

function lost() {
	if (since) return;
	since = seen;
	gone.textContent = `The daemon does not answer since ${here(new Date(since + skew))}. What is shown is as it was then.`;
	gone.hidden = false;
}

// ping asks for the least that there is.
async function ping() {
	if (document.hidden || leaving) return;
	try {
		const answer = await fetch(base + "healthz", { cache: "no-store", signal: AbortSignal.timeout(8000) });
		if (!answer.ok) { lost(); return; }
		const back = since;
		heard();
		if (back) { open(); refresh(); }
	} catch { if (!leaving) lost(); }
}

// ---- Events ----

// The channel has the path of the pages in its name: two daemons behind one proxy are two.
const channel = "BroadcastChannel" in window ? new BroadcastChannel("sftp-connector " + place) : null;
if (channel) channel.onmessage = e => told(e.data.event, e.data.of);

let stream = null, release = null, waiting = null, polling = 0;

function told(event, of) {
	seen = Date.now();
	if (event === "open" || event === "lost" || about === "*" && event !== "file") { refresh(); return; }
	if (of !== about) return;
	if (event === "file" && !("files" in body.dataset)) return;
	refresh();
}

function listen() {
	stream = new EventSource(base + "api/v1/events");
	const tell = (event, of) => {
		told(event, of);
		if (channel && release) channel.postMessage({ event, of });
	};
	stream.onopen = () => { clearInterval(polling); polling = 0; heard(); tell("open", ""); };
	for (const event of ["status", "pass", "file", "request", "lost"]) {
		stream.addEventListener(event, e => {
			let of = "";
			try { of = JSON.parse(e.data).connector ?? ""; } catch { /* then it is of none */ }
			tell(event, of);
		});
	}
	stream.onerror = () => {
		ping();
		if (stream && stream.readyState === EventSource.CLOSED) poll(); // streams have run out, or may not be had
	};
}

// poll asks now and then where there is no stream.
function poll() {
	if (!polling) polling = setInterval(() => { refresh(); if (stream?.readyState === EventSource.CLOSED) retryStream(); }, 5000);
}

let tries = 0;
function retryStream() { // now and then: others may have gone
	if (++tries % 12) return;
	shut();
	open();
}

function open() {
	if (!about || stream || waiting || document.hidden) return;
	if (!navigator.locks || !channel) { listen(); return; }
	waiting = new AbortController();
	navigator.locks.request("sftp-connector events " + place, { signal: waiting.signal }, () => new Promise(done => {
		release = done;
		listen();
	})).catch(() => { /* the tab was hidden before its turn came */ });
}

function shut() {
	stream?.close();
	stream = null;
	release?.();
	release = null;
	waiting?.abort();
	waiting = null;
	clearInterval(polling);
	polling = 0;
}

// ---- Begin ----

document.querySelectorAll("form[data-unsaved]").forEach(edit); // what was refused stands in it
document.addEventListener("input", dirty);
document.addEventListener("change", dirty);
document.addEventListener("submit", once);
document.addEventListener("visibilitychange", () => {
	if (document.hidden) { shut(); return; }
	open();
	refresh();
});
addEventListener("pagehide", () => { leaving = true; shut(); });
addEventListener("pageshow", e => {
	leaving = false;
	for (const form of document.forms) delete form.dataset.sent;
	if (e.persisted) { open(); refresh(); }
});

// The outcome of what was done is told once, and is no part of the page's address.
const address = new URL(location.href);
if (address.searchParams.has("done")) {
	address.searchParams.delete("done");
	history.replaceState(null, "", address);
}

times();
zone();
copies();
if (about) {
	open();
	setInterval(() => {
		times();
		if (!since) put(live, `live, ${span((Date.now() - seen) / 1000)} ago`);
		else put(live, "not live");
	}, 1000);
	setInterval(ping, 10000);
} else {
	setInterval(times, 1000);
}
