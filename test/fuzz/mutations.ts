import { formatDraft, setHeader, type Draft } from './draft.js';
import type { Random } from './random.js';

/** What a hidden request asks for: whoever sees this name took the body of a request for another one. */
export const hiddenName = 'smuggled';
const hiddenRequest = [
  `GET /v2/pass/public/${hiddenName}/manifests/${hiddenName} HTTP/1.1`,
  'Host: 127.0.0.1',
  'Connection: close',
  '',
  '',
].join('\r\n');

type Bend = (draft: Draft, random: Random) => void;

/** Bends a request in one way. */
export function bendDraft(draft: Draft, random: Random): void {
  random.pick(bends)(draft, random);
}

const pathBends: readonly ((path: string, random: Random) => string)[] = [
  (path, random) => replaceSlash(path, random, '%2f'),
  (path, random) => replaceSlash(path, random, '%2F'),
  (path, random) => replaceSlash(path, random, '%252f'),
  (path, random) => replaceSlash(path, random, '//'),
  (path, random) => replaceSlash(path, random, '/./'),
  (path, random) => replaceSlash(path, random, '/%2e/'),
  (path, random) => replaceSlash(path, random, '/x/../'),
  (path, random) => replaceSlash(path, random, '/x/%2e%2e/'),
  (path, random) => replaceSlash(path, random, '/..%2f'),
  (path, random) => replaceSlash(path, random, '\\'),
  (path, random) => replaceSlash(path, random, '/%5c'),
  (path, random) => replaceSlash(path, random, '%c0%af'),
  (path, random) => replaceSlash(path, random, '/\xc0\xae\xc0\xae/'),
  (path, random) => replaceSlash(path, random, ';a=b/'),
  (path, random) => replaceSlash(path, random, '%00/'),
  (path, random) => replaceSlash(path, random, '/%0d%0a/'),
  (path) => `/.${path}`,
  (path) => `/${path}`,
  (path) => `/v2/..${path}`,
  (path) => `/public/..${path}`,
  (path) => path.replace('/v2', '/V2'),
  (path) => path.replace('/v2', '/%76%32'),
  (path) => path.replace('secret/x', 'public/app/../../secret/x'),
  (path) => path.replace('secret/x', 'public/app%2f..%2f..%2fsecret%2fx'),
  (path) => path.replace('secret/x', 'public%2f%2e%2e%2fsecret/x'),
  (path) => path.replace('secret', 'SECRET'),
  (path) => path.replace('secret', '%73ecret'),
  (path) => path.replace('public', 'public%2f..%2fsecret'),
  (path) => path.replace('pass/public', 'pass/public/../private'),
  (path) => path.replace('pass/public/app', 'pass/public%2f..%2fprivate%2fx'),
  (path) => `${path}/`,
  (path) => `${path};jsessionid=1`,
  (path) => `${path}%20`,
  (path) => `${path}%23fragment`,
  (path) => `${path}#fragment`,
  (path) => `${path}%3fns=docker.io`,
  (path) => `${path}.json`,
  (path) => path.slice(1),
  (path, random) => path.slice(0, random.int(path.length)),
  (path, random) => path + '/a'.repeat(random.int(2000)),
];

const authorities = [
  '127.0.0.1',
  'user:password@127.0.0.1',
  'secret.example',
  'secret.example@127.0.0.1',
  '127.0.0.1@secret.example',
  'secret.example:80:80',
  '[::1]',
  '',
  '127.0.0.1\\@secret.example',
  '[',
];

/** Names that some software takes for an order to do something else, or to somebody else. */
const strayHeaders: readonly (readonly [name: string, value: string])[] = [
  ['X-Forwarded-For', '10.9.8.7'],
  ['X-Forwarded-Host', 'secret.example'],
  ['X-Forwarded-Proto', 'https'],
  ['X-Forwarded-Prefix', '/v2/secret'],
  ['Forwarded', 'for=10.9.8.7;host=secret.example'],
  ['X-Real-IP', '10.9.8.7'],
  ['X-Original-URL', '/v2/secret/x/tags/list'],
  ['X-Rewrite-URL', '/v2/secret/x/tags/list'],
  ['X-HTTP-Method-Override', 'DELETE'],
  ['X-Method-Override', 'DELETE'],
  ['X-Remote-User', 'root'],
  ['X-Forwarded-User', 'root'],
  ['Remote-User', 'root'],
  ['X-Request-Id', 'chosen'],
  ['Cookie', 'session=root'],
  ['Proxy-Authorization', 'Basic cm9vdDpyb290'],
  ['Origin', 'https://evil.example'],
  ['Range', 'bytes=0-'],
  ['Range', 'bytes=9-1,-0,99999999999999999999-'],
  ['Range', `bytes=${'0-0,'.repeat(500)}0-0`],
  ['Content-Range', '0-99999999999999999999'],
  ['Content-Range', 'bytes -1-/*'],
  ['If-None-Match', '*'],
  ['If-None-Match', `"${'x'.repeat(5000)}`],
  ['If-Modified-Since', 'yesterday'],
  ['Accept', `${'application/vnd.oci.image.manifest.v1+json, '.repeat(100)}*/*;q=zero`],
  ['Accept-Encoding', 'gzip, br'],
  ['Expect', '100-continue'],
  ['Expect', 'miracles'],
  ['Upgrade', 'websocket'],
  ['Upgrade', 'h2c'],
  ['Connection', 'Upgrade'],
  ['Connection', 'close, Authorization, Content-Length, Host'],
  ['Via', `1.1 ${'hop, 1.1 '.repeat(50)}end`],
  ['Via', '1.1 \xff\xfe'],
  ['TE', 'trailers'],
  ['Trailer', 'Authorization'],
  ['Content-Encoding', 'gzip'],
  ['Content-Type', '\xe9;;;='],
  ['Host', 'secret.example'],
  ['Content-Length', '0'],
  ['Content-Length', '5'],
  ['Content-Length', '-1'],
  ['Content-Length', '5, 5'],
  ['Content-Length', '0x5'],
  ['Content-Length', '99999999999'],
  ['Transfer-Encoding', 'chunked'],
  ['Transfer-Encoding', 'gzip, chunked'],
  ['Transfer-Encoding', 'identity'],
  ['Authorization', 'Basic Og=='],
  ['Authorization', 'Bearer e30.e30.'],
  ['X Space', 'in the name'],
  ['X-Null\0', 'x'],
  ['X-Folded', 'first\r\n second'],
  ['X-Injected', 'a\nAuthorization: Basic cm9vdDpyb290'],
  ['X-Injected', 'a\rX: b'],
  ['', 'no name'],
  ['X-High', '\x80\xff'],
];

const methods = [
  'get',
  'gEt',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'PROPFIND',
  'PURGE',
  'QUERY',
  'PRI',
  'HEAD',
  'DELETE',
  'A',
];

const bends: readonly Bend[] = [
  bendPath,
  bendPath,
  bendPath,
  bendPath,
  (draft, random) => void draft.headers.push([...random.pick(strayHeaders)]),
  (draft, random) => void draft.headers.push([...random.pick(strayHeaders)]),
  (draft, random) => void draft.headers.push([...random.pick(strayHeaders)]),
  (draft, random) => void draft.headers.unshift([...random.pick(strayHeaders)]),
  (draft, random) =>
    void (draft.target = `${random.pick(['http', 'HTTPS', 'ftp', 'file'])}://${random.pick(authorities)}${draft.target}`),
  (draft, random) =>
    void (draft.target = random.pick(['*', '127.0.0.1:80', 'secret.example:443', '/', '?', '//', 'http:'])),
  (draft, random) => void (draft.method = random.pick(methods)),
  (draft, random) =>
    void (draft.version = random.pick(['HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/1.1 ', '', 'http/1.1'])),
  (draft, random) =>
    setHeader(draft, 'Host', random.pick(['', 'a b', 'secret.example', '"><', 'x'.repeat(9000), '[::1'])),
  (draft) => void (draft.headers = draft.headers.filter(([name]) => name !== 'Host')),
  (draft) => void draft.headers.push(['X-Huge', 'x'.repeat(70_000)]),
  (draft) => void draft.headers.push(...Array.from({ length: 250 }, (): [string, string] => ['X', '1'])),
  (draft, random) => void (draft.lineEnd = random.pick(['\n', '\r', '\n\r', '\r\n\r\n'])),
  (draft, random) => void (draft.body = draft.body.slice(0, random.int(draft.body.length + 1))),
  (draft) => void (draft.body += 'more than was announced'),
];

function bendPath(draft: Draft, random: Random): void {
  const [path = '', ...query] = draft.target.split('?');
  draft.target = [random.pick(pathBends)(path, random), ...query].join('?');
}

function replaceSlash(path: string, random: Random, by: string): string {
  const slashes = [...path.matchAll(/\//g)].map(({ index }) => index);
  const at = random.pick(slashes.length === 0 ? [0] : slashes);
  return path.slice(0, at) + by + path.slice(at + 1);
}

/** Changes, drops, doubles or inserts a few bytes anywhere. */
export function bendBytes(text: string, random: Random): string {
  let bent = text;
  for (let times = 1 + random.int(3); times > 0; times--) {
    const at = random.int(bent.length);
    const byte = String.fromCodePoint(random.pick([0, 9, 10, 11, 13, 32, 37, 47, 58, 127, 128, 255, random.int(256)]));
    const kept = random.pick([bent.slice(at), bent.slice(at + 1), bent.slice(Math.max(0, at - 8))]);
    bent = bent.slice(0, at) + random.pick(['', byte, byte]) + kept;
  }
  return bent;
}

const chunk = `${hiddenRequest.length.toString(16)}\r\n${hiddenRequest}\r\n0\r\n\r\n`;
const length = String(hiddenRequest.length);

/** Bodies that hold a request: framed well, so that it is a body, or so that the whole has to be refused. */
const disguises: readonly (readonly [headers: readonly (readonly [string, string])[], body: string])[] = [
  [[['Content-Length', length]], hiddenRequest],
  [[['Transfer-Encoding', 'chunked']], chunk],
  [[['Transfer-Encoding', 'Chunked']], chunk],
  [[['Transfer-Encoding', 'chunked']], chunk.replace('\r\n', ';a="b\r\n')],
  [[['Transfer-Encoding', 'chunked']], chunk.replace('\r\n', ' \r\n')],
  [[['Transfer-Encoding', 'chunked']], chunk.replace('\r\n', ';\n\r\n')],
  [[['Transfer-Encoding', 'chunked']], chunk.replace('\r\n', '\n')],
  [[['Transfer-Encoding', 'chunked']], `0x${chunk}`],
  [[['Transfer-Encoding', 'chunked']], `-1\r\n${chunk}`],
  [[['Transfer-Encoding', 'chunked']], `ffffffffffffffff1\r\n${hiddenRequest}`],
  [[['Transfer-Encoding', 'chunked']], `1\r\nab\r\n0\r\n\r\n${hiddenRequest}`],
  [
    [
      ['Content-Length', '0'],
      ['Transfer-Encoding', 'chunked'],
    ],
    `0\r\n\r\n${hiddenRequest}`,
  ],
  [
    [
      ['Transfer-Encoding', 'chunked'],
      ['Content-Length', '5'],
    ],
    `0\r\n\r\n${hiddenRequest}`,
  ],
  [
    [
      ['Content-Length', '0'],
      ['Content-Length', length],
    ],
    hiddenRequest,
  ],
  [
    [
      ['Content-Length', length],
      ['Content-Length', '0'],
    ],
    hiddenRequest,
  ],
  [[['Content-Length', `0, ${length}`]], hiddenRequest],
  [[['Content-Length', `+0`]], hiddenRequest],
  [[['Content-Length', '0 1']], hiddenRequest],
  [
    [
      ['Content-Length', length],
      ['Connection', 'close, Content-Length'],
    ],
    hiddenRequest,
  ],
  [
    [
      ['Content-Length', '0'],
      ['Transfer-Encoding', '\x0bchunked'],
    ],
    hiddenRequest,
  ],
  [[['Transfer-Encoding', 'xchunked']], hiddenRequest],
  [[['Transfer-Encoding', 'identity']], hiddenRequest],
  [[['Transfer-Encoding', 'chunked, identity']], hiddenRequest],
  [
    [
      ['Transfer-Encoding', 'chunked'],
      ['Transfer-Encoding', 'identity'],
    ],
    hiddenRequest,
  ],
  [[['Transfer-Encoding ', 'chunked']], hiddenRequest],
  [[['Transfer-Encoding', '\r\n chunked']], hiddenRequest],
  [[['X', 'y\r\n\tTransfer-Encoding: chunked']], hiddenRequest],
  [[['X', `y\nContent-Length: ${length}`]], hiddenRequest],
];

/** A request of any method with another one in its body. */
export function hideRequest(draft: Draft, random: Random): string {
  const [headers, body] = random.pick(disguises);
  draft.headers = draft.headers.filter(([name]) => !/^(?:content-length|transfer-encoding|expect)$/i.test(name));
  if (random.chance(0.5)) draft.headers.push(...headers.map(([name, value]): [string, string] => [name, value]));
  else draft.headers.unshift(...headers.map(([name, value]): [string, string] => [name, value]));
  draft.body = body;
  return formatDraft(draft);
}
