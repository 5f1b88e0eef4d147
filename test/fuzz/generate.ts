import { endpoints } from '../../src/protocol/tables/endpoints.js';
import { managementEndpoints } from '../../src/protocol/tables/management.js';
import { buildPath } from '../../src/protocol/tables/route-table.js';
import { assembleJwt } from '../support/access/forged-tokens.js';
import { formatDraft, setHeader, type Draft } from './draft.js';
import { bendBytes, bendDraft, hideRequest } from './mutations.js';
import type { Random } from './random.js';
import { ana, basic, secretTag, type SceneImage } from './scene.js';

/** What goes over one connection. */
export interface Case {
  /** Which of the servers. */
  readonly server: number;
  /** latin1: a character is a byte. */
  readonly text: string;
  /** The connection breaks after so many bytes. */
  readonly cutAt?: number;
}

export interface Material {
  readonly open: SceneImage;
  readonly secret: SceneImage;
  readonly anaToken: string;
}

const names = [
  'public/app',
  'public/app',
  'secret/x',
  'secret/x',
  'all/app',
  'all/x',
  'hub/public/app',
  'hub/private/x',
  'pass/public/app',
  'pass/public/app',
  'pass/private/x',
  'public/ana/app',
  'x',
  'nowhere/x',
];
const hosts = ['127.0.0.1', 'registry.example', 'secret.example', 'secret.example:5000', 'SECRET.example'];

/** The bytes for one connection: one request or a few, most of them bent in several ways. */
export function generateCase(random: Random, material: Material): Case {
  const server = random.int(2);
  const amount = random.chance(0.15) ? 2 + random.int(3) : 1;
  let text = '';
  for (let i = 0; i < amount; i++) {
    const draft = draftRequest(random, material);
    if (i === amount - 1) setHeader(draft, 'Connection', 'close');
    for (let bends = random.int(4); bends > 0; bends--) bendDraft(draft, random);
    text += formatDraft(draft);
  }
  // Alone, so that what is hidden cannot come out by another bend.
  if (random.chance(0.2)) text = hideRequest(draftRequest(random, material), random);
  else if (random.chance(0.15)) text = bendBytes(text, random);
  if (!random.chance(0.05)) return { server, text };
  return { server, text, cutAt: random.int(text.length) };
}

/** A valid request for a row of one of the tables. */
export function draftRequest(random: Random, material: Material): Draft {
  const row = random.chance(0.75) ? random.pick(endpoints) : random.pick(managementEndpoints);
  const path = buildPath(row.path, fillPlaceholders(random, material));
  const query = draftQuery(random, material);
  const draft: Draft = {
    method: row.method,
    target: query === '' ? path : `${path}?${query}`,
    version: 'HTTP/1.1',
    headers: [['Host', random.chance(0.7) ? '127.0.0.1' : random.pick(hosts)]],
    body: '',
    lineEnd: '\r\n',
  };
  const authorization = draftAuthorization(random, material);
  if (authorization !== undefined) setHeader(draft, 'Authorization', authorization);
  if (['POST', 'PUT', 'PATCH'].includes(row.method)) addBody(draft, random);
  return draft;
}

function fillPlaceholders(random: Random, { open, secret }: Material): Record<string, string> {
  const digest = random.pick([open.manifest, open.layer, secret.manifest, secret.layer, `sha256:${'0'.repeat(64)}`]);
  return {
    name: random.pick(names),
    image: random.pick(['app', 'x', 'ana/app']),
    digest,
    reference: random.pick(['latest', secretTag, digest, 'v1']),
    session: '00000000-0000-4000-8000-000000000000',
    repository: random.pick(['public', 'secret', 'hub', 'pass', 'all', 'mine']),
    account: random.pick(['ana', 'robot']),
    token: '0123456789abcdef',
    rule: '00000000-0000-4000-8000-000000000000',
  };
}

function draftQuery(random: Random, { secret }: Material): string {
  if (random.chance(0.6)) return '';
  return random.pick([
    'n=1',
    'n=-1&last=zzz',
    'ns=docker.io',
    'ns=docker.io&ns=quay.io',
    'ns=secret',
    'ns=127.0.0.1:1',
    `digest=${secret.layer}`,
    `mount=${secret.layer}&from=secret/x`,
    `mount=${secret.layer}`,
    `digest=${secret.layer}&mount=${secret.layer}&from=secret%2Fx`,
    'tag=stolen&tag=latest',
    'service=artifactapi&scope=repository:secret/x:pull&scope=registry:catalog:*',
    'scope=repository:secret/x:pull,push,delete%20repository:public/app:*&offline_token=true&account=root',
    'name=secret/x&reference=latest',
    'dry_run=true',
    '_method=DELETE&access_token=x',
    `${'a=1&'.repeat(random.int(3000))}b=2`,
  ]);
}

/** Mostly nobody; else ana in both ways, or somebody who is not what he says. */
function draftAuthorization(random: Random, { anaToken }: Material): string | undefined {
  if (random.chance(0.5)) return undefined;
  if (random.chance(0.3)) return basic(ana);
  if (random.chance(0.2)) return `Bearer ${anaToken}`;
  const [header = '', payload = '', signature = ''] = anaToken.split('.');
  const root = { iss: 'artifactapi', sub: 'root', aud: 'artifactapi', exp: 9_999_999_999, access: [] };
  return random.pick([
    'Basic',
    'Basic !!!!',
    'Basic YW5h',
    'Basic YW5hOg==',
    'Basic Og==',
    'Basic AAAA',
    `Basic ${Buffer.from('root:\0battery').toString('base64')}`,
    `Basic ${Buffer.from('root:wrong').toString('base64')}`,
    `Basic ${Buffer.from(`ana:aat_${'0'.repeat(16)}_${'A'.repeat(43)}`).toString('base64')}`,
    `Basic ${Buffer.from('anonymous:anonymous').toString('base64')}`,
    `Basic ${'A'.repeat(random.int(40_000))}`,
    'Negotiate AAAA',
    'Bearer',
    'Bearer ...',
    `Bearer aat_${'0'.repeat(16)}_${'A'.repeat(43)}`,
    `Bearer ${assembleJwt({ alg: 'none', typ: 'JWT' }, root, '')}`,
    `Bearer ${assembleJwt({ alg: 'HS256', typ: 'JWT' }, root, signature)}`,
    `Bearer ${header}.${Buffer.from(JSON.stringify(root)).toString('base64url')}.${signature}`,
    `Bearer ${header}.${payload}.`,
    `Bearer ${header}.${payload}.${signature.slice(0, -4)}`,
    `Bearer ${header}.${payload}.${signature}.${signature}`,
    `Bearer ${header}.${payload}x.${signature}`,
    `Bearer ${'A'.repeat(random.int(30_000))}.B.C`,
    `Bearer ${header}.e30.${signature}`,
  ]);
}

function addBody(draft: Draft, random: Random): void {
  const [type, body] = random.pick([
    ['application/octet-stream', 'some bytes'],
    ['application/octet-stream', ''],
    ['application/vnd.oci.image.manifest.v1+json', '{"schemaVersion":2}'],
    ['application/vnd.oci.image.index.v1+json', '{"schemaVersion":2,"manifests":[]}'],
    ['application/json', '{"name":"mine","package_type":"docker","repo_type":"local"}'],
    ['application/json', '{"anonymous":true,"allow":["pull"]}'],
    ['application/json', '['.repeat(5000)],
    [
      'application/x-www-form-urlencoded',
      'grant_type=password&username=root&password=wrong&scope=repository:secret/x:pull',
    ],
    ['application/x-www-form-urlencoded', 'grant_type=password&username=&password=&scope=repository:secret/x:pull'],
    ['application/x-www-form-urlencoded', 'grant_type=refresh_token&refresh_token=a.b.c'],
  ] as const);
  draft.body = body;
  setHeader(draft, 'Content-Type', type);
  if (random.chance(0.7)) return setHeader(draft, 'Content-Length', String(body.length));
  setHeader(draft, 'Transfer-Encoding', 'chunked');
  draft.body = `${body === '' ? '' : `${body.length.toString(16)}\r\n${body}\r\n`}0\r\n\r\n`;
}
