// The way in: what the host calls.

const pause = () => new Promise(done => setTimeout(done, 20));

// Looks for the one element and does `request.op` with it, again and again for `slice` milliseconds until it can be
// done. Answers {ok}, {wait: why not yet}, {many: [...]}, {fail: why never} or {gone: true}.
async function run(parts, request, slice) {
  const end = performance.now() + slice;
  for (let attempt = request.attempt ?? 0; ; attempt++) {
    let answer;
    try {
      const found = query(parts);
      if (found.length > 1) return { many: found.slice(0, 10).map(describe), count: found.length };
      answer = found.length ? await operations[request.op](found[0], { ...request, attempt }) : { wait: null };
    } catch (error) {
      if (error instanceof Gone) return { gone: true };
      return { fail: String(error?.message ?? error) };
    }
    if (!('wait' in answer) || performance.now() >= end) return { ...answer, attempt: attempt + 1 };
    await pause();
  }
}

// Waits for a selector to be in a state; answers {ok: true} or {wait: what is seen instead}.
async function waitFor(parts, state, slice) {
  const end = performance.now() + slice;
  for (;;) {
    let found;
    try {
      found = query(parts);
    } catch (error) {
      if (error instanceof Gone) return /^(detached|hidden)$/.test(state) ? { ok: true } : { gone: true };
      return { fail: String(error?.message ?? error) };
    }
    const visible = found.filter(isVisible).length;
    if (state === 'visible' && found.length > 1) return { many: found.slice(0, 10).map(describe), count: found.length };
    const reached = {
      attached: found.length > 0, detached: found.length === 0, visible: visible === 1, hidden: visible === 0,
    }[state];
    if (reached) return { ok: true };
    if (performance.now() >= end) return { wait: found.length ? `${found.length} found, ${visible} visible` : null };
    await pause();
  }
}

// Whether the one match is visible, at once: no match is not visible.
function visibleNow(parts) {
  const found = query(parts);
  if (found.length > 1) return { many: found.slice(0, 10).map(describe), count: found.length };
  return { ok: found.length === 1 && isVisible(found[0]) };
}

return {
  run, waitFor, visibleNow, unguard,
  count: parts => query(parts).length,
  all: (parts, op) => query(parts).map(element => operations[op](element, {}).ok),
  elements: parts => {
    const found = query(parts);
    // For the host, which takes one element or learns how many there are.
    Object.defineProperty(found, 'one', { value: found.length === 1 ? found[0] : found.length });
    return found;
  },
  hold: (parts, first) => query(parts).map((element, at) => { held.set(first + at, element); return first + at; }),
  release: id => { held.delete(id); },
  // Replaces the document's content; loading goes on after this returns.
  write: html => { window.stop(); document.open(); document.write(html); document.close(); },
  // Lets everything that the last act has set off get going: tasks and microtasks that it queued.
  settle: () => new Promise(done => setTimeout(() => setTimeout(done, 0), 0)),
};
