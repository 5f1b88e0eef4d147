import { createServer, request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { listenOn } from '../servers/registry.js';

/** An outgoing proxy without authentication, which records the requests it gets. */
export interface ForwardProxy {
  readonly url: string;
  /** Methods and targets, such as `CONNECT 127.0.0.1:5000`. */
  readonly seen: readonly string[];
  /** The `Proxy-Authorization` header of each request. */
  readonly passwords: readonly (string | undefined)[];
  close(): Promise<void>;
}

/** Starts an outgoing proxy: CONNECT for https, absolute URLs for http. It connects to loopback, whatever the host is. */
export async function startForwardProxy(): Promise<ForwardProxy> {
  const seen: string[] = [];
  const passwords: (string | undefined)[] = [];
  const note = ({ method, url, headers }: IncomingMessage): void => {
    seen.push(`${method} ${url}`);
    passwords.push(headers['proxy-authorization']);
  };
  const server = createServer((req, res) => {
    note(req);
    const { 'proxy-authorization': _ours, ...headers } = req.headers;
    const onward = request(req.url ?? '', { method: req.method, headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(res);
    });
    onward.on('error', () => res.destroy());
    req.pipe(onward);
  });
  const tunnels = new Set<() => void>();
  server.on('connect', (req, socket) => {
    note(req);
    const target = connect(Number(req.url?.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      target.pipe(socket).pipe(target);
    });
    const end = (): void => void (target.destroy(), socket.destroy());
    tunnels.add(end);
    target.on('error', end).on('close', end);
    socket.on('error', end);
  });
  const listening = await listenOn(server);
  return {
    url: listening.url,
    seen,
    passwords,
    close: async () => {
      for (const end of tunnels) end();
      await listening.close();
    },
  };
}
