/** Cases for `it.each` with a short title: `[title, text]`. */
export function titled(texts: readonly string[]): [string, string][] {
  return texts.map((text) => [shown(text), text]);
}

/** Shortens and quotes a text for a test title. */
export function shown(text: string): string {
  const quoted = JSON.stringify(text);
  return quoted.length > 70 ? `${quoted.slice(0, 50)}… (${text.length} characters)` : quoted;
}
