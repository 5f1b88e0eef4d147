import type { Readable } from 'node:stream';
import { request } from 'undici';
import type { Dispatcher } from 'undici';
import { mediaTypes, sha256 } from './images.js';
import type { Content, Image, PulledImage } from './images.js';

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export interface HttpOptions {
  readonly method?: Dispatcher.HttpMethod;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer | Readable;
  readonly dispatcher?: Dispatcher;
}

/**
 * Sends one request. Returns bytes and headers as they were on the wire. Does not use `fetch`, which accepts and decodes gzip
 * and would hide that a registry compresses.
 */
export async function http(url: string | URL, options: HttpOptions = {}): Promise<HttpResponse> {
  const response = await request(url, options);
  return {
    status: response.statusCode,
    headers: response.headers,
    body: Buffer.from(await response.body.arrayBuffer()),
  };
}

/** Throws if the response has another status than the protocol defines for success. */
export function mustBe(status: number, response: HttpResponse, step: string): HttpResponse {
  if (response.status === status) return response;
  throw new Error(`${step}: ${response.status} instead of ${status}: ${response.body.toString('utf8').slice(0, 400)}`);
}

/** Returns a header that the protocol requires. */
export function header(response: HttpResponse, name: string): string {
  const value = response.headers[name];
  if (typeof value !== 'string') throw new Error(`the answer has ${value === undefined ? 'no' : 'several'} ${name}`);
  return value;
}

/** The four manifest types in one list, as clients send them in `Accept`. */
const acceptManifests = [
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerManifestList,
].join(', ');

interface Named {
  readonly digest: string;
}

/** Pushes and pulls over HTTP like a client of one registry, with one connection pool. */
export class RegistryHttp {
  readonly #origin: string;
  readonly #dispatcher: Dispatcher | undefined;
  readonly #headers: Record<string, string>;

  /** @param headers sent with every request, such as `authorization`. */
  constructor(origin: string, dispatcher?: Dispatcher, headers: Record<string, string> = {}) {
    this.#origin = origin;
    this.#dispatcher = dispatcher;
    this.#headers = headers;
  }

  send(path: string, options: HttpOptions = {}): Promise<HttpResponse> {
    const pool = this.#dispatcher === undefined ? {} : { dispatcher: this.#dispatcher };
    const headers = { ...this.#headers, ...options.headers };
    return http(new URL(path, this.#origin), { ...pool, ...options, headers });
  }

  /** Starts an upload and returns its URL. */
  async startUpload(name: string): Promise<string> {
    const started = await this.send(`/v2/${name}/blobs/uploads/`, { method: 'POST' });
    return header(mustBe(202, started, 'POST upload'), 'location');
  }

  /** Completes an upload with the last bytes, if any are left. */
  async completeUpload(location: string, digest: string, rest: Buffer = Buffer.alloc(0)): Promise<void> {
    const url = new URL(location, this.#origin);
    url.searchParams.set('digest', digest);
    const headers = { 'content-type': 'application/octet-stream' };
    mustBe(201, await this.send(url.href, { method: 'PUT', headers, body: rest }), 'PUT upload');
  }

  /** Pushes like docker: nothing if the blob is present, or else POST, one PATCH and an empty PUT. */
  async pushBlob(name: string, blob: Content): Promise<void> {
    const present = await this.send(`/v2/${name}/blobs/${blob.digest}`, { method: 'HEAD' });
    if (present.status === 200) return;
    const location = await this.startUpload(name);
    const patched = await this.send(location, { method: 'PATCH', body: blob.bytes });
    await this.completeUpload(header(mustBe(202, patched, 'PATCH upload'), 'location'), blob.digest);
  }

  /** Pushes a manifest. Resolves when the registry has answered 201. */
  async putManifest(name: string, reference: string, manifest: Content): Promise<void> {
    const headers = { 'content-type': manifest.mediaType };
    const path = `/v2/${name}/manifests/${reference}`;
    const stored = await this.send(path, { method: 'PUT', headers, body: manifest.bytes });
    mustBe(201, stored, 'PUT manifest');
    if (header(stored, 'docker-content-digest') !== manifest.digest) throw new Error('PUT manifest: another digest');
  }

  async pushImage(name: string, tag: string, image: Image): Promise<void> {
    for (const blob of [...image.layers, image.config]) await this.pushBlob(name, blob);
    await this.putManifest(name, tag, image.manifest);
  }

  /** Deletes a manifest and all its blobs, as garbage collection may do before the manifest of a slow push arrives. */
  async dropImage(name: string, tag: string): Promise<void> {
    const path = `/v2/${name}/manifests/${tag}`;
    const { body } = mustBe(200, await this.send(path, { headers: { accept: acceptManifests } }), 'GET manifest');
    const { config, layers } = JSON.parse(body.toString()) as Record<'config', Named> & Record<'layers', Named[]>;
    const paths = [`manifests/${sha256(body)}`, ...[config, ...layers].map(({ digest }) => `blobs/${digest}`)];
    for (const dropped of new Set(paths))
      mustBe(202, await this.send(`/v2/${name}/${dropped}`, { method: 'DELETE' }), `DELETE ${dropped}`);
  }

  /** Returns the digest of a tag; `undefined` if the tag does not exist. */
  async tagDigest(name: string, tag: string): Promise<string | undefined> {
    const headers = { accept: acceptManifests };
    const found = await this.send(`/v2/${name}/manifests/${tag}`, { method: 'HEAD', headers });
    return found.status === 404 ? undefined : header(mustBe(200, found, 'HEAD manifest'), 'docker-content-digest');
  }

  /** Pulls a whole image by tag or digest. Rejects unless all content matches its digests. */
  async pullImage(name: string, reference: string, image: PulledImage): Promise<void> {
    await this.#pull(`/v2/${name}/manifests/${reference}`, image.manifest.digest);
    for (const { digest } of [image.config, ...image.layers]) await this.#pull(`/v2/${name}/blobs/${digest}`, digest);
  }

  /** Pulls the image that a tag names. Returns its digest. Rejects unless all content matches its digests. */
  async pullTag(name: string, tag: string): Promise<string> {
    const path = `/v2/${name}/manifests/${tag}`;
    const { body } = mustBe(200, await this.send(path, { headers: { accept: acceptManifests } }), `GET ${path}`);
    const { config, layers } = JSON.parse(body.toString()) as Record<'config', Named> & Record<'layers', Named[]>;
    for (const { digest } of [config, ...layers]) await this.#pull(`/v2/${name}/blobs/${digest}`, digest);
    return sha256(body);
  }

  async #pull(path: string, digest: string): Promise<void> {
    const { body } = mustBe(200, await this.send(path, { headers: { accept: acceptManifests } }), `GET ${path}`);
    const got = sha256(body);
    if (got !== digest) throw new Error(`GET ${path}: ${body.length} bytes of ${got}, not of ${digest}`);
  }
}
