// Watching an act: between the check and the click a page may move, and what would hit something else is swallowed.

const pointerEvents = ['mousemove', 'pointermove', 'mousedown', 'pointerdown', 'mouseup', 'pointerup', 'click', 'auxclick', 'dblclick', 'contextmenu'];
let guarded = null;

// From now on swallows pointer events that would hit something else than this element: between the check and the
// click, a page may move. What was swallowed is told by `unguard`.
function guard(element) {
  unguard();
  const state = { element, missed: null, hit: false };
  state.listener = event => {
    if (!event.isTrusted) return;
    // Once the first press has hit, what follows belongs to the page: the element may react by moving.
    if (state.hit) return;
    const covered = obstacle(element, deepElementFromPoint(event.clientX, event.clientY));
    if (!covered) {
      state.hit = event.type === 'mousedown' || event.type === 'pointerdown';
      return;
    }
    state.missed ??= describe(covered);
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  pointerEvents.forEach(type => window.addEventListener(type, state.listener, { capture: true, passive: false }));
  guarded = state;
}

// Ends the guard; says what was hit instead, if something was.
function unguard() {
  const state = guarded;
  guarded = null;
  if (!state) return null;
  pointerEvents.forEach(type => window.removeEventListener(type, state.listener, { capture: true }));
  return state.hit ? null : state.missed;
}
