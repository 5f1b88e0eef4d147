export interface ParsedAnswer {
  readonly status: number;
  /** Lower-case names; of one that came twice, both values in one. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/**
 * The answers on a connection, strictly as RFC 9112 has them. What is cut off at the end is left out.
 * @throws Error for bytes that are no answer.
 */
export function parseAnswers(text: string): ParsedAnswer[] {
  const answers: ParsedAnswer[] = [];
  for (let rest = text; rest !== '';) {
    const parsed = parseAnswer(rest);
    if (parsed === undefined) break;
    answers.push(parsed.answer);
    ({ rest } = parsed);
  }
  return answers;
}

function parseAnswer(text: string): { readonly answer: ParsedAnswer; readonly rest: string } | undefined {
  const start = text.slice(0, 'HTTP/1.1 200'.length);
  if (!/^HTTP\/1\.1 [1-5][0-9]{2}/.test(start) && !'HTTP/1.1 '.startsWith(start.slice(0, 9))) {
    throw new Error(`this is no answer: ${JSON.stringify(text.slice(0, 200))}`);
  }
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [statusLine = '', ...lines] = text.slice(0, end).split('\r\n');
  const status = Number(statusLine.slice(9, 12));
  const headers = parseHeaders(lines);
  const after = text.slice(end + 4);
  // The answer to a HEAD has no body. Which one that is, nobody can tell for sure: of what is broken the server makes no
  // request, and answers it all the same. But no body here begins as the next answer does.
  const bare = status < 200 || status === 204 || status === 304 || after.startsWith('HTTP/1.1 ');
  const body = bare ? { body: '', rest: after } : parseBody(headers, after);
  return body && { answer: { status, headers, body: body.body }, rest: body.rest };
}

function parseHeaders(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error(`this is no header: ${JSON.stringify(line)}`);
    const before = headers.get(name.toLowerCase());
    if (before !== undefined && name.toLowerCase() === 'content-length') throw new Error('there are two lengths');
    headers.set(name.toLowerCase(), before === undefined ? value : `${before}, ${value}`);
  }
  if (headers.has('content-length') && headers.has('transfer-encoding')) throw new Error('two ways to end a body');
  return headers;
}

function parseBody(headers: ReadonlyMap<string, string>, text: string): { body: string; rest: string } | undefined {
  if (headers.has('transfer-encoding')) return parseChunks(text);
  const length = headers.get('content-length');
  // To the end of the connection.
  if (length === undefined) return { body: text, rest: '' };
  if (!/^[0-9]+$/.test(length)) throw new Error(`this is no length: ${length}`);
  if (text.length < Number(length)) return { body: text, rest: '' };
  return { body: text.slice(0, Number(length)), rest: text.slice(Number(length)) };
}

function parseChunks(text: string): { body: string; rest: string } | undefined {
  let body = '';
  for (let at = 0; ;) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd < 0) return { body, rest: '' };
    const line = text.slice(at, lineEnd);
    if (!/^[0-9a-fA-F]+$/.test(line)) throw new Error(`this is no chunk: ${JSON.stringify(line)}`);
    const size = Number.parseInt(line, 16);
    body += text.slice(lineEnd + 2, lineEnd + 2 + size);
    at = lineEnd + 2 + size + 2;
    if (size === 0) return { body, rest: text.slice(at) };
  }
}
