import { digest, imageManifest, someBytes, types } from '../support/content/content.js';
import { rawAnswer, type RecordedRequest, type RawReply } from './recording-upstream.js';

/** What a request to an upstream is for. */
export type Place = 'ping' | 'realm' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'elsewhere';

/** One change to an answer that would be right. Unknown ones are ignored, so that an input can be cut down. */
export type Bend =
  | { readonly op: 'status'; readonly status: string }
  | { readonly op: 'header'; readonly name: string; readonly value: string }
  | { readonly op: 'drop'; readonly name: string }
  | { readonly op: 'body'; readonly body: string }
  | { readonly op: 'fill'; readonly bytes: number }
  | { readonly op: 'cut'; readonly percent: number }
  | { readonly op: 'nest'; readonly depth: number }
  | { readonly op: 'chunked' }
  | { readonly op: 'reset' }
  | { readonly op: 'close' }
  | { readonly op: 'pieces' }
  | { readonly op: 'raw'; readonly text: string };

/** The answer to the next request for a place. */
export interface BentAnswer {
  readonly at: Place;
  readonly bends: readonly Bend[];
}

/** An image that is new to the registry, and all that the upstream has of it. */
export interface Content {
  readonly manifest: ReturnType<typeof imageManifest>;
  readonly blob: Buffer;
  readonly blobDigest: string;
}

export function makeContent(label: string, blobBytes: number): Content {
  const blob = someBytes(label, blobBytes);
  const layer = { mediaType: types.ociLayer, digest: digest(blob), size: blob.length };
  return { blob, blobDigest: digest(blob), manifest: imageManifest(label, { layers: [layer] }) };
}

/** What the texts of an input stand for: they are written before ports and digests are known. */
export type Substitutions = Readonly<Record<string, string>>;

function substitute(text: string, by: Substitutions): string {
  return text.replace(/\{([a-z]+)\}/g, (whole, name: string) => by[name] ?? whole);
}

export function placeOf({ line }: RecordedRequest): Place {
  const [, target = ''] = line.split(' ');
  if (target.startsWith('/realm')) return 'realm';
  if (/^\/v2\/(?:\?|$)/.test(target)) return 'ping';
  if (target.includes('/manifests/')) return 'manifest';
  if (target.includes('/tags/list')) return 'tags';
  if (target.includes('/referrers/')) return 'referrers';
  return target.includes('/blobs/') ? 'blob' : 'elsewhere';
}

/** The answer of an upstream: the right one, with these bends. */
export function answerWith(
  request: RecordedRequest,
  bends: readonly Bend[],
  content: Content,
  by: Substitutions,
): RawReply {
  const right = rightAnswer(request, content, by);
  let { status, body } = right;
  const headers = new Map(right.headers);
  const how = { chunked: false, reset: false, close: false, pieces: 1, cut: 100, raw: '' };
  for (const bend of bends) {
    if (bend.op === 'status') status = bend.status;
    else if (bend.op === 'header') headers.set(bend.name, substitute(bend.value, by));
    else if (bend.op === 'drop') headers.delete(bend.name);
    else if (bend.op === 'body') body = substitute(bend.body, by);
    else if (bend.op === 'fill') body = body.padEnd(bend.bytes, ' ');
    else if (bend.op === 'nest') body = `{"tags":${'['.repeat(bend.depth)}${']'.repeat(bend.depth)}}`;
    else if (bend.op === 'cut') how.cut = bend.percent;
    else if (bend.op === 'raw') how.raw = substitute(bend.text, by);
    else if (bend.op === 'pieces') how.pieces = 7;
    else if (bend.op === 'chunked' || bend.op === 'reset' || bend.op === 'close') how[bend.op] = true;
  }
  const length = how.chunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': String(body.length) };
  const isHead = request.line.startsWith('HEAD ');
  const sent = how.chunked && body !== '' ? `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body;
  const head = rawAnswer(status, { ...length, ...Object.fromEntries(headers) });
  const whole = how.raw === '' ? head + (isHead ? '' : sent) : how.raw;
  const isCut = how.cut < 100;
  const end = how.reset ? 'reset' : how.close || isCut || how.raw !== '' ? 'close' : 'keep';
  return { text: whole.slice(0, Math.ceil((whole.length * how.cut) / 100)), end, pieces: how.pieces };
}

interface RightAnswer {
  readonly status: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

function rightAnswer(
  request: RecordedRequest,
  { manifest, blob, blobDigest }: Content,
  by: Substitutions,
): RightAnswer {
  const [, target = ''] = request.line.split(' ');
  const json = (value: object): RightAnswer => ({
    status: '200 OK',
    headers: [['Content-Type', 'application/json']],
    body: JSON.stringify(value),
  });
  switch (placeOf(request)) {
    case 'realm':
      return json({ token: by['token'] ?? '' });
    case 'manifest':
      if (target.includes('/manifests/sha256:') && !target.includes(manifest.digest)) return notFound;
      return {
        status: '200 OK',
        headers: [
          ['Content-Type', manifest.type],
          ['Docker-Content-Digest', manifest.digest],
        ],
        body: manifest.bytes.toString('latin1'),
      };
    case 'tags':
      return json({ name: 'app', tags: ['latest', 'v1'] });
    case 'referrers':
      return {
        ...json({ schemaVersion: 2, mediaType: types.ociIndex, manifests: [] }),
        headers: [['Content-Type', types.ociIndex]],
      };
    case 'blob':
    case 'elsewhere': {
      if (!target.includes(blobDigest) && !target.startsWith('/else')) return notFound;
      const start = Number(/^bytes=(\d+)-/.exec(new Map(request.headers).get('range') ?? '')?.[1] ?? 0);
      if (start === 0) return { status: '200 OK', headers: [], body: blob.toString('latin1') };
      const range = `bytes ${start}-${blob.length - 1}/${blob.length}`;
      return {
        status: '206 Partial Content',
        headers: [['Content-Range', range]],
        body: blob.subarray(start).toString('latin1'),
      };
    }
    case 'ping':
      break;
  }
  return json({});
}

const notFound: RightAnswer = {
  status: '404 Not Found',
  headers: [['Content-Type', 'application/json']],
  body: '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}',
};
