/** Cases for `it.each` with a short title: `[title, text]`. */
export function titled(texts: readonly string[]): [string, string][] {
  return texts.map((text) => [shown(text), text]);
}

/** A text as a test's title can have it, however long or odd it is. */
export function shown(text: string): string {
  const quoted = JSON.stringify(text);
  return quoted.length > 70 ? `${quoted.slice(0, 50)}… (${text.length} characters)` : quoted;
}
