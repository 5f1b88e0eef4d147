import type { Answer } from '../support/clients/client.js';
import { digest } from '../support/content/content.js';
import { errorProblems } from './errors.js';
import type { RecordedRequest } from './recording-upstream.js';
import type { Content } from './upstream-script.js';
import type { Ask } from './upstreams.js';

/** In every password and token of an upstream, and in the signature of every signed URL. */
export const secretPattern = /pw-SECRET|tok-SECRET|SIGNED-SECRET|TOP-SECRET|cHctU0VDUkVU/;
const refusals = [403, 404, 416, 429, 503];
const leftOut = ['www-authenticate', 'set-cookie', 'x-accel-redirect', 'content-disposition'];
const types = /^application\/(?:json|octet-stream|vnd\.(?:oci\.image|docker\.distribution)\.[a-z0-9.+]+)$/;
/** For one request of a client: two members, retries, redirects, tokens and pages of lists. */
const maxUpstreamRequests = 60;

/** What is wrong with an answer to a client, whatever the upstream has answered. */
export function judgeUpstreamAnswer(ask: Ask, answer: Answer, path: string, content: Content): string[] {
  const { status, headers, body } = answer;
  const problems: string[] = [];
  const told = JSON.stringify(headers) + (ask.what === 'blob' || ask.what === 'part' ? '' : body.toString('latin1'));
  const isPassedRedirect = ask.repository === 'sent' && status >= 301 && status <= 308 && status !== 304;
  if (secretPattern.test(told) && !isPassedRedirect && !isPassedBody(ask, status))
    problems.push('a client is told what is secret');
  for (const name of leftOut) if (headers[name] !== undefined) problems.push(`a client gets ${name}`);
  if (isPassedRedirect) {
    const location = String(headers['location'] ?? '');
    return /^(?:https?:\/\/|\/v2\/)/.test(location) ? problems : [...problems, `it redirects to ${location}`];
  }
  if (status >= 300) {
    if (!refusals.includes(status))
      return [...problems, `${ask.repository} answered ${status} to ${ask.method} ${ask.what}`];
    return ask.method === 'HEAD' ? problems : [...problems, ...errorProblems(answer)];
  }
  if (status !== 200 && !(status === 206 && ask.what === 'part'))
    problems.push(`${ask.repository} answered ${status} to ${ask.method} ${ask.what}`);
  const type = String(headers['content-type']);
  if (!types.test(type)) problems.push(`it answered content of the type ${type}`);
  for (const [, target = ''] of String(headers['link'] ?? '').matchAll(/<([^>]*)>/g)) {
    if (!target.startsWith(path.replace(/\?.*/, ''))) problems.push(`a link leads to ${target}`);
  }
  return ask.method === 'HEAD' ? problems : [...problems, ...judgeBody(ask, answer, content)];
}

/** A pass-through hands on the bytes of an answer as they are, but for errors. */
function isPassedBody({ repository }: Ask, status: number): boolean {
  return (repository === 'pass' || repository === 'sent') && status < 300;
}

function judgeBody(ask: Ask, { status, headers, body }: Answer, content: Content): string[] {
  // The client of a pass-through verifies what it gets, as with the upstream itself.
  if (ask.repository === 'pass' || ask.repository === 'sent') return [];
  switch (ask.what) {
    case 'tag':
      return headers['docker-content-digest'] === digest(body) ? [] : ['a manifest has another digest than is told'];
    case 'digest':
      return digest(body) === content.manifest.digest ? [] : ['a manifest has another digest than was asked for'];
    case 'blob':
    case 'part': {
      // A part of a blob that is still coming cannot be verified: its last byte is withheld, and the client verifies the whole.
      if (status === 206 && headers['x-cache'] === 'miss') return [];
      const expected = status === 206 ? content.blob.subarray(0, 10) : content.blob;
      return body.equals(expected) ? [] : [`a blob is wrong: ${body.length} bytes of ${expected.length}`];
    }
    case 'tags':
    case 'page': {
      const { tags } = JSON.parse(body.toString()) as { tags: unknown[] };
      const isTag = (tag: unknown): boolean =>
        typeof tag === 'string' && /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/.test(tag);
      return tags.every(isTag) ? [] : ['a list has what is no tag'];
    }
    default: {
      const { manifests } = JSON.parse(body.toString()) as { manifests: unknown };
      return Array.isArray(manifests) ? [] : ['a list of referrers has no manifests'];
    }
  }
}

/** What is wrong with what an upstream, and the host that it leads to, were asked. */
export function judgeAsked(
  { up, elsewhere }: { readonly up: readonly RecordedRequest[]; readonly elsewhere: readonly RecordedRequest[] },
  asks: number,
): string[] {
  const problems: string[] = [];
  if (up.length + elsewhere.length > maxUpstreamRequests * Math.max(1, asks))
    problems.push(`${up.length + elsewhere.length} requests to upstreams for ${asks} of clients`);
  for (const { line } of [...up, ...elsewhere])
    if (!/^(?:GET|HEAD) \/[\x21-\x7e]* HTTP\/1\.1$/.test(line))
      problems.push(`an upstream was asked ${JSON.stringify(line)}`);
  for (const { line, headers } of elsewhere) {
    const { host = '', authorization } = Object.fromEntries(headers) as Record<string, string | undefined>;
    // A password may go to a realm on another port of the upstream's own host.
    const isRealm =
      host.startsWith('127.0.0.1:') && line.startsWith('GET /realm') && authorization?.startsWith('Basic ') === true;
    if (authorization !== undefined && !isRealm) problems.push(`${host} got ${authorization} with ${line}`);
    if (/(?:pw|tok)-SECRET/.test(line)) problems.push(`${host} was asked ${line}`);
  }
  return problems;
}
