import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** An answer as received. */
export interface RawAnswer {
  /** 0 when the connection was closed without an answer. */
  readonly status: number;
  /** Headers by lower-case name; the last one if a name is repeated. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A connection that writes exactly the given bytes. */
export class RawConnection {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => void this.#chunks.push(chunk));
    // Some tests provoke a reset after the answer. Earlier bytes are kept.
    socket.on('error', () => {});
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  async write(bytes: Buffer | string): Promise<void> {
    // latin1, so that tests can write any byte.
    const buffer = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    await new Promise<void>((resolve) => {
      this.socket.write(buffer, () => resolve());
    });
  }

  /** Resolves to the received text when it matches the pattern. */
  async waitFor(pattern: RegExp): Promise<string> {
    for (;;) {
      const text = Buffer.concat(this.#chunks).toString('latin1');
      if (pattern.test(text)) return text;
      if (this.socket.closed) throw new Error(`the connection closed after ${JSON.stringify(text)}`);
      await Promise.race([once(this.socket, 'data'), once(this.socket, 'close')]);
    }
  }

  /** Resolves to everything received, once the other side has closed. */
  async untilClosed(): Promise<RawAnswer> {
    // `once` of node:events would reject on a reset.
    if (!this.socket.closed) await new Promise((resolve) => this.socket.once('close', resolve));
    return parseAnswer(Buffer.concat(this.#chunks).toString('latin1'));
  }

  /** Resets the connection, like a failing network. */
  cut(): void {
    this.socket.resetAndDestroy();
  }
}

/** Sends one request and reads its answer until the connection closes. */
export async function exchangeRaw(port: number, request: string): Promise<RawAnswer> {
  const connection = await RawConnection.open(port);
  await connection.write(request);
  return connection.untilClosed();
}

/** Returns a request head with exactly this `path`, which a client library might change. */
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
