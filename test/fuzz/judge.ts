import { inspect } from 'node:util';
import type { RequestEvent } from '../../src/index.js';
import { managementEndpoints } from '../../src/protocol/tables/management.js';
import type { LogLine } from '../support/servers/registry.js';
import { parseAnswers, type ParsedAnswer } from './answers.js';
import { hiddenName } from './mutations.js';
import type { RecordedRequest } from './recording-upstream.js';
import { ana, basic, marker, secretTag, type Scene } from './scene.js';
import type { Exchanged, ParsedRequest } from './wire.js';

/** What an upstream may be told, besides what the client asks for. */
const upstreamHeaders = new Set([
  'accept',
  'accept-encoding',
  'connection',
  'host',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'range',
  'user-agent',
  'via',
]);
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const digest = 'sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})';
const place = `manifests/(?:[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}|${digest})|blobs/${digest}|referrers/${digest}|tags/list`;
/** By which we find out how an upstream wants to be asked. */
const versionCheck = 'GET /v2/ HTTP/1.1';
/** Written down by hand, and not made of the tables: those are what is tested. */
const upstreamLine = new RegExp(
  `^(?:GET|HEAD) /v2/${component}(?:/${component})*/(?:${place})(?:\\?[\\x21-\\x7e]*)? HTTP/1\\.1$`,
);

/** What is wrong with the answers to one case; nothing, when all is well. */
export function judgeExchange({ sent, received, requests }: Exchanged, scene: Scene, anaToken: string): string[] {
  const problems: string[] = [];
  // Base64 is read without its padding too.
  const isFromAna = sent.text.includes(basic(ana).replace(/=+$/, '')) || sent.text.includes(anaToken);
  for (const { url } of requests) {
    if (url.includes(hiddenName)) problems.push(`a body was taken for a request: ${url}`);
  }
  if (received.includes(marker)) problems.push('it shows what is secret');
  try {
    for (const answer of parseAnswers(received)) {
      problems.push(...judgeAnswer(answer, sent.text, scene));
      const event = scene.events.get(answer.headers.get('x-request-id') ?? '');
      if (event !== undefined) problems.push(...judgeEvent(event, isFromAna));
    }
  } catch (error) {
    problems.push(`what came is no HTTP: ${(error as Error).message}`);
  }
  return problems;
}

/** What is wrong with what was done for a request. */
export function judgeEvent({ principal, op, status, clientAddress }: RequestEvent, isFromAna: boolean): string[] {
  const problems: string[] = [];
  if (principal !== '' && principal !== 'anonymous' && !(principal === 'ana' && isFromAna)) {
    problems.push(`it was taken for ${principal}`);
  }
  if (clientAddress !== '127.0.0.1') problems.push(`it was believed to come from ${clientAddress}`);
  const isWrite = /^(?:upload|manifest\.put|manifest\.delete|blob\.delete)/.test(op);
  if (isWrite && principal !== 'ana' && status < 400) problems.push(`${op} by nobody was answered ${status}`);
  const access = managementEndpoints.find((row) => row.op === op)?.access;
  // Nobody here is an administrator. Anyone may browse what anyone may pull.
  const isForOthers = access === 'admin' || access === 'monitor' || (access === 'login' && principal !== 'ana');
  if (isForOthers && status < 400) problems.push(`${op} by ${principal} was answered ${status}`);
  return problems;
}

function judgeAnswer({ status, headers, body }: ParsedAnswer, sent: string, { secret }: Scene): string[] {
  const problems: string[] = [];
  if (status === 500) problems.push(`it was answered 500: ${body.slice(0, 200)}`);
  const told = [...headers].map(([name, value]) => `${name}: ${value}`).join('\n');
  const hidden = [secret.manifest, secret.layer, secretTag];
  // What the client said itself may come back in an error.
  if (hidden.some((one) => `${told}\n${body}`.includes(one) && !(status >= 400 && decodeRoughly(sent).includes(one)))) {
    problems.push(`an answer ${status} names what is secret`);
  }
  if (status < 400 && /"secret(?:\/x)?"|repository:secret/.test(body)) problems.push('an answer lists what is secret');
  return problems;
}

function decodeRoughly(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** What is wrong with what upstreams were asked, by the requests that came. */
export function judgeUpstreams(
  { passed, cached }: { passed: readonly RecordedRequest[]; cached: readonly RecordedRequest[] },
  requests: readonly ParsedRequest[],
): string[] {
  const problems: string[] = [];
  for (const { line, headers } of [...passed, ...cached]) {
    if (line !== versionCheck && !upstreamLine.test(line))
      problems.push(`an upstream was asked ${JSON.stringify(line)}`);
    if (line.includes('/private/')) problems.push(`an upstream was asked for what nobody may pull: ${line}`);
    if (line.includes(hiddenName)) problems.push(`an upstream got what was hidden in a body: ${line}`);
    const names = headers.map(([name]) => name);
    const strays = names.filter((name, at) => !upstreamHeaders.has(name) || names.indexOf(name) !== at);
    if (strays.length > 0) problems.push(`an upstream was told ${strays.join(', ')}`);
  }
  // Each for a request that came, and not one more, except that a GET may follow a HEAD that was not answered with 200.
  const expected = requests.map(expectForward).flatMap((line) => (line === undefined ? [] : mayFollow(line)));
  for (const { line } of passed.filter(({ line }) => line !== versionCheck)) {
    const at = expected.indexOf(line.replace(/\?.* | HTTP\/1\.1$/, (tail) => (tail.startsWith('?') ? ' ' : tail)));
    if (at < 0) problems.push(`nobody asked for ${line}`);
    else expected.splice(at, 1);
  }
  return problems;
}

function mayFollow(line: string): readonly string[] {
  return line.startsWith('HEAD ') ? [line, line.replace('HEAD', 'GET')] : [line];
}

/** The line by which a pass-through asks its upstream, without a query; read from the right, as the table is. */
function expectForward({ method, url }: ParsedRequest): string | undefined {
  const path = url.replace(/^https?:\/\/[^/?#]*/i, '').replace(/\?.*$/s, '');
  const [, name, kind, reference] = /^\/v2\/(.+)\/(manifests|blobs|referrers|tags)\/([^/]+)$/s.exec(path) ?? [];
  if (name === undefined || kind === undefined || reference === undefined) return undefined;
  try {
    const [repository, ...image] = decodeURIComponent(name).split('/');
    if (repository !== 'pass') return undefined;
    return `${method} /v2/${image.join('/')}/${kind}/${decodeURIComponent(reference)} HTTP/1.1`;
  } catch {
    return undefined;
  }
}

/** What is wrong with what was logged. */
export function judgeLog(lines: readonly LogLine[]): string[] {
  return lines.flatMap(({ level, message, fields }) => {
    // 508 is what a `Via` that is too long gets.
    const isFault = level === 'error' || (level === 'warn' && 'status' in fields && fields.status !== 508);
    return isFault ? [`logged: ${message} ${inspect(fields, { breakLength: Infinity })}`] : [];
  });
}

/** What is in the index that nobody but root may change. */
export async function takeSnapshot({ metadata }: Scene): Promise<string> {
  const kept: unknown[] = [await metadata.repositories()];
  for (const kind of ['account', 'account-token', 'rule'] as const) kept.push(await metadata.documents(kind));
  for (const repository of ['public', 'secret', 'all', 'pass']) {
    const { items } = await metadata.images(repository, { limit: 1000 });
    for (const { image } of items.filter(({ image }) => !image.startsWith('ana/'))) {
      kept.push(repository, image, await metadata.image({ repository, image }));
      kept.push(await metadata.tags({ repository, image }, { limit: 1000 }));
    }
  }
  for await (const { at } of metadata.sessions()) if (!at.image.startsWith('ana/')) kept.push(at);
  return JSON.stringify(kept);
}
