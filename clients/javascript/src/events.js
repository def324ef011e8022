/* Listeners, and the errors that they throw. */

export class Events {
  #listeners = {};

  on(type, call) {
    const calls = (this.#listeners[type] ??= new Set());
    calls.add(call);
    return () => calls.delete(call);
  }

  tell(type, event) {
    for (const call of this.#listeners[type] ?? []) guarded(call, event);
  }
}

/* A listener's error is the page's, at no other's cost. */
export function guarded(call, ...values) {
  try {
    call(...values);
  } catch (error) {
    queueMicrotask(() => { throw error; });
  }
}

/* An error that a program can tell from others. */
export const failure = (message, members) => Object.assign(new Error(message), members);
