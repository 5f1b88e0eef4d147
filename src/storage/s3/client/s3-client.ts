import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { readBounded } from '../../../util/streams/streams.js';
import type { S3Connection, S3Timeouts } from '../s3-options.js';
import { isPassing, S3Error, toUnavailable } from './s3-errors.js';
import { S3Exchange } from './s3-exchange.js';
import { createSigner, type Signer } from './s3-signing.js';
import { findText } from './s3-xml.js';

/** A request to the bucket. */
export interface S3Request {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** Without the prefix. Absent: the bucket itself. */
  readonly key: string | undefined;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  /** Whether errors in an answer with status 200 concern single items. @default false */
  readonly hasItemErrors?: boolean;
}

/** An answer whose body was read. */
export interface S3Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** An answer whose body the caller reads or destroys. */
export interface S3Stream {
  readonly status: number;
  /** NaN when the service does not announce it. */
  readonly length: number;
  readonly body: Readable;
}

const maxAttempts = 5;
const minDelayMs = 100;
const maxDelayMs = 5000;
const maxDocumentBytes = 16 * 1024 * 1024;
const unsigned = 'UNSIGNED-PAYLOAD';
/** The SHA-256 of an empty body. */
const emptyHash = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

/** Sends signed requests to a bucket, and retries those that fail temporarily. */
export class S3Client {
  readonly #connection: S3Connection;
  readonly #exchange: S3Exchange;
  readonly #signer: Signer;
  readonly #host: string;
  readonly #closing = new AbortController();

  private constructor(connection: S3Connection, timeouts: S3Timeouts, signer: Signer) {
    this.#connection = connection;
    this.#signer = signer;
    const origin = originOf(connection, connection.endpoint);
    this.#host = origin.host;
    this.#exchange = new S3Exchange(origin, timeouts);
  }

  /** Loads the signer; sends nothing. */
  static async create(connection: S3Connection, timeouts: S3Timeouts): Promise<S3Client> {
    return new S3Client(connection, timeouts, await createSigner(connection));
  }

  /** Resolves to an answer with status 2xx. @throws S3Error, or RegistryError UNAVAILABLE when all attempts failed. */
  call(request: S3Request): Promise<S3Answer> {
    return this.#attempt(async () => {
      const answer = await this.#send(request);
      const body = (await readBounded(answer, maxDocumentBytes)) ?? Buffer.alloc(0);
      const status = answer.statusCode ?? 0;
      // CompleteMultipartUpload and UploadPartCopy may answer 200 before they fail.
      const mayFailLater = request.method !== 'GET' && request.hasItemErrors !== true;
      const isError = status >= 300 || (mayFailLater && body.includes('<Error>'));
      if (isError) throw errorOf(request, status, body);
      return { status, headers: answer.headers, body };
    });
  }

  /** Resolves to an answer with status 2xx. @throws like `call` */
  open(request: S3Request): Promise<S3Stream> {
    return this.#attempt(async () => {
      const answer = await this.#send(request);
      const status = answer.statusCode ?? 0;
      if (status < 300) return { status, length: Number(answer.headers['content-length']), body: answer };
      throw errorOf(request, status, (await readBounded(answer, maxDocumentBytes)) ?? Buffer.alloc(0));
    });
  }

  /** Returns a URL from which anyone can get an object for a number of seconds. It is a secret. */
  async presign(key: string, validSeconds: number): Promise<string> {
    const { endpoint, publicEndpoint = endpoint } = this.#connection;
    const origin = originOf(this.#connection, publicEndpoint);
    return origin.origin + (await this.#signer.presign(origin.host, this.#pathOf(key), validSeconds));
  }

  /** Returns the name of an object for requests that copy it. */
  copySource(key: string): string {
    const { bucket, prefix } = this.#connection;
    return `/${bucket}/${prefix}${key}`;
  }

  /** The prefix of every key. */
  get prefix(): string {
    return this.#connection.prefix;
  }

  close(): void {
    this.#closing.abort(new Error('the blob store is closed'));
    this.#exchange.close();
  }

  async #attempt<T>(task: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await task();
      } catch (error) {
        this.#closing.signal.throwIfAborted();
        if (!isPassing(error)) throw error;
        if (attempt === maxAttempts) throw toUnavailable(error);
      }
      const delay = Math.min(maxDelayMs, minDelayMs * 4 ** (attempt - 1));
      await sleep(delay * (0.5 + Math.random() / 2), undefined, { signal: this.#closing.signal });
    }
  }

  #pathOf(key: string | undefined): string {
    const { bucket, prefix, pathStyle } = this.#connection;
    return `${pathStyle ? `/${bucket}` : ''}/${key === undefined ? '' : prefix + key}`;
  }

  async #send({ method, key, query = {}, headers = {}, body }: S3Request): Promise<IncomingMessage> {
    const target = this.#pathOf(key);
    const search = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    const path = search.length === 0 ? target : `${target}?${search.join('&')}`;
    const length = body === undefined ? {} : { 'Content-Length': String(body.length) };
    const hash = { 'X-Amz-Content-Sha256': body === undefined ? emptyHash : unsigned };
    const signed = await this.#signer.sign({
      method,
      host: this.#host,
      path,
      headers: { ...hash, ...length, ...headers },
    });
    return this.#exchange.send({ method, path, headers: signed, body });
  }
}

function originOf({ bucket, pathStyle }: S3Connection, endpoint: URL): URL {
  const origin = new URL(endpoint.origin);
  if (!pathStyle) origin.hostname = `${bucket}.${origin.hostname}`;
  return origin;
}

function errorOf({ method, key }: S3Request, status: number, body: Buffer): S3Error {
  const xml = body.toString('utf8', 0, 64 * 1024);
  const code = findText(xml, 'Code') ?? '';
  return new S3Error(`${method} ${key ?? 'bucket'}`, status, code, findText(xml, 'Message') ?? '');
}
