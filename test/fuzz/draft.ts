/** A request that is still being bent. Its texts are latin1: each character is a byte on the wire. */
export interface Draft {
  method: string;
  target: string;
  version: string;
  headers: [name: string, value: string][];
  body: string;
  lineEnd: string;
}

/** The bytes of it, as they are: nothing is checked or added. */
export function formatDraft({ method, target, version, headers, body, lineEnd }: Draft): string {
  const lines = headers.map(([name, value]) => `${name}: ${value}`);
  return [`${method} ${target} ${version}`, ...lines, '', body].join(lineEnd);
}

/** Sets a header that is there by any case, or adds it. */
export function setHeader(draft: Draft, name: string, value: string): void {
  draft.headers = draft.headers.filter(([other]) => other.toLowerCase() !== name.toLowerCase());
  draft.headers.push([name, value]);
}
