interface FramedRequest {
  readonly method: string;
  /** Without its query. */
  readonly path: string;
  /** The client said that it is the last. */
  readonly isLast: boolean;
  /** The server may end the connection with its answer: there is a body, or something that it refuses. */
  readonly mayEnd: boolean;
}

export interface Framed {
  /** Those that are here to their end. */
  readonly requests: readonly FramedRequest[];
  /**
   * What follows them. `nothing`; `part` of one more; `over`: the client said that there is no more, and there is not; `unclear`: what this
   * reader leaves to the server.
   */
  readonly rest: 'nothing' | 'part' | 'over' | 'unclear';
}

/**
 * Reads a connection's requests as RFC 9112 frames them: deliberately short, and nothing of the server's own parser. What is
 * not plainly right is unclear.
 */
export function readFraming(text: string): Framed {
  const requests: FramedRequest[] = [];
  let at = 0;
  for (;;) {
    // A server skips empty lines before a request (RFC 9112, 2.2).
    while (text.startsWith('\r\n', at)) at += 2;
    if (at >= text.length) return { requests, rest: 'nothing' };
    const headEnd = text.indexOf('\r\n\r\n', at);
    if (headEnd < 0) return { requests, rest: isStartOfHead(text.slice(at)) ? 'part' : 'unclear' };
    const head = readHead(text.slice(at, headEnd));
    if (head === undefined) return { requests, rest: 'unclear' };
    const body = head.isChunked ? endOfChunks(text, headEnd + 4) : headEnd + 4 + head.length;
    if (body === 'unclear') return { requests, rest: 'unclear' };
    if (body === 'part' || body > text.length) return { requests, rest: 'part' };
    requests.push(head.request);
    if (head.request.isLast) return { requests, rest: body === text.length ? 'over' : 'unclear' };
    at = body;
  }
}

const headerLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e][\t\x20-\x7e]*)?$/;
const plainMethods = /^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/;

function isStartOfHead(text: string): boolean {
  return /^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) \/[\x21-\x7e]* HTTP\/1\.1\r\n(?:[\w-]+:[\t\x20-\x7e]*\r\n)*$/.test(
    text,
  );
}

function readHead(text: string): { request: FramedRequest; isChunked: boolean; length: number } | undefined {
  const [start = '', ...lines] = text.split('\r\n');
  const [, method = '', target = ''] = /^([A-Z]+) (\/[\x21-\x7e]*) HTTP\/1\.1$/.exec(start) ?? [];
  if (!plainMethods.test(method) || target.length > 8000 || text.length > 32_000) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value = ''] = headerLine.exec(line) ?? [];
    if (name === undefined || headers.has(name.toLowerCase())) return undefined;
    headers.set(name.toLowerCase(), value);
  }
  const coding = headers.get('transfer-encoding');
  const length = headers.get('content-length') ?? '0';
  const connection = headers.get('connection') ?? '';
  if (!headers.has('host') || headers.has('upgrade') || !/^(?:close)?$/.test(connection)) return undefined;
  if (!/^[0-9]{1,9}$/.test(length) || (coding !== undefined && (coding !== 'chunked' || length !== '0')))
    return undefined;
  if (coding !== undefined && headers.has('content-length')) return undefined;
  const hasBody = coding !== undefined || length !== '0';
  const mayEnd = hasBody || headers.has('expect');
  const [path = ''] = target.split('?');
  const request = { method, path, isLast: connection === 'close', mayEnd };
  return { request, isChunked: coding !== undefined, length: Number(length) };
}

function endOfChunks(text: string, start: number): number | 'part' | 'unclear' {
  for (let at = start; ;) {
    const lineEnd = text.indexOf('\r\n', at);
    if (lineEnd < 0) return /^[0-9a-f]{0,6}\r?$/i.test(text.slice(at)) ? 'part' : 'unclear';
    const line = text.slice(at, lineEnd);
    if (!/^[0-9a-f]{1,6}$/i.test(line)) return 'unclear';
    const size = Number.parseInt(line, 16);
    const dataEnd = lineEnd + 2 + size;
    if (dataEnd + 2 > text.length) return '\r\n'.startsWith(text.slice(dataEnd)) ? 'part' : 'unclear';
    if (!text.startsWith('\r\n', dataEnd)) return 'unclear';
    at = dataEnd + 2;
    if (size === 0) return at;
  }
}
