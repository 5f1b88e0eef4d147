import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { digest, imageManifest, types } from '../support/content/content.js';

export interface RecordedRequest {
  /** `GET /v2/app/manifests/latest HTTP/1.1` */
  readonly line: string;
  /** As they came, in lower case; of one that came twice, both. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

interface Content {
  readonly type: string;
  readonly bytes: Buffer;
}

/** The bytes of an answer, and what becomes of the connection after them. */
export interface RawReply {
  readonly text: string;
  readonly end: 'keep' | 'close' | 'reset';
  /** In how many writes it goes out. @default 1 */
  readonly pieces?: number;
}

/** A raw answer to a request, in place of the usual one. */
export type RawScript = (request: RecordedRequest) => string | RawReply | undefined;

/**
 * An upstream registry that reads its connections byte by byte, without a parser of HTTP that would put right what is wrong:
 * each request is what stands up to an empty line, and a body is one request more.
 */
export class RecordingUpstream {
  readonly requests: RecordedRequest[] = [];
  /** In place of the usual answers. */
  script: RawScript | undefined;
  readonly #content = new Map<string, Content>();
  readonly #sockets = new Set<Socket>();
  readonly #server: Server = createServer((socket) => this.#serve(socket));

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get lines(): readonly string[] {
    return this.requests.map(({ line }) => line);
  }

  /** An image with one layer, under `latest`. Returns its digests: of the manifest, and of the layer. */
  addImage(name: string, layer: Buffer): { readonly manifest: string; readonly layer: string } {
    const description = { mediaType: types.ociLayer, digest: digest(layer), size: layer.length };
    const manifest = imageManifest(name, { layers: [description] });
    for (const reference of ['latest', manifest.digest]) {
      this.#content.set(`/v2/${name}/manifests/${reference}`, manifest);
    }
    this.#content.set(`/v2/${name}/blobs/${digest(layer)}`, { type: 'application/octet-stream', bytes: layer });
    const list = Buffer.from(JSON.stringify({ name, tags: ['latest'] }));
    this.#content.set(`/v2/${name}/tags/list`, { type: 'application/json', bytes: list });
    return { manifest: manifest.digest, layer: digest(layer) };
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    // A client that leaves resets the connection that was made for it.
    socket.on('error', () => {});
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const [line = '', ...lines] = text.slice(0, end).split('\r\n');
        text = text.slice(end + 4);
        const headers = lines.map((header) => {
          const colon = header.indexOf(':');
          return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()] as const;
        });
        this.requests.push({ line, headers });
        const reply = this.script?.({ line, headers }) ?? this.#answer(line);
        if (typeof reply === 'string') socket.write(reply, 'latin1');
        else void send(socket, reply);
      }
    });
  }

  #answer(line: string): string {
    const [method, target = ''] = line.split(' ');
    const found = this.#content.get(target.split('?')[0] ?? '');
    const { type, bytes } = found ?? {
      type: 'application/json',
      bytes: Buffer.from('{"errors":[{"code":"NAME_UNKNOWN"}]}'),
    };
    const head = [
      `HTTP/1.1 ${found === undefined ? '404 Not Found' : '200 OK'}`,
      `Content-Type: ${type}`,
      `Content-Length: ${bytes.length}`,
      `Docker-Content-Digest: ${digest(bytes)}`,
    ];
    return `${head.join('\r\n')}\r\n\r\n${method === 'HEAD' ? '' : bytes.toString('latin1')}`;
  }
}

async function send(socket: Socket, { text, end, pieces = 1 }: RawReply): Promise<void> {
  const bytes = Buffer.from(text, 'latin1');
  const size = Math.max(1, Math.ceil(bytes.length / pieces));
  for (let at = 0; at < bytes.length; at += size) {
    if (at > 0) await turn();
    socket.write(bytes.subarray(at, at + size));
  }
  if (end === 'close') socket.end();
  else if (end === 'reset') socket.resetAndDestroy();
}

/** A whole answer as an upstream sends it. */
export function rawAnswer(status: string, headers: Readonly<Record<string, string>>, body = ''): string {
  const lines = Object.entries({ 'Content-Length': String(body.length), ...headers });
  return `HTTP/1.1 ${status}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}
