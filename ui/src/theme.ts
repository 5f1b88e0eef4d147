import { signal } from '@preact/signals';

/** A colour scheme, or that of the system. */
export type Theme = 'auto' | 'light' | 'dark';

const key = 'artifactapi.theme';
const themes: readonly Theme[] = ['auto', 'light', 'dark'];

/** The chosen colour scheme. */
export const theme = signal<Theme>(readTheme());

/** Applies the chosen colour scheme to the page. */
export function applyTheme(): void {
  document.documentElement.dataset['theme'] = theme.value;
}

/** Chooses a colour scheme and remembers it. */
export function chooseTheme(next: Theme): void {
  theme.value = next;
  applyTheme();
  try {
    localStorage.setItem(key, next);
  } catch {
    // A browser without storage forgets it.
  }
}

function readTheme(): Theme {
  try {
    return themes.find((one) => one === localStorage.getItem(key)) ?? 'auto';
  } catch {
    return 'auto';
  }
}
