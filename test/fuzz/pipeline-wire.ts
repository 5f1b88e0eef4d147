import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { textOf, type Pipeline } from './pipelines.js';

/** What became of a pipeline. */
export interface Pipelined {
  readonly sent: Pipeline;
  /** latin1. */
  readonly received: string;
  /** Whether the server ended the connection, and not this client. */
  readonly isEnded: boolean;
}

/** A client that is owed nothing any more waits so long for an end. */
const quietMs = 100;
/** Without a byte for so long, nothing more comes, however slow the machine is. */
const maxSilenceMs = 15_000;

/**
 * Sends a pipeline over a connection of its own.
 * @param isOpen whether all that must come has come, and the server need not end the connection: only then may silence be the
 * end of it.
 */
export async function sendPipeline(
  sent: Pipeline,
  port: number,
  isOpen: (received: string) => boolean,
): Promise<Pipelined> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const chunks: Buffer[] = [];
  let isEnded = false;
  const ended = new Promise<void>((resolve) => {
    const end = (): void => {
      isEnded = true;
      resolve();
    };
    socket.on('end', end).on('error', end);
  });
  await once(socket, 'connect');
  const closed = once(socket, 'close').catch(() => {});
  const received = (): string => Buffer.concat(chunks).toString('latin1');
  if (sent.end !== 'deaf') socket.on('data', (chunk) => void chunks.push(chunk));
  else socket.pause();
  await write(socket, sent);
  if (sent.end === 'half') socket.end();
  if (sent.end === 'deaf') await delay(quietMs);
  let deadline = performance.now() + maxSilenceMs;
  if (sent.end !== 'deaf') socket.on('data', () => (deadline = performance.now() + maxSilenceMs));
  for (let seen = -1; sent.end === 'keep' || sent.end === 'half'; seen = chunks.length) {
    if (isEnded || socket.destroyed) break;
    if (performance.now() > deadline || (sent.end === 'keep' && seen === chunks.length && isOpen(received()))) break;
    await Promise.race([ended, delay(quietMs)]);
  }
  socket.destroy();
  await closed;
  return { sent, received: received(), isEnded };
}

async function write(socket: Socket, sent: Pipeline): Promise<void> {
  const bytes = Buffer.from(textOf(sent), 'latin1');
  const size = Math.max(1, Math.ceil(bytes.length / Math.max(1, sent.writes)));
  const end = sent.end === 'leave' ? Math.floor(bytes.length * 0.7) : bytes.length;
  for (let at = 0; at < end && !socket.destroyed; at += size) {
    socket.write(bytes.subarray(at, Math.min(end, at + size)));
    await turn();
  }
}
