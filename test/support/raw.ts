import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** An answer as it came over the wire. */
export interface RawAnswer {
  /** 0 when the connection was closed without an answer. */
  readonly status: number;
  /** Lower-case names; of one that came twice, the last. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A connection that writes exactly the bytes it is told to. */
export class RawConnection {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => void this.#chunks.push(chunk));
    // A reset after the answer is what some of the tests provoke; what came before it is kept.
    socket.on('error', () => {});
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  async write(bytes: Buffer | string): Promise<void> {
    // latin1, so that a test can spell any byte.
    const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    await new Promise<void>((resolve) => {
      this.socket.write(buffer, () => resolve());
    });
  }

  /** Resolves when the received text fits the pattern. */
  async waitFor(pattern: RegExp): Promise<string> {
    for (;;) {
      const text = Buffer.concat(this.#chunks).toString('latin1');
      if (pattern.test(text)) return text;
      if (this.socket.closed) throw new Error(`the connection closed after ${JSON.stringify(text)}`);
      await Promise.race([once(this.socket, 'data'), once(this.socket, 'close')]);
    }
  }

  /** All that came until the other side closed. */
  async untilClosed(): Promise<RawAnswer> {
    // Not `once` of node:events, which rejects with a reset.
    if (!this.socket.closed) await new Promise((resolve) => this.socket.once('close', resolve));
    return parseAnswer(Buffer.concat(this.#chunks).toString('latin1'));
  }

  /** Cuts the connection, as a failing network does. */
  cut(): void {
    this.socket.resetAndDestroy();
  }
}

/** Sends one request and reads its answer; the connection is closed after it. */
export async function exchangeRaw(port: number, request: string): Promise<RawAnswer> {
  const connection = await RawConnection.open(port);
  await connection.write(request);
  return connection.untilClosed();
}

/** A request head for `path` as it is written here, whatever a client library would make of it. */
export function rawHead(method: string, path: string, headers: Readonly<Record<string, string>> = {}): string {
  const lines = Object.entries({ Host: '127.0.0.1', Connection: 'close', ...headers });
  return `${method} ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

function parseAnswer(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n');
  const [statusLine = '', ...lines] = text.slice(0, Math.max(end, 0)).split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  return { status: Number(statusLine.split(' ')[1] ?? 0), headers, body: text.slice(end + 4) };
}
