import { computed, signal } from '@preact/signals';

const viewKey = 'artifactapi.view';

/**
 * The part of the URL behind `#`, such as `/images/local/app?reference=1`. Views have their paths and queries there, so the
 * page does not need routes of the server, and proxies never decode them.
 */
const place = signal(restore());

/** The path of the view: `/images/local/app`. */
export const path = computed(() => place.value.split('?', 1)[0] ?? '/');

/** The query of the view. */
export const query = computed(() => new URLSearchParams(place.value.split('?')[1] ?? ''));

addEventListener('hashchange', () => (place.value = read()));

/** Returns the address of a view for a link. */
export function hrefOf(to: string, parameters: Readonly<Record<string, string | undefined>> = {}): string {
  const given = Object.entries(parameters).filter((entry): entry is [string, string] => (entry[1] ?? '') !== '');
  const text = new URLSearchParams(given).toString();
  return `#${to}${text === '' ? '' : `?${text}`}`;
}

/** Goes to a view. */
export function go(to: string, parameters: Readonly<Record<string, string | undefined>> = {}): void {
  location.hash = hrefOf(to, parameters);
}

/** Changes parameters of the query without a new entry in the history, as a filter does while the user types. */
export function setQuery(parameters: Readonly<Record<string, string | undefined>>): void {
  const next = hrefOf(path.value, { ...Object.fromEntries(query.value), ...parameters });
  history.replaceState(history.state, '', next);
  place.value = read();
}

/** Remembers the view while a page elsewhere logs the user in and then sends them back to the web UI. */
export function rememberView(): void {
  // The page with the reason of a failed login is not a view to return to.
  if (location.hash.startsWith('#/login')) return;
  try {
    sessionStorage.setItem(viewKey, location.hash);
  } catch {
    // Without storage, the web UI opens at the overview.
  }
}

/** Returns to the view that was remembered, if the page was opened without one. */
function restore(): string {
  try {
    const view = sessionStorage.getItem(viewKey) ?? '';
    sessionStorage.removeItem(viewKey);
    if (/^#?\/?$/.test(location.hash) && view !== '') history.replaceState(history.state, '', view);
  } catch {
    // The storage of this tab is blocked.
  }
  return read();
}

function read(): string {
  const text = location.hash.replace(/^#/, '');
  return text.startsWith('/') ? text : `/${text}`;
}
