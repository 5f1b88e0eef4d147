import type { IncomingMessage, ServerResponse } from 'node:http';
import { describeBytes, digest, manifestOf, someBytes, types, type Manifest } from '../content/content.js';
import { listen, type Listening } from '../servers/registry.js';

/** Answers a request. Returns `false` to leave it to the plain registry. */
export type Script = (req: IncomingMessage, res: ServerResponse) => unknown;

/** A received request. */
export interface OddRequest {
  /** The storage is on another port, as a signed URL would be on another host. */
  readonly at: 'registry' | 'storage';
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
}

/**
 * A plain registry with one image, `team/app:v1`, whose answers a test replaces one by one, down to the bytes of a
 * connection. `FaultUpstream` injects faults; this one imitates what real registries do.
 */
export class OddUpstream {
  readonly requests: OddRequest[] = [];
  readonly layer = someBytes('layer of an odd registry', 5000);
  readonly config = Buffer.from('{"architecture":"amd64","os":"linux"}');
  manifest: Manifest = manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, this.config),
    layers: [describeBytes(types.ociLayer, this.layer)],
  });
  readonly blobs = new Map([this.layer, this.config, Buffer.alloc(0)].map((bytes) => [digest(bytes), bytes]));
  readonly #scripts: { readonly pattern: RegExp; readonly script: Script }[] = [];
  #registry: Listening | undefined;
  #storage: Listening | undefined;

  get url(): string {
    return this.#registry?.url ?? '';
  }

  get storageUrl(): string {
    return this.#storage?.url ?? '';
  }

  /** The path of the layer. */
  get blobPath(): string {
    return `/v2/team/app/blobs/${digest(this.layer)}`;
  }

  /** Replaces the answers to requests of the registry or the storage whose URL matches. The newest script is asked first. */
  on(pattern: RegExp, script: Script): void {
    this.#scripts.unshift({ pattern, script });
  }

  /** Returns the requests whose URL matches. */
  received(pattern: RegExp, at?: OddRequest['at']): readonly OddRequest[] {
    return this.requests.filter((one) => pattern.test(one.url) && (at ?? one.at) === one.at);
  }

  async up(): Promise<void> {
    this.#registry = await listen((req, res) => this.#serve('registry', req, res));
    this.#storage = await listen((req, res) => this.#serve('storage', req, res));
  }

  async close(): Promise<void> {
    await Promise.all([this.#registry?.close(), this.#storage?.close()]);
  }

  /** Answers as a registry without oddities. */
  plain({ url = '', method }: Pick<IncomingMessage, 'url' | 'method'>, res: ServerResponse): void {
    const [path = ''] = url.split('?');
    const send = (bytes: Buffer, headers: Readonly<Record<string, string>>): void => {
      res.writeHead(200, { ...headers, 'Content-Length': bytes.length });
      res.end(method === 'HEAD' ? undefined : bytes);
    };
    const { bytes, type, digest: own } = this.manifest;
    const blob = this.blobs.get(path.slice(path.lastIndexOf('/') + 1));
    if (/\/manifests\/(?:v1|sha256:.+|sha512:.+)$/.test(path))
      return send(bytes, { 'Content-Type': type, 'Docker-Content-Digest': own });
    if (blob !== undefined) return send(blob, { 'Content-Type': 'application/octet-stream' });
    if (path.endsWith('/tags/list'))
      return send(Buffer.from('{"name":"team/app","tags":["v1"]}'), { 'Content-Type': 'application/json' });
    if (path === '/v2/') return send(Buffer.from('{}'), { 'Content-Type': 'application/json' });
    return refuse(res, 404, path.includes('/blobs/') ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN');
  }

  #serve(at: OddRequest['at'], req: IncomingMessage, res: ServerResponse): void {
    const { method = '', url = '', headers } = req;
    this.requests.push({ at, method, url, headers });
    const isDone = this.#scripts.some(({ pattern, script }) => pattern.test(url) && script(req, res) !== false);
    if (!isDone) this.plain(req, res);
  }
}

/** Answers with an error in the form of the specification. */
export function refuse(res: ServerResponse, status: number, code: string, headers: object = {}): void {
  res.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  res.end(JSON.stringify({ errors: [{ code, message: code }] }));
}

/** Sends a whole answer as it is and closes the connection. */
export function sendRaw(req: IncomingMessage, head: readonly string[], body: Buffer | string = ''): void {
  req.socket.end(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), Buffer.from(body as string)]));
}

/** Returns a manifest of Docker's first schema. */
export function firstSchema(): Manifest {
  const bytes = Buffer.from(
    '{"schemaVersion":1,"name":"team/app","tag":"v1","fsLayers":[],"history":[],"signatures":[]}',
  );
  const type = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
  return { type, bytes, digest: digest(bytes), sha512: digest(bytes, 'sha512') };
}
