import type { Random } from './random.js';
import type { Bend, BentAnswer, Place } from './upstream-script.js';

/** What a client asks a registry for, and how the upstream behind it answers. */
export interface UpstreamInput {
  readonly asks: readonly Ask[];
  /** Each is given once, to the next request for its place; then all answers are right. */
  readonly answers: readonly BentAnswer[];
  readonly blobBytes: number;
}

export interface Ask {
  /** `hub` is a cache, `pass` a pass-through, `sent` one that hands redirects to the client, `all` a virtual of the first two. */
  readonly repository: string;
  readonly method: string;
  readonly what: string;
}

const places: readonly Place[] = [
  'ping',
  'realm',
  'manifest',
  'manifest',
  'blob',
  'blob',
  'tags',
  'referrers',
  'elsewhere',
];
const statuses = [
  '200 OK',
  '201 Created',
  '204 No Content',
  '206 Partial Content',
  '304 Not Modified',
  '400 Bad Request',
  '401 Unauthorized',
  '403 Forbidden',
  '404 Not Found',
  '405 Method Not Allowed',
  '407 Proxy Authentication Required',
  '416 Range Not Satisfiable',
  '429 Too Many Requests',
  '500 Internal Server Error',
  '502 Bad Gateway',
  '503 Service Unavailable',
  '599 ',
  '999 Odd',
];
const redirects = ['301 Moved', '302 Found', '303 See Other', '307 Temporary Redirect', '308 Permanent Redirect'];
const targets = [
  'http://{foreign}/else?sig=SIGNED-SECRET',
  'http://{near}/else?sig=SIGNED-SECRET',
  'http://{up}/else?sig=SIGNED-SECRET',
  'http://user:pw@{foreign}/else',
  'http://169.254.169.254/latest/meta-data',
  '/else',
  '//{foreign}/else',
  '?again',
  '#x',
  'file:///etc/passwd',
  'http://[',
  '',
  'javascript:alert(1)',
];
const challenges = [
  'Bearer realm="http://{up}/realm",service="up",scope="repository:app:pull"',
  'Bearer realm="http://{up}/realm"',
  'Bearer realm="http://{near}/realm",service="near"',
  'Bearer realm="http://{foreign}/realm",service="foreign",scope="repository:app:pull"',
  'Bearer realm="http://u:p@{up}/realm"',
  'Bearer realm="/realm"',
  'Bearer realm=""',
  'Bearer',
  'Basic realm="x"',
  'Basic realm="x", Bearer realm="http://{foreign}/realm"',
  'Negotiate, Digest realm="x"',
  'Bearer realm="http://{up}/realm",scope="registry:catalog:* repository:private:push"',
  '\\"=,,,==',
];
const bodies = [
  '',
  '{}',
  '[]',
  'null',
  '7',
  '"x"',
  '<html>log in</html>',
  '{"errors":[{"code":"UNAUTHORIZED","message":"TOP-SECRET-7f3a9c"}]}',
  '{"errors":[{"code":"DENIED"}]}',
  '{"errors":[{"code":"__proto__"}]}',
  '{"token":""}',
  '{"token":"a b"}',
  '{"token":"x\\r\\nX: y"}',
  '{"token":7,"access_token":"second","expires_in":-1}',
  '{"token":"other","expires_in":1e400}',
  '{"tags":null}',
  '{"tags":["latest",7,null,"..","a/b",{}]}',
  '{"name":"app","tags":{"0":"a"}}',
  '{"manifests":null}',
  '{"manifests":[null,{"digest":"sha256:0"},{"digest":"{manifest}","mediaType":"a","size":-1}]}',
  '{"manifests":[{"digest":"{manifest}","mediaType":"a","size":3,"annotations":{"a":"b"}}]}',
  '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}',
  '\u00ff\u00fe\u0000',
];
const headers: readonly (readonly [name: string, values: readonly string[]])[] = [
  [
    'Content-Type',
    ['text/html', 'application/json', 'image/svg+xml', '', 'application/vnd.oci.image.index.v1+json', 'x'.repeat(500)],
  ],
  [
    'Docker-Content-Digest',
    ['sha256:0', '{blob}', '{manifest}', `sha256:${'0'.repeat(64)}`, `sha512:${'a'.repeat(128)}`, ''],
  ],
  ['Content-Length', ['0', '1', '99999999999', '-1', 'x', '5, 5']],
  ['Content-Range', ['bytes 0-0/1', 'bytes 5-1/3', 'bytes */*', 'bytes 1-9999999/10000000', 'x']],
  [
    'Link',
    [
      '</v2/app/tags/list?n=1&last=a>; rel="next"',
      '<http://{foreign}/v2/app/tags/list>; rel="next"',
      '</v2/other/tags/list>; rel=next',
      '<>; rel="next"',
      '<http://[>; rel="next"',
      '<?n=1>; rel="next"',
      '<x>'.repeat(2000),
    ],
  ],
  ['Location', targets],
  ['WWW-Authenticate', challenges],
  ['Retry-After', ['0', '99999', '-1', 'soon', 'Fri, 31 Dec 9999 23:59:59 GMT']],
  ['RateLimit-Limit', ['0;w=0', '100;w=21600', 'x', '9'.repeat(400)]],
  ['RateLimit-Remaining', ['0;w=21600', '-5', 'x']],
  ['Content-Encoding', ['gzip', 'br', 'identity']],
  ['Transfer-Encoding', ['gzip', 'chunked']],
  ['Set-Cookie', ['session=TOP-SECRET-7f3a9c']],
  ['X-Accel-Redirect', ['/etc/passwd']],
  ['Content-Disposition', ['inline; filename=x.html']],
  ['Connection', ['close', 'Docker-Content-Digest', 'upgrade']],
  ['ETag', ['"x"', 'W/"', '"\u00ff"']],
  ['OCI-Subject', ['{manifest}', 'x']],
  ['Docker-Odd', ['x\ty', 'x'.repeat(20_000)]],
];

export function generateUpstreamInput(random: Random): UpstreamInput {
  const repository = (): string => random.pick(['hub', 'hub', 'pass', 'sent', 'all']);
  const of = repository();
  const asks = Array.from({ length: 1 + random.int(3) }, () => ({
    repository: random.chance(0.8) ? of : repository(),
    ...(random.chance(0.25)
      ? { method: 'HEAD', what: random.pick(['tag', 'digest', 'blob']) }
      : {
          method: 'GET',
          what: random.pick(['tag', 'tag', 'digest', 'blob', 'blob', 'part', 'tags', 'page', 'referrers']),
        }),
  }));
  const answers = Array.from({ length: random.int(6) }, () => bentAnswer(random));
  return { asks, answers, blobBytes: random.pick([0, 1, 100, 5000, 70_000, 300_000]) };
}

function bentAnswer(random: Random): BentAnswer {
  if (random.chance(0.2)) {
    const challenge: Bend = { op: 'header', name: 'WWW-Authenticate', value: random.pick(challenges) };
    return { at: random.pick(places), bends: [{ op: 'status', status: '401 Unauthorized' }, challenge] };
  }
  if (random.chance(0.2)) {
    const location: Bend = { op: 'header', name: 'Location', value: random.pick(targets) };
    return { at: random.pick(places), bends: [{ op: 'status', status: random.pick(redirects) }, location] };
  }
  return { at: random.pick(places), bends: Array.from({ length: 1 + random.int(3) }, () => bend(random)) };
}

function bend(random: Random): Bend {
  switch (random.int(14)) {
    case 0:
    case 1:
      return { op: 'status', status: random.pick(statuses) };
    case 2:
    case 3:
    case 4:
    case 5: {
      const [name, values] = random.pick(headers);
      return { op: 'header', name, value: random.pick(values) };
    }
    case 6:
      return { op: 'drop', name: random.pick(['Content-Type', 'Docker-Content-Digest', 'Content-Range']) };
    case 7:
    case 8:
      return { op: 'body', body: random.pick(bodies) };
    case 9:
      return { op: 'cut', percent: random.int(100) };
    case 10:
      return random.chance(0.15) ? { op: 'fill', bytes: random.pick([70_000, 300_000, 5_000_000]) } : { op: 'chunked' };
    case 11:
      return { op: 'nest', depth: random.pick([2, 100, 20_000]) };
    case 12:
      return random.pick<Bend>([{ op: 'reset' }, { op: 'close' }, { op: 'pieces' }, { op: 'chunked' }]);
    default:
      return {
        op: 'raw',
        text: random.pick([
          '',
          'HTTP/1.1 200 OK\r\n',
          'SSH-2.0-OpenSSH_9.2\r\n',
          'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}',
          'HTTP/1.1 200 OK\r\n\r\n{"token":"to-the-end"}',
          'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n',
          `HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(3000)}\r\n`,
          `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`,
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\nx',
          'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
          'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
        ]),
      };
  }
}
