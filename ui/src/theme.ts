import { signal } from '@preact/signals';

/** A color scheme, or `auto` for that of the system. */
export type Theme = 'auto' | 'light' | 'dark';

const key = 'artifactapi.theme';
const themes: readonly Theme[] = ['auto', 'light', 'dark'];

/** The chosen color scheme. */
export const theme = signal<Theme>(readTheme());

/** Applies the chosen color scheme to the page. */
export function applyTheme(): void {
  document.documentElement.dataset['theme'] = theme.value;
}

/** Chooses a color scheme and remembers it. */
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
