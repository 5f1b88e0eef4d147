import { Agent, type Dispatcher } from 'undici';
import type { Readable } from 'node:stream';

/** The methods that the tests send. */
export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** The headers and the body of a request. */
export interface Send {
  readonly headers?: Readonly<Record<string, string | string[]>>;
  /** A stream is sent chunked, without a Content-Length. */
  readonly body?: Buffer | string | Readable;
}

/** An answer that was read completely. */
export class Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;

  constructor(status: number, headers: Answer['headers'], body: Buffer) {
    this.status = status;
    this.headers = headers;
    this.body = body;
  }

  /** Returns a header, or '' when it is missing. @throws Error when it occurs several times */
  header(name: string): string {
    const value = this.headers[name.toLowerCase()];
    if (Array.isArray(value)) throw new Error(`header "${name}" occurs ${value.length} times`);
    return value ?? '';
  }

  /** Returns the parsed body. */
  json(): unknown {
    return JSON.parse(this.body.toString('utf8')) as unknown;
  }

  /** Returns the codes of an error body. */
  get codes(): readonly string[] {
    return (this.json() as { errors: { code: string }[] }).errors.map(({ code }) => code);
  }

  /** Returns the target of `Link: <…>; rel="next"`. */
  get next(): string | undefined {
    return /^<([^>;]+)>; rel="next"$/.exec(this.header('link'))?.[1];
  }
}

/**
 * Sends paths exactly as written and returns answers as received: it does not normalize, redirect or decode anything.
 */
export class Client {
  readonly #origin: string;
  readonly #place: string;
  readonly #agent = new Agent({ keepAliveTimeout: 1000 });

  /** @param place the prefix to put before paths that begin with `/v2/`; a Location already contains it. */
  constructor(origin: string, place = '') {
    this.#origin = origin;
    this.#place = place;
  }

  async send(method: Method, path: string, { headers, body }: Send = {}): Promise<Answer> {
    const whole = path.startsWith('/v2/') ? this.#place + path : path;
    const options: Dispatcher.RequestOptions = { origin: this.#origin, path: whole, method, body: body ?? null };
    const response = await this.#agent.request(headers === undefined ? options : { ...options, headers });
    const bytes = Buffer.from(await response.body.arrayBuffer());
    return new Answer(response.statusCode, response.headers, bytes);
  }

  get(path: string, headers: Send['headers'] = {}): Promise<Answer> {
    return this.send('GET', path, { headers });
  }

  head(path: string, headers: Send['headers'] = {}): Promise<Answer> {
    return this.send('HEAD', path, { headers });
  }

  post(path: string, send: Send = {}): Promise<Answer> {
    return this.send('POST', path, send);
  }

  put(path: string, send: Send = {}): Promise<Answer> {
    return this.send('PUT', path, send);
  }

  patch(path: string, send: Send = {}): Promise<Answer> {
    return this.send('PATCH', path, send);
  }

  delete(path: string): Promise<Answer> {
    return this.send('DELETE', path);
  }

  /** Resolves when the server has read what other connections sent earlier, because it has answered later requests. */
  async catchUp(): Promise<void> {
    for (let i = 0; i < 5; i++) await this.get('/v2/');
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }
}
