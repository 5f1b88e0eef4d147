import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from 'undici';
import { header, http, type HttpOptions, type HttpResponse } from '../../../e2e-docker/support/registry-http.js';
import { sha256, type Content, type Image } from '../../../e2e-docker/support/images.js';

/** An answer that a fault explains: a clear refusal with an OCI error body. */
export interface Refusal {
  readonly step: string;
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

/** An answer that no fault explains, or a missing answer. */
class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer';
}

/** One clear refusal too many. */
export class OutOfPatience extends WrongAnswer {}

const manifestTypes = 'application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json';

/**
 * Pushes, deletes and pulls like a client that immediately retries a refused step. It accepts at most `patience`
 * refusals (500, 503 or 507 with an OCI error) between two calls of `begin`. Anything else that is not a success is a
 * WrongAnswer.
 */
export class PatientClient {
  readonly #origin: string;
  readonly #agent = new Agent({ headersTimeout: 60_000, bodyTimeout: 60_000, keepAliveTimeout: 1000 });
  #patience = 0;
  #pauseMs = 0;
  refusals: Refusal[] = [];
  step = '';

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** Starts a new phase. @param pauseMs the pause before a retry */
  begin(patience: number, pauseMs = 0): void {
    this.#patience = patience;
    this.#pauseMs = pauseMs;
    this.refusals = [];
    this.step = '';
  }

  async send(step: string, path: string, options: HttpOptions = {}): Promise<HttpResponse> {
    this.step = step;
    try {
      return await http(new URL(path, this.#origin), { ...options, dispatcher: this.#agent });
    } catch (cause) {
      throw new WrongAnswer(`${step}: no answer: ${String(cause)}`, { cause });
    }
  }

  /** Makes one attempt. Resolves to `undefined` when it was refused. */
  async attempt(
    step: string,
    path: string,
    good: readonly number[],
    options: HttpOptions = {},
  ): Promise<HttpResponse | undefined> {
    const answer = await this.send(step, path, options);
    if (good.includes(answer.status)) return answer;
    this.#refused(step, answer);
    if (this.#pauseMs > 0) await sleep(this.#pauseMs);
    return undefined;
  }

  /** Retries until it succeeds. A retry may also be answered with one of `again`. */
  async insist(
    step: string,
    path: string,
    good: readonly number[],
    options: HttpOptions & { readonly again?: readonly number[] } = {},
  ): Promise<HttpResponse> {
    const { again = [], ...request } = options;
    let answer = await this.attempt(step, path, good, request);
    while (answer === undefined) answer = await this.attempt(`${step} again`, path, [...good, ...again], request);
    return answer;
  }

  async pushBlob(name: string, blob: Content): Promise<void> {
    for (;;) {
      const started = await this.insist('POST upload', `/v2/${name}/blobs/uploads/`, [202], { method: 'POST' });
      if (await this.#upload(name, header(started, 'location'), blob)) return;
    }
  }

  /**
   * Uploads in two chunks and a closing PUT, and queries the progress after a refusal. Resolves to false when the
   * upload must be restarted.
   */
  async #upload(name: string, location: string, { bytes, digest }: Content): Promise<boolean> {
    const half = bytes.length >> 1;
    const close = `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`;
    let at = 0;
    for (;;) {
      const end = at < half ? half : bytes.length;
      const headers = { 'content-range': `${at}-${end - 1}`, 'content-type': 'application/octet-stream' };
      const body = bytes.subarray(at, end);
      if (at === bytes.length) {
        if ((await this.attempt('PUT upload', close, [201], { method: 'PUT' })) !== undefined) return true;
      } else if (
        (await this.attempt('PATCH upload', location, [202], { method: 'PATCH', headers, body })) !== undefined
      ) {
        at = end;
        continue;
      }
      // A refused closing PUT may have taken effect, and a full disk ends the upload.
      const mayHaveEnded = at === bytes.length || this.refusals.at(-1)?.status === 507;
      const status = await this.insist('GET upload', location, mayHaveEnded ? [204, 404] : [204]);
      if (status.status === 404) break;
      at = receivedBytes(status);
    }
    const path = `/v2/${name}/blobs/${digest}`;
    return (await this.insist('HEAD blob', path, [200, 404], { method: 'HEAD' })).status === 200;
  }

  async putManifest(step: string, name: string, reference: string, manifest: Content): Promise<void> {
    const headers = { 'content-type': manifest.mediaType };
    const options = { method: 'PUT', headers, body: manifest.bytes } as const;
    await this.insist(step, `/v2/${name}/manifests/${reference}`, [201], options);
  }

  /** Deletes something. A retry finds nothing when the refused request took effect. */
  async delete(step: string, path: string): Promise<void> {
    await this.insist(step, path, [202], { method: 'DELETE', again: [404] });
  }

  /** Uploads a few bytes and cancels the upload. */
  async cancelUpload(name: string, bytes: Buffer): Promise<void> {
    const started = await this.insist('POST upload to cancel', `/v2/${name}/blobs/uploads/`, [202], { method: 'POST' });
    const location = header(started, 'location');
    const patched = await this.attempt('PATCH upload to cancel', location, [202], { method: 'PATCH', body: bytes });
    const mayHaveEnded = patched === undefined && this.refusals.at(-1)?.status === 507;
    await this.insist('DELETE upload', location, mayHaveEnded ? [204, 404] : [204], { method: 'DELETE', again: [404] });
  }

  async collect(): Promise<void> {
    await this.insist('collect', '/api/v1/gc', [200], { method: 'POST' });
  }

  /** Pulls the image and compares every byte. */
  async pull(name: string, reference: string, image: Image): Promise<void> {
    await this.#pullPart(`/v2/${name}/manifests/${reference}`, image.manifest.digest);
    for (const { digest } of [image.config, ...image.layers])
      await this.#pullPart(`/v2/${name}/blobs/${digest}`, digest);
  }

  async #pullPart(path: string, digest: string): Promise<void> {
    const { body } = await this.insist(`GET ${path}`, path, [200], { headers: { accept: manifestTypes } });
    if (sha256(body) !== digest) throw new WrongAnswer(`GET ${path}: ${body.length} bytes with the wrong digest`);
  }

  /** Expects that the manifest does not exist. */
  async expectAbsent(name: string, reference: string): Promise<void> {
    const path = `/v2/${name}/manifests/${reference}`;
    await this.insist(`HEAD ${path}`, path, [404], { method: 'HEAD', headers: { accept: manifestTypes } });
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #refused(step: string, { status, body, headers }: HttpResponse): void {
    const text = body.toString('utf8');
    const { code, message } = firstError(text);
    const isHead = text === '' && headers['content-type'] !== undefined;
    const isClear = [500, 503, 507].includes(status) && (code !== '' || isHead);
    const already = this.refusals.map((refusal) => `${refusal.step}: ${refusal.status}`).join(', ');
    const problem = `${step}: ${status} ${text.slice(0, 300)}${already === '' ? '' : ` (after ${already})`}`;
    if (!isClear) throw new WrongAnswer(problem);
    if (this.refusals.length >= this.#patience) throw new OutOfPatience(problem);
    this.refusals.push({ step, status, code, message });
  }
}

function receivedBytes(status: HttpResponse): number {
  return Number(/^0-(-?\d+)$/.exec(header(status, 'range'))?.[1]) + 1;
}

function firstError(text: string): { readonly code: string; readonly message: string } {
  try {
    const { errors } = JSON.parse(text) as { errors: { code: string; message: string }[] };
    return errors[0] ?? { code: '', message: '' };
  } catch {
    return { code: '', message: '' };
  }
}
