import { createHash } from 'node:crypto';
import { formatDraft, setHeader, type Draft } from './draft.js';
import { draftRequest, type Material } from './generate.js';
import type { Random } from './random.js';

/** What goes over one connection, and how it ends. */
export interface Pipeline {
  /** latin1, one request each and so many times. */
  readonly requests: readonly { readonly text: string; readonly times: number }[];
  /** In how many writes the bytes go out. */
  readonly writes: number;
  /**
   * `keep`: the client waits for every answer. `half`: it closes its side after the last byte and reads on. `leave`: it is
   * gone in the middle. `deaf`: it never reads.
   */
  readonly end: 'keep' | 'half' | 'leave' | 'deaf';
}

const last = 'GET /v2/public/app/manifests/latest HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n';

/** The bytes of a pipeline. A client that keeps its connection asks one thing more, so that the end of it can be seen. */
export function textOf({ requests, end }: Pipeline): string {
  return requests.map(({ text, times }) => text.repeat(times)).join('') + (end === 'keep' ? last : '');
}

export function generatePipeline(random: Random, material: Material): Pipeline {
  const requests = Array.from({ length: 1 + random.int(random.chance(0.1) ? 40 : 6) }, () => ({
    text: requestText(random, material),
    times: random.chance(0.01) ? 1 + random.int(400) : 1,
  }));
  const end = random.pick(['keep', 'keep', 'keep', 'half', 'half', 'leave', 'deaf'] as const);
  return { requests, writes: random.pick([1, 1, 2, 3, 10]), end };
}

function requestText(random: Random, material: Material): string {
  const draft = random.chance(0.5) ? plainRequest(random, material) : draftRequest(random, material);
  if (random.chance(0.3)) random.pick(faults)(draft, random);
  return formatDraft(draft);
}

/** One that is answered well, most often. */
function plainRequest(random: Random, { open, anaToken }: Material): Draft {
  const bytes = 'x'.repeat(random.pick([0, 1, 100, 3000, 40_000]));
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const [method, target, body] = random.pick([
    ['GET', '/v2/', ''],
    ['GET', '/v2/public/app/manifests/latest', ''],
    ['HEAD', '/v2/public/app/manifests/latest', ''],
    ['GET', `/v2/public/app/blobs/${open.layer}`, ''],
    ['HEAD', `/v2/public/app/blobs/${open.layer}`, ''],
    ['GET', `/v2/public/app/manifests/n${random.int(1000)}`, ''],
    ['GET', '/v2/pass/public/app/manifests/latest', ''],
    ['GET', '/v2/hub/public/app/tags/list', ''],
    ['GET', '/healthz', ''],
    ['GET', `/nowhere/${random.int(1000)}`, ''],
    ['POST', `/v2/public/ana/app/blobs/uploads/?digest=${digest}`, bytes],
    ['POST', '/v2/public/ana/app/blobs/uploads/', ''],
    ['PUT', '/v2/public/ana/app/manifests/v1', bytes],
  ] as const);
  const draft: Draft = { method, target, version: 'HTTP/1.1', headers: [['Host', '127.0.0.1']], body, lineEnd: '\r\n' };
  if (method === 'POST' || method === 'PUT') {
    if (random.chance(0.8)) setHeader(draft, 'Authorization', `Bearer ${anaToken}`);
    if (random.chance(0.7)) setHeader(draft, 'Content-Length', String(body.length));
    else chunk(draft, random);
  }
  return draft;
}

function chunk(draft: Draft, random: Random): void {
  const sizes = random.pick([1000, 20_000, 100_000]);
  const parts = draft.body.match(new RegExp(`[^]{1,${sizes}}`, 'g')) ?? [];
  setHeader(draft, 'Transfer-Encoding', 'chunked');
  draft.body = `${parts.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('')}0\r\n\r\n`;
}

const faults: readonly ((draft: Draft, random: Random) => void)[] = [
  (draft, random) => setHeader(draft, 'Content-Length', String(Math.max(0, draft.body.length + random.int(60) - 30))),
  (draft, random) =>
    setHeader(draft, 'Content-Length', random.pick(['-1', '1e3', '0x10', '5, 5', '99999999999999999999'])),
  (draft, random) => void (draft.body = draft.body.slice(0, random.int(draft.body.length + 1))),
  (draft, random) => void (draft.body += random.pick(['\r\n', '\r\n\r\n', 'x', 'GET', '0\r\n\r\n'])),
  (draft) => setHeader(draft, 'Expect', '100-continue'),
  (draft) => setHeader(draft, 'Expect', '100-continue'),
  (draft) => setHeader(draft, 'Expect', 'miracles'),
  (draft) => setHeader(draft, 'Connection', 'close'),
  (draft) => setHeader(draft, 'Connection', 'keep-alive, Upgrade'),
  (draft) => setHeader(draft, 'Transfer-Encoding', 'gzip'),
  (draft) => void (draft.version = 'HTTP/1.0'),
  (draft) => void (draft.version = 'HTTP/2.0'),
  (draft, random) => void (draft.method = random.pick(['BREW', 'get', 'CONNECT', 'OPTIONS', 'TRACE'])),
  (draft) => void (draft.headers = []),
  (draft) => void draft.headers.push(['Host', 'other.example']),
  (draft) => void draft.headers.push(['X-Huge', 'x'.repeat(70_000)]),
  (draft) => void draft.headers.push(['X Space', 'in the name']),
  (draft, random) => void (draft.target += `?${'a'.repeat(random.pick([10, 9000]))}`),
];
