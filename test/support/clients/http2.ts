import { connect as connectHttp2, type ClientHttp2Session, type IncomingHttpHeaders } from 'node:http2';
import { connect, type Socket } from 'node:net';

/** An answer over HTTP/2. */
export interface Http2Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A connection over HTTP/2 without TLS, which sends any number of requests at once. */
export class Http2Client {
  readonly #session: ClientHttp2Session;

  constructor(port: number) {
    this.#session = connectHttp2(`http://127.0.0.1:${port}`);
  }

  /** Sends a request. A body has no Content-Length unless `headers` has one. */
  send(method: string, path: string, body?: Buffer, headers: Record<string, string> = {}): Promise<Http2Answer> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({ ':method': method, ':path': path, ...headers });
      const chunks: Buffer[] = [];
      let received: IncomingHttpHeaders = {};
      stream.on('response', (answered) => (received = answered));
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', reject);
      stream.on('close', () =>
        resolve({ status: received[':status'] as number | undefined, headers: received, body: Buffer.concat(chunks) }),
      );
      stream.end(body);
    });
  }

  /** Starts a download and reads none of its body. Resolves with the status and a function that reads the body. */
  stallDownload(path: string): Promise<{ readonly status: unknown; readonly read: () => Promise<Buffer> }> {
    const stream = this.#session.request({ ':method': 'GET', ':path': path }).pause();
    return new Promise((resolve, reject) => {
      stream.on('error', reject);
      stream.on('response', ({ ':status': status }) =>
        resolve({ status, read: async () => Buffer.concat((await stream.toArray()) as Buffer[]) }),
      );
    });
  }

  /** Returns whether the server ends the connection after the requests in progress. */
  get isEnding(): boolean {
    return this.#session.closed;
  }

  /** Starts a download and resets it at the first byte. */
  async resetDownload(path: string): Promise<void> {
    const stream = this.#session.request({ ':method': 'GET', ':path': path });
    await new Promise((resolve) => {
      stream.once('data', () => stream.destroy());
      stream.on('error', () => undefined).on('close', resolve);
    });
  }

  /** Starts a request and resets it a moment later. */
  startAndReset(path: string): void {
    const stream = this.#session.request({ ':method': 'GET', ':path': path }).on('error', () => undefined);
    setTimeout(() => stream.close(8), 50);
  }

  close(): void {
    this.#session.destroy();
  }
}

const frameTypes = { data: 0, headers: 1, reset: 3, settings: 4 } as const;
const endHeaders = 4;

/** A request over HTTP/2 whose body does not end. Node's client always ends a body before it resets the request. */
export class UnendedRequest {
  readonly #socket: Socket;

  constructor(port: number, method: string, path: string, body: Buffer) {
    this.#socket = connect(port, '127.0.0.1').on('error', () => undefined);
    const fields = { ':method': method, ':path': path, ':scheme': 'http', ':authority': `127.0.0.1:${port}` };
    const block = Object.entries(fields).map(([name, value]) => literalField(name, value));
    this.#socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    this.#socket.write(frame('settings', 0, 0));
    this.#socket.write(frame('headers', endHeaders, 1, Buffer.concat(block)));
    this.#socket.write(frame('data', 0, 1, body));
  }

  /** Sends RST_STREAM with the code CANCEL, and leaves the connection open. */
  reset(): void {
    this.#socket.write(frame('reset', 0, 1, Buffer.from([0, 0, 0, 8])));
  }

  close(): void {
    this.#socket.destroy();
  }
}

function frame(
  type: keyof typeof frameTypes,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = frameTypes[type];
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Encodes a field without an index and without Huffman coding (RFC 7541, 6.2.2). Each part has at most 126 bytes. */
function literalField(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
}
